package fleet_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fleet"
)

// one is the value of the only series of a family that carries the labels.
func one(t *testing.T, families map[string]*dto.MetricFamily, name string, want map[string]string) float64 {
	t.Helper()
	var found []*dto.Metric
	for _, m := range families[name].GetMetric() {
		n := 0
		for _, l := range m.GetLabel() {
			if want[l.GetName()] == l.GetValue() {
				n++
			}
		}
		if n == len(want) {
			found = append(found, m)
		}
	}
	require.Len(t, found, 1, "%s %v", name, want)
	return found[0].GetGauge().GetValue() + found[0].GetCounter().GetValue()
}

func get(t *testing.T, f *fleet.Fleet, path string, proto bool) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if proto {
		req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	}
	f.ServeHTTP(rec, req)
	require.Equal(t, http.StatusOK, rec.Code)
	return rec
}

func TestSignalsAreValid(t *testing.T) {
	f, c := newFleet(t, fleet.Options{Signals: true})
	c.forward(time.Minute)
	for _, path := range []string{"/t/0/metrics", "/t/watch/metrics"} {
		body := get(t, f, path, false).Body.Bytes()
		parse(t, body)
		problems, err := promlint.New(bytes.NewReader(body)).Lint()
		require.NoError(t, err)
		require.Empty(t, problems, path)
	}
	plain, _ := newFleet(t, fleet.Options{})
	rec := httptest.NewRecorder()
	plain.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/t/watch/metrics", nil))
	require.Equal(t, http.StatusNotFound, rec.Code, "nobody watches a fleet that only tells its requests")
}

func TestSignalsFollowEffects(t *testing.T) {
	f, c := newFleet(t, fleet.Options{Signals: true, Seed: 7})
	ill, well := map[string]string{"user": f.Users()[2]}, map[string]string{"user": f.Users()[3]}
	all := map[string]string{}
	see := func(n int) map[string]*dto.MetricFamily { return parse(t, scrape(t, f, n)) }

	f.Apply("host", fleet.Effect{Where: map[string]string{"host": "checkout-01"}, Full: true})
	c.forward(time.Minute)
	sick, calm := see(0), see(1)
	require.Greater(t, one(t, sick, "queue_length", all), 100.0)
	require.Less(t, one(t, calm, "queue_length", all), 30.0)
	require.Greater(t, one(t, sick, "tenant_queue_length", ill), 80.0, "all its users wait")
	require.Less(t, one(t, sick, "filesystem_avail_bytes", map[string]string{"device": "sda1"}), float64(5<<30))
	require.Greater(t, one(t, sick, "worker_restarts_total", all), 5.0)
	require.Zero(t, one(t, calm, "worker_restarts_total", all))
	require.InDelta(t, 60, float64(c.now().Unix())-one(t, sick, "job_last_success_timestamp_seconds", all), 1)
	require.NotContains(t, sick, "session_active")
	require.Contains(t, calm, "session_active")

	f.Remove("host")
	f.Apply("user", fleet.Effect{Where: map[string]string{"service": "cart", "user": ill["user"]}, Full: true, Latency: 8})
	c.forward(time.Minute)
	hit := see(1)
	require.Contains(t, see(0), "session_active", "healed")
	require.Greater(t, one(t, hit, "tenant_queue_length", ill), 80.0)
	require.Less(t, one(t, hit, "tenant_queue_length", well), 30.0)
	require.Greater(t, one(t, hit, "tenant_rejected_samples_total", ill), 50.0)
	require.Zero(t, one(t, hit, "tenant_rejected_samples_total", well))
	require.Less(t, one(t, hit, "queue_length", all), 30.0, "the target itself is well")
}

func TestNativeHistograms(t *testing.T) {
	f, c := newFleet(t, fleet.Options{Signals: true, Seed: 7})
	user := f.Users()[2]
	f.Apply("user", fleet.Effect{Where: map[string]string{"service": "checkout", "user": user}, Latency: 8})
	c.forward(5 * time.Minute)
	rec := get(t, f, "/t/0/metrics", true)
	dec := expfmt.NewDecoder(rec.Body, expfmt.ResponseFormat(rec.Header()))
	families := map[string]*dto.MetricFamily{}
	for {
		var mf dto.MetricFamily
		if dec.Decode(&mf) != nil {
			break
		}
		families[mf.GetName()] = &mf
	}
	require.Contains(t, families, "http_requests_total", "the rest is there too")
	total := uint64(0)
	for _, m := range families["rpc_duration_seconds"].GetMetric() {
		h := m.GetHistogram()
		var sum, n int64
		for _, d := range h.GetPositiveDelta() {
			n += d
			require.GreaterOrEqual(t, n, int64(0))
			sum += n
		}
		require.Equal(t, h.GetSampleCount(), uint64(sum))
		total += h.GetSampleCount()
		want := 0.0907
		if m.GetLabel()[0].GetValue() == user {
			want *= 8
		}
		require.InDelta(t, want, h.GetSampleSum()/float64(h.GetSampleCount()), want/4)
	}
	require.InDelta(t, requests(families, nil), float64(total), 0, "every request is a call")
}

func TestWatchSeesWhoIsDown(t *testing.T) {
	f, c := newFleet(t, fleet.Options{Signals: true})
	f.Apply("down", fleet.Effect{Where: map[string]string{"host": "checkout-02"}, Down: true})
	c.forward(30 * time.Second)
	families := parse(t, get(t, f, "/t/watch/metrics", false).Body.Bytes())
	down, failures := 0, 0.0
	for _, m := range families["probe_success"].GetMetric() {
		if m.GetGauge().GetValue() == 0 {
			down++
		}
	}
	for _, m := range families["probe_failures_total"].GetMetric() {
		failures += m.GetCounter().GetValue()
	}
	require.Equal(t, 6, down)
	require.InDelta(t, 6*30, failures, 0)
	member := map[string]string{"target": f.Members("checkout")[6]["instance"]}
	require.InDelta(t, 30, float64(c.now().Unix())-one(t, families, "member_last_seen_timestamp_seconds", member), 1)
	f.Remove("down")
	families = parse(t, get(t, f, "/t/watch/metrics", false).Body.Bytes())
	require.InDelta(t, c.now().Unix(), one(t, families, "member_last_seen_timestamp_seconds", member), 1)
}
