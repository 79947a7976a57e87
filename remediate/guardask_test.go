package remediate_test

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

func TestFreshness(t *testing.T) {
	w, am, _, pg := calm(t)
	c := candidate(t, hostPolicy(), pg)
	require.Equal(t, remediate.Pass, verdictOf(t, w, "freshness", c).Outcome)
	am.alerts[0].Labels = page.Labels{"alertname": "Down", "instance": "web-2:9100", "cluster": "web"}
	require.Equal(t, remediate.Deny, verdictOf(t, w, "freshness", c).Outcome, "another host's alert is not this one's")
	am.alerts = nil
	require.Equal(t, remediate.Deny, verdictOf(t, w, "freshness", c).Outcome)
	am.status = http.StatusBadGateway
	require.Equal(t, remediate.Blind, verdictOf(t, w, "freshness", c).Outcome)
	am.status = 0
	c.Page.Cluster = "dc2"
	require.Equal(t, remediate.Blind, verdictOf(t, w, "freshness", c).Outcome, "a cluster without an address cannot be asked")
}

func TestSilences(t *testing.T) {
	w, am, _, pg := calm(t)
	c := candidate(t, hostPolicy(), pg)
	am.silence("instance", "web-2:9100")
	require.Equal(t, remediate.Pass, verdictOf(t, w, "silences", c).Outcome)
	am.silence("instance", "web-1:9100")
	v := verdictOf(t, w, "silences", c)
	require.Equal(t, remediate.Deny, v.Outcome)
	require.Contains(t, v.Reason, "alice")
	require.Equal(t, "swapping a disk", v.Value)
	c.Policy.Guards.Silences = false
	require.Equal(t, remediate.Pass, verdictOf(t, w, "silences", c).Outcome)
	c.Policy.Guards.Silences = true
	am.status = http.StatusInternalServerError
	require.Equal(t, remediate.Blind, verdictOf(t, w, "silences", c).Outcome)
}

// Every way in which an answer is not one good number denies.
func TestPreChecksWantOneGoodNumber(t *testing.T) {
	series := append(fleetOf(4, 1),
		steady(7, 0, "__name__", "sessions", "host", "web-1"),
		steady(3, 0, "__name__", "sessions", "host", "web-2"),
		steady(7, 3*time.Minute, "__name__", "old", "host", "web-1"), // still shown for five minutes
		steady(math.NaN(), 0, "__name__", "broken", "host", "web-1"),
		steady(math.Inf(1), 0, "__name__", "endless", "host", "web-1"),
		steady(0, 0, "__name__", "zero", "host", "web-1"),
	)
	for name, tc := range map[string]struct {
		promql, require string
		how             enrichtest.Trouble
		want            remediate.Outcome
	}{
		"holds":                         {`sessions{host=$target}`, "<= 7", enrichtest.Trouble{}, remediate.Pass},
		"does not hold":                 {`sessions{host=$target}`, "<= 6", enrichtest.Trouble{}, remediate.Deny},
		"the placeholder in a string":   {`sessions{host="$target"}`, "== 7", enrichtest.Trouble{}, remediate.Pass},
		"the placeholder in a pattern":  {`up{instance=~"$target:[0-9]+"}`, "== 0", enrichtest.Trouble{}, remediate.Pass},
		"the pool":                      {`count(up{cluster=$pool} == 1)`, ">= 3", enrichtest.Trouble{}, remediate.Pass},
		"several samples":               {`sessions`, "<= 100", enrichtest.Trouble{}, remediate.Blind},
		"empty":                         {`sessions{host="web-9"}`, "<= 100", enrichtest.Trouble{}, remediate.Blind},
		"empty, made to look like zero": {`sessions{host="web-9"} or vector(0)`, "<= 100", enrichtest.Trouble{}, remediate.Blind},
		"what is not there":             {`absent(nothing)`, "== 1", enrichtest.Trouble{}, remediate.Blind},
		"stale":                         {`old{host=$target}`, "<= 100", enrichtest.Trouble{}, remediate.Blind},
		"stale, inside":                 {`sum(old) + sum(sessions)`, "<= 100", enrichtest.Trouble{}, remediate.Blind},
		"stale, over time":              {`max(max_over_time(old[10m]))`, "<= 100", enrichtest.Trouble{}, remediate.Blind},
		"what was, and still is":        {`sessions{host=$target} - sessions{host=$target} offset 10m`, "== 0", enrichtest.Trouble{}, remediate.Pass},
		"NaN":                           {`broken{host=$target}`, "!= 1", enrichtest.Trouble{}, remediate.Blind},
		"infinite":                      {`endless{host=$target}`, ">= 1", enrichtest.Trouble{}, remediate.Blind},
		"0/0":                           {`zero{host=$target} / zero{host=$target}`, "!= 1", enrichtest.Trouble{}, remediate.Blind},
		"partial":                       {`sessions{host=$target}`, "<= 7", enrichtest.Trouble{Warning: "store gateway is gone"}, remediate.Blind},
		"warned":                        {`sessions{host=$target}`, "<= 7", enrichtest.Trouble{Warning: "PromQL warning: metric might not be what it seems"}, remediate.Blind},
		"an error":                      {`sessions{host=$target}`, "<= 7", enrichtest.Trouble{Status: http.StatusServiceUnavailable}, remediate.Blind},
		"no JSON":                       {`sessions{host=$target}`, "<= 7", enrichtest.Trouble{Body: "<html>"}, remediate.Blind},
		"endless":                       {`sessions{host=$target}`, "<= 7", enrichtest.Trouble{Endless: true}, remediate.Blind},
		"no PromQL":                     {`sessions{host=$target`, "<= 7", enrichtest.Trouble{}, remediate.Blind},
		"no condition":                  {`sessions{host=$target}`, "7", enrichtest.Trouble{}, remediate.Blind},
		"a constant":                    {`vector(1)`, "== 1", enrichtest.Trouble{}, remediate.Blind},
		"another time":                  {`sessions{host=$target} @ 1`, "<= 7", enrichtest.Trouble{}, remediate.Blind},
	} {
		t.Run(name, func(t *testing.T) {
			thanos := enrichtest.New(t, series...)
			thanos.Misbehave(tc.how)
			w := remediate.World{Sources: sourcesOf(t, "main", map[string]*enrichtest.Fake{"main": thanos})}
			p := hostPolicy()
			p.Guards.PreChecks = []remediate.PreCheck{{Name: "check", PromQL: tc.promql, Require: tc.require}}
			v := verdictOf(t, w, "pre-checks", candidate(t, p, pageOf(firing(10*time.Minute, "instance", "web-1:9100"))))
			require.Equal(t, tc.want, v.Outcome, "%s (%s)", v.Reason, v.Value)
			require.NotContains(t, v.Reason+v.Value, "u7", "the server's text quotes labels")
		})
	}
}

func TestOneBadPreCheckIsEnough(t *testing.T) {
	w, _, _, pg := calm(t)
	p := hostPolicy()
	p.Guards.PreChecks = []remediate.PreCheck{
		{Name: "peers", PromQL: `count(up{cluster=$pool} == 1)`, Require: ">= 3"},
		{Name: "elsewhere", PromQL: `count(up)`, Require: ">= 1", Source: "nowhere"},
		{Name: "many peers", PromQL: `count(up{cluster=$pool} == 1)`, Require: ">= 30"},
	}
	v := verdictOf(t, w, "pre-checks", candidate(t, p, pg))
	require.Equal(t, remediate.Deny, v.Outcome)
	require.Equal(t, "peers: 9, elsewhere: not known, many peers: 9", v.Value)
}

func TestProof(t *testing.T) {
	of := func(metric, job, instance string, more ...string) enrichtest.Series {
		return steady(0, 0, append([]string{"__name__", metric, "host", "web-1", "job", job, "instance", instance}, more...)...)
	}
	probed := of("probe_success", "blackbox", "https://web-1")
	fires := steady(1, 0, "__name__", "ALERTS", "host", "web-1")
	main := enrichtest.New(t, append(fleetOf(10, 1), probed, fires,
		of("web_seconds_bucket", "web", "web-1:9100", "le", "1"), of("web_seconds", "blackbox", "https://web-1"),
		of("web_seconds_sum", "blackbox", "https://web-1"), of("web_calls_total", "web", "web-1:9100"),
		of("web_calls_created", "blackbox", "https://web-1"), of("web_threads", "web", "web-1:9100"),
		steady(0, 0, "__name__", "web_recorded", "host", "web-1"), of("old_total", "web", "web-1:9100"),
	)...)
	outside := enrichtest.New(t, append(fleetOf(10, 1), probed)...)
	w := remediate.World{Sources: sourcesOf(t, "main", map[string]*enrichtest.Fake{"main": main, "outside": outside})}
	asked := []page.Query{{Source: "main", Text: "up == 0"}}
	up, probe := `up{instance=~"$target:[0-9]+"}`, `probe_success{host=$target}`
	for name, tc := range map[string]struct {
		danger    remediate.Danger
		proof     *remediate.PreCheck
		queries   []page.Query
		generator string
		want      remediate.Outcome
	}{
		"a reversible step needs none":                     {remediate.Reversible, nil, asked, "", remediate.Pass},
		"a disruptive step needs one":                      {remediate.Disruptive, nil, asked, "", remediate.Deny},
		"a destructive step needs one":                     {remediate.Destructive, nil, asked, "", remediate.Deny},
		"other metrics of the same source":                 {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 0"}, asked, "up == 0", remediate.Pass},
		"that do not show it":                              {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 1"}, asked, "up == 0", remediate.Deny},
		"the metrics of the rule":                          {remediate.Disruptive, &remediate.PreCheck{PromQL: up, Require: "== 0"}, asked, "up == 0", remediate.Blind},
		"the metrics of the rule, named otherwise":         {remediate.Disruptive, &remediate.PreCheck{PromQL: `{__name__="up",instance=~"$target:[0-9]+"}`, Require: "== 0"}, asked, "up == 0", remediate.Blind},
		"metrics that are not named":                       {remediate.Disruptive, &remediate.PreCheck{PromQL: `max({host=$target})`, Require: "== 0"}, asked, "up == 0", remediate.Blind},
		"the metrics of the rule, of another source":       {remediate.Disruptive, &remediate.PreCheck{PromQL: up, Require: "== 0", Source: "outside"}, asked, "up == 0", remediate.Blind},
		"the same, of one that measures by itself":         {remediate.Disruptive, &remediate.PreCheck{PromQL: up, Require: "== 0", Source: "outside", Elsewhere: true}, asked, "job:up:sum == 0", remediate.Pass},
		"of one that does not, since it watches the alert": {remediate.Disruptive, &remediate.PreCheck{PromQL: up, Require: "== 0", Source: "main", Elsewhere: true}, asked, "up == 0", remediate.Blind},
		"of one that is not named":                         {remediate.Disruptive, &remediate.PreCheck{PromQL: up, Require: "== 0", Elsewhere: true}, asked, "up == 0", remediate.Blind},
		"a rule that is not known":                         {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 0"}, asked, "", remediate.Blind},
		"a rule over what is recorded":                     {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 0"}, asked, "job:up:sum == 0", remediate.Blind},
		"a rule that is none":                              {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 0"}, asked, "up ==", remediate.Blind},
		"that the alert fires":                             {remediate.Disruptive, &remediate.PreCheck{PromQL: `ALERTS{host=$target}`, Require: "== 1"}, asked, "up == 0", remediate.Blind},
		"a histogram's sum, of its buckets":                {remediate.Disruptive, &remediate.PreCheck{PromQL: `web_seconds_sum{host=$target}`, Require: "== 0"}, asked, `web_seconds_bucket > 1`, remediate.Blind},
		"a native histogram, of its classic buckets":       {remediate.Disruptive, &remediate.PreCheck{PromQL: `web_seconds{host=$target}`, Require: "== 0"}, asked, `web_seconds_bucket > 1`, remediate.Blind},
		"when a counter was made, of the counter":          {remediate.Disruptive, &remediate.PreCheck{PromQL: `web_calls_created{host=$target}`, Require: "== 0"}, asked, `rate(web_calls_total[5m]) > 1`, remediate.Blind},
		"another metric of the same exporter":              {remediate.Disruptive, &remediate.PreCheck{PromQL: `web_threads{host=$target}`, Require: "== 0"}, asked, `rate(web_calls_total[5m]) > 1`, remediate.Blind},
		"another exporter than the rule's, over windows":   {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 0"}, asked, `rate(web_calls_total[5m] offset 1m) > 1 and rate(web_calls_total[1h]) > 1`, remediate.Pass},
		"recorded, without saying so":                      {remediate.Disruptive, &remediate.PreCheck{PromQL: `web_recorded{host=$target}`, Require: "== 0"}, asked, "up == 0", remediate.Blind},
		"of a rule over what is recorded without a colon":  {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 0"}, asked, "web_recorded > 1", remediate.Blind},
		"of a rule over what its source does not have":     {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 0"}, asked, "absent(elsewhere_up) == 1", remediate.Blind},
		"a source that is not there":                       {remediate.Disruptive, &remediate.PreCheck{PromQL: probe, Require: "== 0", Source: "nowhere"}, asked, "up == 0", remediate.Blind},
		"a reversible step with a proof that fails":        {remediate.Reversible, &remediate.PreCheck{PromQL: probe, Require: "== 1"}, asked, "up == 0", remediate.Deny},
	} {
		t.Run(name, func(t *testing.T) {
			a := firing(10*time.Minute, "instance", "web-1:9100")
			a.GeneratorURL = "http://prometheus/graph?g0.expr=" + tc.generator
			p := hostPolicy()
			p.Danger, p.Steps[0].Danger, p.Guards.Proof = tc.danger, tc.danger, tc.proof
			pg := pageOf(a)
			pg.Queries = tc.queries
			v := verdictOf(t, w, "proof", candidate(t, p, pg))
			require.Equal(t, tc.want, v.Outcome, v.Reason)
		})
	}
}
