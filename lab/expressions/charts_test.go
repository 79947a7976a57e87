//go:build !race

// One goroutine draws all of it: the race detector finds nothing here, and takes
// eight times as long. `make test` runs it without.

package expressions_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/chart"
	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/lab/expressions"
	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

const (
	every   = 5 * time.Second
	calm    = 5 * time.Minute
	service = "checkout"
)

// scraped is a service of the fleet as a Prometheus has it, some time into a fault.
type scraped struct {
	fake   *enrichtest.Fake
	series []enrichtest.Series
	web    *prometheus.Client
	now    time.Time
}

// world scrapes the fleet through calm and fault.
func world(t *testing.T, kind scenario.Kind, sick time.Duration) *scraped {
	t.Helper()
	now := time.Unix(1_700_000_000, 0)
	f, err := fleet.New(fleet.Options{Targets: expressions.Members, Services: []string{service}, Signals: true, Seed: 3, Now: func() time.Time { return now }})
	require.NoError(t, err)
	board := scenario.NewBoard(f, 5)
	c := &collector{at: map[string]int{}}
	end := now.Add(calm + sick)
	for ; !now.After(end); now = now.Add(every) {
		if now.Equal(end.Add(-sick)) {
			_, err := board.Sicken(kind, service)
			require.NoError(t, err)
		}
		for i, ls := range append(f.Members(service), map[string]string{"job": "watch", "instance": "watch-1:9115"}) {
			path := fmt.Sprintf("/t/%d/metrics", i)
			if i == expressions.Members {
				path = "/t/watch/metrics"
			} else {
				ls["job"] = service
			}
			c.scrape(t, f, path, ls, now)
		}
	}
	w := &scraped{fake: enrichtest.New(t, c.series...), series: c.series, now: end}
	w.web, err = prometheus.New(prometheus.Options{URL: w.fake.URL, Transport: http.DefaultTransport})
	require.NoError(t, err)
	return w
}

// collector keeps samples by series.
type collector struct {
	series []enrichtest.Series
	at     map[string]int
	seen   map[string]bool // in this scrape
	before map[string]map[string]bool
}

func (c *collector) add(target map[string]string, own labels.Labels, s enrichtest.Sample) {
	b := labels.NewBuilder(own)
	for name, v := range target {
		b.Set(name, v)
	}
	ls := b.Labels()
	k := ls.String()
	i, ok := c.at[k]
	if !ok {
		i = len(c.series)
		c.at[k] = i
		c.series = append(c.series, enrichtest.Series{Labels: ls})
	}
	c.series[i].Samples = append(c.series[i].Samples, s)
	c.seen[k] = true
}

func (c *collector) scrape(t *testing.T, f *fleet.Fleet, path string, target map[string]string, now time.Time) {
	t.Helper()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", "application/vnd.google.protobuf")
	c.seen = map[string]bool{}
	up, samples := 1.0, 0.0
	func() {
		defer func() {
			if recover() != nil { // it hung up
				up = 0
			}
		}()
		f.ServeHTTP(rec, r)
	}()
	if up == 1 {
		p, err := textparse.New(rec.Body.Bytes(), rec.Header().Get("Content-Type"), labels.NewSymbolTable(), textparse.ParserOptions{FallbackContentType: "text/plain"})
		require.NoError(t, err)
		for {
			kind, err := p.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			s := enrichtest.Sample{At: now}
			switch kind {
			case textparse.EntrySeries:
				_, _, s.Value = p.Series()
			case textparse.EntryHistogram:
				var whole *histogram.Histogram
				if _, _, whole, s.Histogram = p.Histogram(); whole != nil {
					s.Histogram = whole.ToFloat(nil)
				}
			default:
				continue
			}
			var ls labels.Labels
			p.Labels(&ls)
			samples++
			c.add(target, ls, s)
		}
	}
	c.add(target, labels.FromStrings("__name__", "up"), enrichtest.Sample{At: now, Value: up})
	c.add(target, labels.FromStrings("__name__", "scrape_samples_scraped"), enrichtest.Sample{At: now, Value: samples})
	c.end(path, now)
}

// end marks the end of series that the last scrape of a target had and this has not.
func (c *collector) end(path string, now time.Time) {
	if c.before == nil {
		c.before = map[string]map[string]bool{}
	}
	for k := range c.before[path] {
		if !c.seen[k] {
			i := c.at[k]
			c.series[i].Samples = append(c.series[i].Samples, enrichtest.Sample{At: now, Value: math.Float64frombits(value.StaleNaN)})
		}
	}
	c.before[path] = c.seen
}

// record does what recording rules do, for the last minutes.
func (w *scraped) record(t *testing.T, e expressions.Expression) {
	t.Helper()
	all := slices.Clone(w.series)
	for _, r := range e.Rules {
		text := strings.ReplaceAll(r.Expr, "$service", service)
		var made []enrichtest.Series
		_, err := w.web.Range(t.Context(), text, w.now.Add(-4*time.Minute), w.now, every, prometheus.Limits{Series: 1e6, Bytes: 1e9}, func(ls []page.Label, points []prometheus.Point) {
			b := labels.NewBuilder(labels.EmptyLabels())
			for _, l := range ls {
				b.Set(l.Name, l.Value)
			}
			for name, v := range r.Labels {
				b.Set(name, v)
			}
			b.Set("__name__", r.Record)
			s := enrichtest.Series{Labels: b.Labels()}
			for _, p := range points {
				s.Samples = append(s.Samples, enrichtest.Sample{At: p.At, Value: p.Value})
			}
			made = append(made, s)
		})
		require.NoError(t, err, text)
		all = append(all, made...)
		w.fake.Set(all...)
	}
	w.fake.Set(all...)
}

// problem is the one that an expression's alerts make; false where none fires.
func (w *scraped) problem(t *testing.T, e expressions.Expression) (page.Problem, bool) {
	t.Helper()
	text := strings.ReplaceAll(e.Expr, "$service", service)
	p := page.Problem{ID: e.Name, Members: map[string]page.Member{}}
	_, err := w.web.Query(t.Context(), text, w.now, prometheus.Limits{Series: 1e6, Bytes: 1e9}, func(list []page.Label, _ float64) {
		ls := page.Labels{"alertname": e.Name, "severity": "critical"}
		for _, l := range list {
			if l.Name != "__name__" {
				ls[l.Name] = l.Value
			}
		}
		if strings.Contains(e.Expr, "$service") {
			ls["service"] = service
		}
		a := page.Alert{ID: ls.ID(), Status: page.Firing, Labels: ls, GeneratorURL: "/graph?g0.expr=" + url.QueryEscape(text)}
		p.Members[a.ID] = page.Member{Alert: a, Open: true}
	})
	require.NoError(t, err, text)
	p.Group.GroupLabels = page.Labels{"alertname": e.Name, "service": service}
	return p, len(p.Members) > 0
}

// judge says what is wrong with a chart: "" where what fails ends where the rule
// fires, or apart from the healthy where there is no threshold, and the healthy do not.
func judge(c page.Chart) string {
	end := func(vs []page.Sample) float64 {
		for _, v := range slices.Backward(vs) {
			if !math.IsNaN(float64(v)) {
				return float64(v)
			}
		}
		return math.NaN()
	}
	failing, healthy := end(c.Failing[0].Values), end(c.Healthy.Middle)
	if c.Threshold == nil {
		if failing == healthy {
			return fmt.Sprintf("%s ends at %g, as the healthy do", c.Failing[0].Name, failing)
		}
		return ""
	}
	sign := 1.0
	if c.Below {
		sign = -1
	}
	if !(sign*(failing-*c.Threshold) >= 0) || sign*(healthy-*c.Threshold) > 0 {
		return fmt.Sprintf("%s ends at %g, the healthy at %g, the rule fires at %g (below: %t)", c.Failing[0].Name, failing, healthy, *c.Threshold, c.Below)
	}
	return ""
}

// look draws a chart, to the folder that CHARTS names.
func look(t *testing.T, name string, c page.Chart) {
	t.Helper()
	svg, err := chart.SVG(c, chart.Options{})
	require.NoError(t, err)
	require.NotEmpty(t, svg)
	if dir := os.Getenv("CHARTS"); dir != "" {
		b, err := chart.PNG(c, chart.Options{})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), b, 0o600))
	}
}

// TestEveryExpressionHasAChart draws the chart of every expression of the
// catalogue that a fault makes fire, on PromQL's own engine.
func TestEveryExpressionHasAChart(t *testing.T) {
	all, err := expressions.All()
	require.NoError(t, err)
	roles := enrich.Roles{"host": {"host", "instance"}, "deploy": {"version"}, "user": {"user"}, "datacentre": {"dc"}}
	fired, drawn, right := map[string]bool{}, map[string]bool{}, map[string]bool{}
	charts, good, queries, judged, compared := 0, 0, 0, 0, 0
	for _, scene := range []struct {
		kind scenario.Kind
		sick time.Duration
	}{
		{scenario.BadHost, 2 * time.Minute},
		{scenario.TargetDown, 2 * time.Minute},
		{scenario.BadHost, 40 * time.Second}, // what is true for a while only
		{scenario.TargetDown, 40 * time.Second},
		{scenario.BadHost, 8 * time.Minute},    // and what takes its time
		{scenario.Everything, 2 * time.Minute}, // and what is true only where nobody is well
	} {
		kind, w := scene.kind, world(t, scene.kind, scene.sick)
		k := thanos.Kind()
		cfg, ok := k.Config().(*thanos.Config)
		require.True(t, ok)
		cfg.HTTP, cfg.Baselines, cfg.Timeout = w.fake.URL, nil, config.Duration(time.Minute)
		source, err := k.New(cfg, enrich.Deps{Name: "main", Transport: http.DefaultTransport, Roles: roles, Now: func() time.Time { return w.now }})
		require.NoError(t, err)
		en := enrich.New(enrich.Options{
			Sources: []enrich.Named{{Name: "main", Source: source}}, Explainer: traits.New(roles), Roles: roles, Now: func() time.Time { return w.now },
		})
		for _, e := range all {
			if !e.Fires(kind) || fired[e.Name] {
				continue
			}
			w.record(t, e)
			p, ok := w.problem(t, e)
			if !ok {
				continue
			}
			fired[e.Name] = true
			p.Context = en.Context(t.Context(), p)
			before := len(w.fake.Asked())
			c, ok := en.Chart(t.Context(), p)
			queries += len(w.fake.Asked()) - before
			if !ok {
				t.Logf("%s, %s: no chart", kind, e.Name)
				continue
			}
			charts++
			drawn[e.Name] = true
			look(t, e.Name, c)
			if c.Threshold != nil {
				judged++
			}
			if c.Healthy.Members > 0 {
				compared++
			}
			if why := judge(c); why != "" {
				t.Logf("%s, %s: %s", kind, e.Name, why)
				continue
			}
			good++
			right[e.Name] = true
		}
	}
	for _, e := range all {
		if !fired[e.Name] {
			t.Logf("%s does not fire here", e.Name)
		}
	}
	t.Logf("%d charts have a threshold, %d healthy members", judged, compared)
	t.Logf("of %d expressions %d fire, %d are drawn, %d rightly; %d of %d charts right, %.1f queries each",
		len(all), len(fired), len(drawn), len(right), good, charts, float64(queries)/float64(max(charts, 1)))
	require.GreaterOrEqual(t, len(drawn), len(fired)*95/100)
	require.GreaterOrEqual(t, len(right), len(drawn)*95/100)
}
