package thanos_test

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/page"
)

func open(t *testing.T, set func(*thanos.Config)) enrich.Source {
	t.Helper()
	s, err := make1(set)
	require.NoError(t, err)
	if c, ok := s.(interface{ Close() error }); ok {
		t.Cleanup(func() { require.NoError(t, c.Close()) })
	}
	return s
}

func make1(set func(*thanos.Config)) (enrich.Source, error) {
	kind := thanos.Kind()
	cfg, ok := kind.Config().(*thanos.Config)
	if !ok {
		return nil, errors.New("not a Config")
	}
	set(cfg)
	return kind.New(cfg, enrich.Deps{
		Name: "main", Transport: http.DefaultTransport, Now: time.Now,
		Roles: enrich.Roles{"host": {"host"}},
	})
}

func limited(c *thanos.Config) {
	c.MaxSeries, c.MaxBytes, c.Timeout = enrichtest.MaxSeries, enrichtest.MaxBytes, config.Duration(enrichtest.Timeout)
	c.ReplicaLabels, c.DenyLabels = []string{"replica"}, []string{"noise"}
}

func TestHTTP(t *testing.T) {
	enrichtest.Run(t, func(t *testing.T, f *enrichtest.Fake) enrich.Source {
		return open(t, func(c *thanos.Config) { limited(c); c.HTTP = f.URL })
	})
}

func TestGRPC(t *testing.T) {
	enrichtest.Run(t, func(t *testing.T, f *enrichtest.Fake) enrich.Source {
		return open(t, func(c *thanos.Config) { limited(c); c.GRPC = f.GRPC })
	})
}

// Both ways of asking give the same table.
func TestWaysAgree(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t, enrichtest.Fleet{Now: now, Since: 40 * time.Second, Seed: 1}.Series()...)
	for _, text := range []string{
		`sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m])) > 0.05`,
		`histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[1m]))) > 0.5`,
		`up == 0`, `sum(rate(http_requests_total[1m])) > 1`,
	} {
		q := enrich.Question{Alert: "A", Expr: text, At: now, Labels: page.Labels{"service": "checkout"}}
		var got []*enrich.Table
		for _, set := range []func(*thanos.Config){
			func(c *thanos.Config) { c.HTTP = f.URL },
			func(c *thanos.Config) { c.GRPC = f.GRPC },
		} {
			table, err := open(t, set).Table(t.Context(), q)
			require.NoError(t, err)
			require.Positive(t, table.Rows())
			slices.SortFunc(table.Queries, func(a, b page.Query) int { return len(a.Text) - len(b.Text) })
			for i := range table.Queries {
				table.Queries[i].Took, table.Queries[i].Bytes = 0, 0
			}
			table.Query, table.Before, table.Course, table.Exemplars = nil, nil, nil, nil
			got = append(got, table)
		}
		require.Equal(t, got[0], got[1], text)
	}
}

// Streams side by side keep their hands off each other's labels.
func TestManyStreams(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t, enrichtest.Fleet{Now: now, Seed: 1}.Series()...)
	q := enrich.Question{Expr: `rate(http_requests_total[1m]) > 1`, At: now}
	want, err := open(t, func(c *thanos.Config) { c.HTTP = f.URL }).Table(t.Context(), q)
	require.NoError(t, err)
	s := open(t, func(c *thanos.Config) { c.GRPC = f.GRPC })
	tables := make([]*enrich.Table, 32)
	var all sync.WaitGroup
	for i := range tables {
		all.Go(func() { tables[i], _ = s.Table(t.Context(), q) })
	}
	all.Wait()
	for _, got := range tables {
		require.NotNil(t, got)
		require.Equal(t, want.Cols, got.Cols)
	}
}

func TestMalformedAnswers(t *testing.T) {
	f := enrichtest.New(t)
	s := open(t, func(c *thanos.Config) { c.HTTP = f.URL })
	for _, body := range []string{
		`nope`, `[]`, `{`, `{"status":"success"`, `{"status":"success"}`, `{"status":"success","data":{}}`,
		`{"status":"success","data":{"result":[]},"data":{"result":[]}}`, `{"status":"error","errorType":"bad_data"}`,
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`,
		`{"status":"success","data":{"resultType":"vector","result":{}}}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"x"]}]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":3},"value":[1,"1"]}]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1]}]}}`,
	} {
		f.Misbehave(enrichtest.Trouble{Body: body})
		_, err := s.Table(t.Context(), enrich.Question{Expr: "up == 0", At: time.Now()})
		require.Error(t, err, body)
	}
	f.Misbehave(enrichtest.Trouble{Body: `{"data":{"result":[{"metric":{"host":"\u0061"},"value":[1,"+Inf"]},{"metric":null,"histogram":[]}],"resultType":"vector"},"status":"success","more":{"x":[1]}}`})
	table, err := s.Table(t.Context(), enrich.Question{Expr: "up == 0", At: time.Now()})
	require.NoError(t, err)
	require.Equal(t, 1, table.Rows(), "a native histogram is no number")
	require.Equal(t, []string{"", "a"}, table.Cols[0].Dict)
	require.Equal(t, "host", table.Cols[0].Role)
}

func TestExpr(t *testing.T) {
	f := enrichtest.New(t)
	f.Know(
		enrichtest.Rule{Name: "A", Expr: "a > 1", Labels: map[string]string{"severity": "page"}},
		enrichtest.Rule{Name: "A", Expr: "a > 2", Labels: map[string]string{"severity": "ticket", "team": "{{ $labels.team }}"}},
		enrichtest.Rule{Name: "B", Expr: "b > 1"}, enrichtest.Rule{Name: "B", Expr: "b > 2"},
		enrichtest.Rule{Name: "C", Expr: "c > 1"}, enrichtest.Rule{Name: "C", Expr: "c > 1"},
	)
	ruler, ok := open(t, func(c *thanos.Config) { c.HTTP = f.URL }).(enrich.Ruler)
	require.True(t, ok)
	for _, c := range []struct {
		name   string
		labels page.Labels
		want   string
		err    string
	}{
		{"A", page.Labels{"severity": "page"}, "a > 1", ""},
		{"A", page.Labels{"severity": "ticket", "team": "core"}, "a > 2", ""},
		{"B", nil, "", "no rule alone fits"},
		{"C", nil, "c > 1", ""},
		{"D", nil, "", "no rule of this name fits"},
	} {
		got, err := ruler.Expr(t.Context(), c.name, c.labels)
		require.Equal(t, c.want, got)
		if c.err != "" {
			require.ErrorContains(t, err, c.err)
		} else {
			require.NoError(t, err)
		}
	}
	f.Misbehave(enrichtest.Trouble{Status: 404})
	_, err := ruler.Expr(t.Context(), "A", nil)
	require.ErrorContains(t, err, "list rules: status 404")
	deaf, ok := open(t, func(c *thanos.Config) { c.GRPC = f.GRPC }).(enrich.Ruler)
	require.True(t, ok)
	_, err = deaf.Expr(t.Context(), "A", nil)
	require.ErrorContains(t, err, "http is not configured")
}

// The past is what the same members did at earlier times; one that was not
// there has nothing.
func TestBaselines(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	req := func(at time.Time, host, code string, perSecond float64) enrichtest.Series {
		return enrichtest.Counter(at, perSecond, "__name__", "req_total", "host", host, "code", code)
	}
	hour, day := now.Add(-time.Hour), now.Add(-24*time.Hour)
	f := enrichtest.New(t,
		req(now, "a", "500", 4), req(now, "a", "200", 6), req(now, "b", "200", 10), req(now, "new", "200", 10),
		req(hour, "a", "500", 1), req(hour, "a", "200", 9), req(hour, "b", "200", 20), req(day, "gone", "200", 1),
	)
	s := open(t, func(c *thanos.Config) {
		c.HTTP, c.Baselines = f.URL, []config.Duration{config.Duration(time.Hour), config.Duration(24 * time.Hour)}
	})
	table, err := s.Table(t.Context(), enrich.Question{Expr: `sum(rate(req_total{code="500"}[1m])) / sum(rate(req_total[1m])) > 0.1`, At: now})
	require.NoError(t, err)
	require.Empty(t, table.Past, "the first answer waits for no past")
	require.Len(t, table.Queries, 2)
	late := table.Before(t.Context())
	require.Empty(t, table.Past, "which others may be reading")
	require.Len(t, late.Queries, 6)
	require.Len(t, late.Past, 2)
	host := late.Cols[0]
	for i := range late.Rows() {
		want := map[string][2]float64{"a": {60, 600}, "b": {0, 1200}, "new": {0, 0}}[host.Dict[host.Codes[i]]]
		require.InDelta(t, want[0], late.Past[0].Failing[i], 1)
		require.InDelta(t, want[1], late.Past[0].Weight[i], 1)
		require.Zero(t, late.Past[1].Weight[i])
	}
	require.Equal(t, "1h", late.Past[0].Name)
	require.Equal(t, "1d", late.Past[1].Name)

	f.Misbehave(enrichtest.Trouble{Status: 500})
	late = table.Before(t.Context())
	require.Empty(t, late.Past)
	require.Contains(t, late.Notes, "not known: what was 1h before")
	require.Equal(t, table.Rows(), late.Rows(), "the answer itself stands")
}

// Recorded series are asked for by what records them, the list of rules is
// read once a minute, and without it they are asked for themselves.
func TestRecordingRules(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := enrichtest.New(t,
		enrichtest.Gauge(now, 9, "__name__", "lag", "group", "g", "host", "a"), enrichtest.Gauge(now, 1, "__name__", "lag", "group", "g", "host", "b"),
		enrichtest.Gauge(now, 10, "__name__", "group:lag:sum", "group", "g"),
	)
	f.Know(enrichtest.Rule{Name: "A", Expr: "group:lag:sum > 8"}, enrichtest.Rule{Record: "group:lag:sum", Expr: "sum by (group) (lag)"})
	clock := now
	opened := func() enrich.Source {
		kind := thanos.Kind()
		s, err := kind.New(&thanos.Config{HTTP: f.URL, Timeout: config.Duration(time.Minute), MaxSeries: 100, MaxBytes: 1 << 20}, enrich.Deps{
			Name: "main", Transport: http.DefaultTransport, Now: func() time.Time { return clock },
		})
		require.NoError(t, err)
		return s
	}
	q := enrich.Question{Expr: "group:lag:sum > 8", At: now, Labels: page.Labels{"group": "g"}}
	s := opened()
	table, err := s.Table(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, 2, table.Rows())
	require.Equal(t, `(lag{group="g"})`, table.Queries[0].Text)

	f.Know() // the rule is gone, and the list in use is young
	table, err = s.Table(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, 2, table.Rows())
	clock = clock.Add(2 * time.Minute)
	table, err = s.Table(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, `group:lag:sum`, table.Queries[0].Text)

	f.Know(enrichtest.Rule{Record: "group:lag:sum", Expr: "sum by (group) (nothing)"})
	table, err = opened().Table(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, 1, table.Rows(), "what is recorded has no members: it is asked for itself")
	require.Equal(t, `(nothing{group="g"})`, table.Queries[0].Text, "and the page tells both")

	f.Misbehave(enrichtest.Trouble{Status: 500})
	_, err = opened().Table(t.Context(), q)
	require.ErrorContains(t, err, "status 500")
}

func TestCheckAndLink(t *testing.T) {
	f := enrichtest.New(t)
	at := time.Date(2026, 11, 22, 12, 3, 10, 0, time.UTC)
	for _, c := range []struct {
		set  func(*thanos.Config)
		link string
	}{
		{func(c *thanos.Config) { c.HTTP = f.URL }, f.URL + "/graph?g0.expr=up%7Ba%3D%22b%22%7D&g0.moment_input=2026-11-22+12%3A03%3A10&g0.tab=1"},
		{func(c *thanos.Config) { c.GRPC = f.GRPC }, ""},
		{func(c *thanos.Config) { c.GRPC, c.ExternalURL = f.GRPC, "https://thanos.example.org/t/" }, "https://thanos.example.org/t/graph?g0.expr=up%7Ba%3D%22b%22%7D&g0.moment_input=2026-11-22+12%3A03%3A10&g0.tab=1"},
	} {
		s := open(t, c.set)
		require.NoError(t, s.(enrich.Checker).Check(t.Context()))
		require.Equal(t, c.link, s.(enrich.Linker).Link(`up{a="b"}`, at))
	}
	gone := open(t, func(c *thanos.Config) { c.HTTP = "http://127.0.0.1:1" })
	require.Error(t, gone.(enrich.Checker).Check(t.Context()))
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*thanos.Config)
		want string
	}{
		{"nothing", func(*thanos.Config) {}, "http: is missing"},
		{"not an address", func(c *thanos.Config) { c.HTTP = "thanos:10902" }, "http: is not an address"},
		{"ftp", func(c *thanos.Config) { c.HTTP, c.ExternalURL = "http://t", "ftp://t" }, "external_url: is not an address"},
		{"no time", func(c *thanos.Config) { c.HTTP, c.Timeout = "http://t", 0 }, "timeout: must be"},
		{"no series", func(c *thanos.Config) { c.HTTP, c.MaxSeries = "http://t", 0 }, "max_series: must be"},
		{"no bytes", func(c *thanos.Config) { c.HTTP, c.MaxBytes = "http://t", -1 }, "max_bytes: must be"},
		{"no baseline", func(c *thanos.Config) { c.HTTP, c.Baselines = "http://t", []config.Duration{1} }, "baselines: must each be"},
		{"info without labels", func(c *thanos.Config) { c.HTTP, c.Info = "http://t", []thanos.Info{{Metrics: []string{"a"}}} }, "info[0]: needs both"},
		{"info of no name", func(c *thanos.Config) {
			c.HTTP, c.Info = "http://t", []thanos.Info{{Metrics: []string{"("}, On: []string{"pod"}}}
		}, "info[0].metrics: \"(\" is no regular expression"},
		{"two credentials", func(c *thanos.Config) {
			c.HTTP, c.BearerTokenFile, c.Basic = "http://t", "x", &thanos.Basic{Username: "u", PasswordFile: "p"}
		}, "basic_auth: stands beside"},
		{"half a basic", func(c *thanos.Config) { c.HTTP, c.Basic = "http://t", &thanos.Basic{Username: "u"} }, "basic_auth: needs both"},
		{"token in plain text", func(c *thanos.Config) { c.GRPC, c.BearerTokenFile = "t:1", "x" }, "tls: is missing"},
		{"half a certificate", func(c *thanos.Config) { c.HTTP, c.TLS = "http://t", &thanos.TLS{CertFile: "c"} }, "tls.key_file: and cert_file"},
		{"no CA", func(c *thanos.Config) { c.HTTP, c.TLS = "http://t", &thanos.TLS{CAFile: "/nowhere.pem"} }, "tls: open /nowhere.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := make1(c.set)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, b, 0o600))
		return p
	}
	var seen []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`))
	}))
	t.Cleanup(server.Close)
	ca := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	token, password := write("token", []byte("t0ken\n")), write("password", []byte("pass"))
	for _, set := range []func(*thanos.Config){
		func(c *thanos.Config) { c.BearerTokenFile = config.SecretFile(token) },
		func(c *thanos.Config) {
			c.Basic = &thanos.Basic{Username: "u", PasswordFile: config.SecretFile(password)}
		},
	} {
		s := open(t, func(c *thanos.Config) { c.HTTP, c.TLS = server.URL, &thanos.TLS{CAFile: config.SecretFile(ca)}; set(c) })
		require.NoError(t, s.(enrich.Checker).Check(t.Context()))
	}
	require.Equal(t, []string{"Bearer t0ken", "Basic dTpwYXNz"}, seen)
	untrusting := open(t, func(c *thanos.Config) { c.HTTP = server.URL })
	require.ErrorContains(t, untrusting.(enrich.Checker).Check(t.Context()), "certificate")
	missing := open(t, func(c *thanos.Config) { c.HTTP, c.BearerTokenFile = server.URL, "/nowhere" })
	require.ErrorContains(t, missing.(enrich.Checker).Check(t.Context()), "no such file")
}
