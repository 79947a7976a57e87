package remediate_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

func TestAllIsWellAndEveryGuardPasses(t *testing.T) {
	w, _, _, pg := calm(t)
	r := remediate.Decide(t.Context(), remediate.Guards(w), candidate(t, hostPolicy(), pg))
	require.Equal(t, remediate.Pass, r.Outcome, "%+v", r.Verdicts)
	var names []string
	for _, v := range r.Verdicts {
		names = append(names, v.Guard)
		require.NotEmpty(t, v.Reason, v.Guard)
		require.Equal(t, noon(), v.At)
	}
	require.Equal(t, []string{
		"kill switch", "danger", "target", "trigger", "breaker", "attempts", "flapping", "cool-down", "concurrency", "rate",
		"service type", "calendar", "freshness", "silences", "zabbix", "blast radius", "pre-checks", "proof",
	}, names, "the order in which people read them is fixed")
}

// A guard that cannot ask is blind, whichever it is.
func TestAWorldWithoutAnybodyToAskDenies(t *testing.T) {
	_, _, _, pg := calm(t)
	p := hostPolicy()
	p.Guards.Zabbix = "main"
	p.Guards.PreChecks = []remediate.PreCheck{{Name: "peers", PromQL: `count(up{cluster=$pool})`, Require: ">= 1"}}
	p.Guards.Proof = &remediate.PreCheck{Name: "probe", PromQL: `max(probe_success{host=$target})`, Require: "== 0"}
	r := remediate.Decide(t.Context(), remediate.Guards(remediate.World{}), candidate(t, p, pg))
	require.Equal(t, remediate.Deny, r.Outcome)
	var blind []string
	for _, v := range r.Verdicts {
		if v.Outcome == remediate.Blind {
			blind = append(blind, v.Guard)
		}
	}
	require.Equal(t, []string{"freshness", "silences", "zabbix", "blast radius", "pre-checks", "proof"}, blind)
}

func TestKillSwitch(t *testing.T) {
	_, _, _, pg := calm(t)
	there := filepath.Join(t.TempDir(), "freeze")
	require.NoError(t, os.WriteFile(there, []byte("data centre move\x1b[31m"), 0o600))
	locked := filepath.Join(t.TempDir(), "file", "below")
	require.NoError(t, os.WriteFile(filepath.Dir(locked), nil, 0o600)) // a file where a folder should be
	frozen := func(scope string) remediate.Past {
		return remediate.Past{Switches: map[string]remediate.Switch{scope: {By: "alice", At: noon()}}}
	}
	for name, tc := range map[string]struct {
		past remediate.Past
		file string
		want remediate.Outcome
	}{
		"nothing is frozen":            {want: remediate.Pass},
		"everything":                   {past: frozen("global"), want: remediate.Deny},
		"the team":                     {past: frozen("team/infra"), want: remediate.Deny},
		"the policy":                   {past: frozen("policy/restart"), want: remediate.Deny},
		"another team":                 {past: frozen("team/web"), want: remediate.Pass},
		"another policy":               {past: frozen("policy/reboot"), want: remediate.Pass},
		"the file is there":            {file: there, want: remediate.Deny},
		"the file is not there":        {file: there + "-not", want: remediate.Pass},
		"the file cannot be looked at": {file: locked, want: remediate.Blind},
		"a folder of that name":        {file: filepath.Dir(there), want: remediate.Deny},
	} {
		t.Run(name, func(t *testing.T) {
			c := candidate(t, hostPolicy(), pg)
			c.Past = tc.past
			v := verdictOf(t, remediate.World{KillFile: tc.file}, "kill switch", c)
			require.Equal(t, tc.want, v.Outcome, v.Reason)
			require.NotContains(t, v.Value, "\x1b")
		})
	}
}

func TestDanger(t *testing.T) {
	_, _, _, pg := calm(t)
	for name, tc := range map[string]struct {
		change func(p *remediate.Policy)
		want   remediate.Outcome
	}{
		"reversible in auto":                   {func(*remediate.Policy) {}, remediate.Pass},
		"off":                                  {func(p *remediate.Policy) { p.Mode = remediate.Off }, remediate.Deny},
		"a step that is off":                   {func(p *remediate.Policy) { p.Steps[0].Mode = remediate.Off }, remediate.Deny},
		"a mode that is none":                  {func(p *remediate.Policy) { p.Mode = "always" }, remediate.Deny},
		"disruptive in auto without the claim": {func(p *remediate.Policy) { p.Steps[0].Danger = remediate.Disruptive }, remediate.Deny},
		"disruptive in auto with the claim":    {func(p *remediate.Policy) { p.Steps[0].Danger = remediate.Disruptive; p.Steps[0].Claim = true }, remediate.Pass},
		"disruptive by approval": {func(p *remediate.Policy) {
			p.Steps[0].Danger = remediate.Disruptive
			p.Steps[0].Mode = remediate.Approve
		}, remediate.Pass},
		"destructive in auto": {func(p *remediate.Policy) { p.Steps[0].Danger = remediate.Destructive; p.Steps[0].Claim = true }, remediate.Deny},
		"destructive by approval": {func(p *remediate.Policy) {
			p.Steps[0].Danger = remediate.Destructive
			p.Steps[0].Mode = remediate.Approve
		}, remediate.Pass},
		"a danger that is none":    {func(p *remediate.Policy) { p.Steps[0].Danger = "harmless" }, remediate.Deny},
		"another kind of target":   {func(p *remediate.Policy) { p.Target.Kind = remediate.ServiceTarget }, remediate.Deny},
		"a workflow in check mode": {func(p *remediate.Policy) { p.Steps[0].Mode = remediate.Check; p.Steps[0].Kind = "workflow" }, remediate.Deny},
	} {
		t.Run(name, func(t *testing.T) {
			c := candidate(t, hostPolicy(), pg)
			p := *c.Policy
			p.Steps = slices.Clone(p.Steps)
			tc.change(&p)
			c.Policy, c.Step = &p, p.Steps[0]
			v := verdictOf(t, remediate.World{}, "danger", c)
			require.Equal(t, tc.want, v.Outcome, v.Reason)
		})
	}
}

func TestAServiceNeverRunsByItself(t *testing.T) {
	c := candidate(t, servicePolicy(), deployed("strong", page.Labels{"version": "v42"}))
	require.Equal(t, remediate.Pass, verdictOf(t, remediate.World{}, "danger", c).Outcome)
	c.Policy.Mode = remediate.Auto
	require.Equal(t, remediate.Pass, verdictOf(t, remediate.World{}, "danger", c).Outcome, "the step says approve")
	c.Step.Mode = remediate.Auto
	require.Equal(t, remediate.Deny, verdictOf(t, remediate.World{}, "danger", c).Outcome)
}

func TestTargetMustStandOnThePage(t *testing.T) {
	_, _, _, pg := calm(t)
	for name, change := range map[string]func(*remediate.Candidate){
		"another host":       func(c *remediate.Candidate) { c.Target.Name = "web-2" },
		"another pool":       func(c *remediate.Candidate) { c.Target.Pool = "db" },
		"a pattern":          func(c *remediate.Candidate) { c.Target.Name = "*" },
		"nothing":            func(c *remediate.Candidate) { c.Target = remediate.Target{} },
		"the page is over":   func(c *remediate.Candidate) { c.Page.State = page.Closed },
		"it is a test":       func(c *remediate.Candidate) { c.Page.Test = true },
		"it is Tocsin's own": func(c *remediate.Candidate) { c.Page.Self = true },
		"it is in a storm":   func(c *remediate.Candidate) { c.Page.Folded = "p9" },
		"it is the storm":    func(c *remediate.Candidate) { c.Page.Storm = &page.Storm{} },
	} {
		t.Run(name, func(t *testing.T) {
			c := candidate(t, hostPolicy(), pg)
			require.Equal(t, remediate.Pass, verdictOf(t, remediate.World{}, "target", c).Outcome)
			change(&c)
			v := verdictOf(t, remediate.World{}, "target", c)
			require.Equal(t, remediate.Deny, v.Outcome)
			require.Contains(t, v.Reason, remediate.Unfit(c.Page), "it says which")
		})
	}
}

func TestTrigger(t *testing.T) {
	for name, tc := range map[string]struct {
		alert    time.Duration // before noon; negative: after
		received time.Duration
		want     remediate.Outcome
		until    time.Duration // after noon
	}{
		"long enough":                        {10 * time.Minute, 10 * time.Minute, remediate.Pass, 0},
		"to the second":                      {3 * time.Minute, 3 * time.Minute, remediate.Pass, 0},
		"not yet":                            {2 * time.Minute, 2 * time.Minute, remediate.Wait, time.Minute},
		"Tocsin has it for a minute":         {20 * time.Minute, time.Minute, remediate.Wait, 2 * time.Minute},
		"it joined a minute ago":             {time.Minute, 25 * time.Minute, remediate.Wait, 2 * time.Minute},
		"it joined a page that is long open": {5 * time.Minute, 25 * time.Hour, remediate.Pass, 0},
		"too old":                            {31 * time.Minute, 10 * time.Minute, remediate.Deny, 0},
		"a beginning yet to come":            {-time.Hour, 10 * time.Minute, remediate.Pass, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pg := pageOf(firing(tc.alert, "instance", "web-1:9100"))
			pg.Clock.Started = noon().Add(-tc.received)
			pg.Clock.Received = noon().Add(-tc.received)
			v := verdictOf(t, remediate.World{}, "trigger", candidate(t, hostPolicy(), pg))
			require.Equal(t, tc.want, v.Outcome, v.Reason)
			if tc.want == remediate.Wait {
				require.Equal(t, noon().Add(tc.until), v.Until)
			}
		})
	}
	t.Run("nobody says when", func(t *testing.T) {
		pg := pageOf(firing(0, "instance", "web-1:9100"))
		pg.Clock, pg.Alerts[0].StartsAt = page.Clock{}, time.Time{}
		require.Equal(t, remediate.Blind, verdictOf(t, remediate.World{}, "trigger", candidate(t, hostPolicy(), pg)).Outcome)
	})
}

func TestServiceType(t *testing.T) {
	for name, tc := range map[string]struct {
		kind []string // of the two alerts about the host
		want remediate.Outcome
	}{
		"allowed":        {[]string{"web", "web"}, remediate.Pass},
		"denied":         {[]string{"database", "database"}, remediate.Deny},
		"unknown":        {[]string{"cache", "cache"}, remediate.Deny},
		"missing":        {[]string{"", ""}, remediate.Deny},
		"they disagree":  {[]string{"web", "database"}, remediate.Deny},
		"one is missing": {[]string{"web", ""}, remediate.Deny},
	} {
		t.Run(name, func(t *testing.T) {
			p := hostPolicy()
			p.Guards.ServiceTypes = remediate.ServiceTypes{Label: "type", Allow: []string{"web"}, Deny: []string{"database"}}
			pg := pageOf(firing(0, "instance", "web-1:9100", "type", tc.kind[0]), firing(0, "instance", "web-1", "type", tc.kind[1]))
			v := verdictOf(t, remediate.World{}, "service type", candidate(t, p, pg))
			require.Equal(t, tc.want, v.Outcome, v.Reason)
		})
	}
}

// The table of guards in the docs is theirs, in their order.
func TestTheDocsNameEveryGuard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "remediation.md"))
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(text), "| guard | asks | default | does not pass |")
	require.True(t, ok)
	var rows []string
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 && strings.TrimSpace(line) != "" {
			break
		}
		if len(cells) == 6 && !strings.Contains(cells[1], "---") {
			rows = append(rows, strings.TrimSpace(cells[1]))
		}
	}
	var names []string
	for _, g := range remediate.Guards(remediate.World{}) {
		names = append(names, g.Name())
	}
	require.Equal(t, names, rows)
}

func TestTheExampleInTheDocsIsGood(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "remediation.md"))
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "```yaml\n")
	require.True(t, ok)
	example, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	ps, err := remediate.ParsePolicies("docs", []byte(example))
	require.NoError(t, err)
	require.Len(t, ps, 1)
}
