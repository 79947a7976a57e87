package probe_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/probe"
)

// sums of a label's value over what the probe tells, and their count.
func told(t *testing.T, p *probe.Probe, want map[string]string) (seconds float64, requests uint64) {
	t.Helper()
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(rec.Body)
	require.NoError(t, err)
	for _, m := range families["probe_request_duration_seconds"].GetMetric() {
		if has(m, want) {
			seconds += m.GetHistogram().GetSampleSum()
			requests += m.GetHistogram().GetSampleCount()
		}
	}
	return seconds, requests
}

func has(m *dto.Metric, want map[string]string) bool {
	n := 0
	for _, l := range m.GetLabel() {
		if v, ok := want[l.GetName()]; ok && v == l.GetValue() {
			n++
		}
	}
	return n == len(want)
}

// The probe sees what users do, without a look at the fleet's own metrics: which
// datacentre is slow, which version fails, that one is gone.
func TestProbeSeesWhatUsersSee(t *testing.T) {
	f, err := fleet.New(fleet.Options{Targets: 36, Services: []string{"search", "cart"}})
	require.NoError(t, err)
	f.Apply("slow", fleet.Effect{Where: map[string]string{"service": "search", "dc": "ams"}, Latency: 8})
	f.Apply("deploy", fleet.Effect{Where: map[string]string{"service": "cart", "dc": "fra"}, Version: "v42", Errors: 1})
	f.Apply("gone", fleet.Effect{Where: map[string]string{"service": "cart", "dc": "iad"}, Down: true})
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	p := probe.New(probe.Options{Base: srv.URL, Path: fleet.FrontPath, Fronts: f.Fronts(), Version: fleet.VersionHeader, Every: 5 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	requests := func(want map[string]string) uint64 {
		_, n := told(t, p, want)
		return n
	}
	const enough = 6
	slow := map[string]string{"dc": "ams", "service": "search"}
	require.Eventually(t, func() bool {
		return requests(slow) >= enough && requests(map[string]string{"dc": "fra", "service": "search"}) >= enough &&
			requests(map[string]string{"version": "v42"}) >= enough && requests(map[string]string{"dc": "iad", "service": "cart"}) >= enough
	}, time.Minute, 10*time.Millisecond)
	stop()
	<-done
	mean := func(want map[string]string) float64 {
		seconds, n := told(t, p, want)
		return seconds / float64(n)
	}
	require.Greater(t, mean(slow), 2*latency(t, p), "the slow datacentre is slow")
	require.Zero(t, requests(map[string]string{"version": "v42", "result": "ok"}))
	require.NotZero(t, requests(map[string]string{"version": fleet.Base, "result": "ok", "dc": "ams", "service": "cart"}))
	require.Zero(t, requests(map[string]string{"dc": "iad", "service": "cart", "result": "ok"}), "who is down is no answer")
	sent := requests(nil)
	require.Equal(t, sent, requests(nil), "it has stopped")
}

// latency is what the same service takes elsewhere.
func latency(t *testing.T, p *probe.Probe) float64 {
	t.Helper()
	seconds, n := told(t, p, map[string]string{"dc": "fra", "service": "search"})
	return seconds / float64(n)
}
