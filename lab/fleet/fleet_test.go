package fleet_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fleet"
)

// clock is a time that moves when told to.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) forward(d time.Duration) { c.t = c.t.Add(d) }

func newFleet(t *testing.T, o fleet.Options) (*fleet.Fleet, *clock) {
	t.Helper()
	c := &clock{t: time.Unix(1_700_000_000, 0)}
	o.Now = c.now
	f, err := fleet.New(o)
	require.NoError(t, err)
	return f, c
}

func scrape(t *testing.T, f *fleet.Fleet, n int) []byte {
	t.Helper()
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("/t/%d/metrics", n), nil))
	require.Equal(t, http.StatusOK, rec.Code)
	return rec.Body.Bytes()
}

func parse(t *testing.T, body []byte) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(body))
	require.NoError(t, err)
	return families
}

// requests sums http_requests_total over the series that carry all of want.
func requests(families map[string]*dto.MetricFamily, want map[string]string) float64 {
	var sum float64
	for _, m := range families["http_requests_total"].GetMetric() {
		match := 0
		for _, l := range m.GetLabel() {
			if want[l.GetName()] == l.GetValue() {
				match++
			}
		}
		if match == len(want) {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

func TestExpositionIsValid(t *testing.T) {
	f, c := newFleet(t, fleet.Options{})
	c.forward(time.Minute)
	body := scrape(t, f, 0)
	families := parse(t, body)
	problems, err := promlint.New(bytes.NewReader(body)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	h := families["http_request_duration_seconds"].GetMetric()[0].GetHistogram()
	require.InDelta(t, requests(families, nil), float64(h.GetSampleCount()), 0, "both count the same requests")
	require.Less(t, bytes.Count(body, []byte("\n")), 150, "a target stays small")
}

func TestRatesFollowEffects(t *testing.T) {
	const minute = time.Minute
	share := func(families map[string]*dto.MetricFamily, where map[string]string) float64 {
		bad := map[string]string{"code": "500"}
		maps.Copy(bad, where)
		return requests(families, bad) / requests(families, where)
	}
	f, c := newFleet(t, fleet.Options{Seed: 7})
	c.forward(5 * minute)
	healthy := parse(t, scrape(t, f, 0))
	require.InDelta(t, 0.002, share(healthy, nil), 0.002)
	require.InDelta(t, 300*30, requests(healthy, nil), 300*10)

	t.Run("a deploy", func(t *testing.T) {
		f.Apply("deploy", fleet.Effect{Where: map[string]string{"service": "checkout"}, Version: "v42", Errors: 0.3})
		c.forward(minute)
		got := parse(t, scrape(t, f, 0))
		require.Zero(t, requests(got, map[string]string{"version": fleet.Base}), "the old process is gone")
		require.InDelta(t, 0.3, share(got, map[string]string{"version": "v42"}), 0.04)
		require.InDelta(t, 0.002, share(parse(t, scrape(t, f, 1)), nil), 0.003, "another service is well")
		f.Remove("deploy")
		c.forward(minute)
		got = parse(t, scrape(t, f, 0))
		require.InDelta(t, 0.002, share(got, nil), 0.005, "rolled back")
	})
	t.Run("a user", func(t *testing.T) {
		user := f.Users()[2]
		f.Apply("user", fleet.Effect{Where: map[string]string{"service": "cart", "user": user}, Errors: 0.9})
		before := parse(t, scrape(t, f, 1))
		c.forward(minute)
		after := parse(t, scrape(t, f, 1))
		delta := func(where map[string]string) float64 { return requests(after, where) - requests(before, where) }
		require.InDelta(t, 0.9, delta(map[string]string{"user": user, "code": "500"})/delta(map[string]string{"user": user}), 0.08)
		require.InDelta(t, 0.002, delta(map[string]string{"user": f.Users()[3], "code": "500"})/delta(map[string]string{"user": f.Users()[3]}), 0.03)
	})
	t.Run("latency", func(t *testing.T) {
		e := fleet.Effect{Where: map[string]string{"service": "search", "dc": "ams"}, Latency: 8}
		f.Apply("slow", e)
		_, slow, _ := f.Level("search", e, 0.5)
		require.Greater(t, slow, 0.1)
		before := parse(t, scrape(t, f, 3))["http_request_duration_seconds"].GetMetric()[0].GetHistogram()
		c.forward(minute)
		after := parse(t, scrape(t, f, 3))["http_request_duration_seconds"].GetMetric()[0].GetHistogram()
		mean := (after.GetSampleSum() - before.GetSampleSum()) / float64(after.GetSampleCount()-before.GetSampleCount())
		require.InDelta(t, 8*0.0907, mean, 0.08, "a log-normal's mean is its median times exp(sigma^2/2)")
	})
}

func TestDownTargetHangsUp(t *testing.T) {
	f, _ := newFleet(t, fleet.Options{})
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	get := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/t/0/metrics", nil)
		require.NoError(t, err)
		res, err := srv.Client().Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	require.NoError(t, get())
	f.Apply("down", fleet.Effect{Where: map[string]string{"host": "checkout-01"}, Down: true})
	require.Error(t, get())
	f.Remove("down")
	require.NoError(t, get())
}

func TestPathsThatAreNoTarget(t *testing.T) {
	f, _ := newFleet(t, fleet.Options{})
	for _, p := range []string{"/", "/t/300/metrics", "/t/-1/metrics", "/t/01/metrics", "/t/1/metrics/x", "/t/x/metrics"} {
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, p, nil))
		require.Equal(t, http.StatusNotFound, rec.Code, p)
	}
}

func TestDiscovery(t *testing.T) {
	f, _ := newFleet(t, fleet.Options{Targets: 300})
	raw, err := f.Discovery("127.0.0.1:1")
	require.NoError(t, err)
	var groups []struct {
		Targets []string
		Labels  map[string]string
	}
	require.NoError(t, json.Unmarshal(raw, &groups))
	require.Len(t, groups, 300)
	instances, hosts := map[string]bool{}, map[string]int{}
	for _, g := range groups {
		require.Equal(t, []string{"127.0.0.1:1"}, g.Targets)
		instances[g.Labels["instance"]] = true
		hosts[g.Labels["host"]]++
	}
	require.Len(t, instances, 300, "every instance has its own name")
	require.Len(t, hosts, 50)
	for host, n := range hosts {
		require.Equal(t, 6, n, host)
	}
	_, err = fleet.New(fleet.Options{Targets: 5})
	require.EqualError(t, err, "5 targets are too few: 5 services need 30 or more")
}

func TestLevel(t *testing.T) {
	f, _ := newFleet(t, fleet.Options{Seed: 3})
	errs, slow, down := f.Level("checkout", fleet.Effect{Where: map[string]string{"service": "checkout"}, Errors: 0.12}, 0.5)
	require.InDelta(t, 0.12, errs, 1e-9)
	require.InDelta(t, 0, slow, 0.001)
	require.Zero(t, down)
	_, _, down = f.Level("checkout", fleet.Effect{Where: map[string]string{"host": "checkout-03"}, Down: true}, 0.5)
	require.InDelta(t, 0.1, down, 1e-9)
}

// The same seed at the same times gives the same metrics.
func TestSeedDecides(t *testing.T) {
	render := func(seed uint64) []byte {
		f, c := newFleet(t, fleet.Options{Seed: seed})
		c.forward(time.Minute)
		return scrape(t, f, 17)
	}
	require.Equal(t, render(5), render(5))
	require.NotEqual(t, render(5), render(6))
}

func BenchmarkScrape(b *testing.B) {
	c := &clock{t: time.Unix(1_700_000_000, 0)}
	f, err := fleet.New(fleet.Options{Now: c.now})
	require.NoError(b, err)
	req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/t/0/metrics", nil)
	for b.Loop() {
		c.forward(5 * time.Second)
		f.ServeHTTP(httptest.NewRecorder(), req)
	}
}
