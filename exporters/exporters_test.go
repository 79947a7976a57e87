package exporters_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters"
)

// probe is an Exposer that does what the test says.
type probe struct {
	name   string
	runs   atomic.Int32
	expose func(ctx context.Context, out *exporters.Text) error
}

func (p *probe) Name() string { return p.name }

func (p *probe) Expose(ctx context.Context, out *exporters.Text) error {
	p.runs.Add(1)
	return p.expose(ctx, out)
}

func family(name string) *exporters.Family {
	return &exporters.Family{Name: name, Help: "Help of it.", Type: exporters.Gauge}
}

func handler(t *testing.T, log io.Writer, exposers ...exporters.Exposer) http.Handler {
	t.Helper()
	e, err := exporters.New(exporters.Options{
		Prefix: "probe", Name: "probe_exporter", Exposers: exposers, Timeout: 10 * time.Second,
		TimeoutOffset: time.Second, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	require.NoError(t, err)
	h, err := e.Handler()
	require.NoError(t, err)
	return h
}

func scrape(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// parsed reads a body as strictly as Prometheus' own parser of the format.
func parsed(t *testing.T, body io.Reader) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	out, err := parser.TextToMetricFamilies(body)
	require.NoError(t, err)
	return out
}

// value is that of the only sample with these label values, and whether there is one.
func value(f *dto.MetricFamily, labels ...string) (float64, bool) {
	for _, m := range f.GetMetric() {
		var got []string
		for _, l := range m.Label {
			got = append(got, l.GetValue())
		}
		if strings.Join(got, "\x00") == strings.Join(labels, "\x00") {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue(), true
		}
	}
	return 0, false
}

func TestSamplesAreReadBackAsTheyWere(t *testing.T) {
	hostile := "a\\b\"c\nd\xff\xc3é{},="
	p := &probe{name: "one", expose: func(_ context.Context, out *exporters.Text) error {
		l := out.Family(&exporters.Family{Name: "one_things_total", Help: "Things \\ and\nmore.", Type: exporters.Counter})
		l.Uint(nil, 1<<53+1)
		l.Uint(exporters.AppendLabel(exporters.AppendLabel(nil, "a", "x"), "b", []byte(hostile)), 7)
		out.Family(family("one_ratio")).Float(nil, 0.25)
		out.Family(family("one_ratio_of_nothing"))
		return nil
	}}
	w := scrape(t, handler(t, io.Discard, p), "/metrics")
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", w.Header().Get("Content-Type"))
	mfs := parsed(t, w.Body)
	require.Equal(t, dto.MetricType_COUNTER, mfs["one_things_total"].GetType())
	require.Equal(t, "Things \\ and\nmore.", mfs["one_things_total"].GetHelp())
	v, ok := value(mfs["one_things_total"], "x", "a\\b\"c\nd��é{},=")
	require.True(t, ok)
	require.InDelta(t, 7, v, 0)
	v, ok = value(mfs["one_ratio"])
	require.True(t, ok)
	require.InDelta(t, 0.25, v, 0)
	require.NotContains(t, mfs, "one_ratio_of_nothing")
}

func TestOwnMetricsKeepTheRulesOfNames(t *testing.T) {
	w := scrape(t, handler(t, io.Discard, &probe{name: "one", expose: func(context.Context, *exporters.Text) error { return nil }}), "/metrics")
	problems, err := promlint.New(w.Body).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestSimultaneousScrapesShareOneCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{name: "one", expose: func(_ context.Context, out *exporters.Text) error {
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
			out.Family(family("one")).Uint(nil, 1)
			return nil
		}}
		other := &probe{name: "other", expose: func(context.Context, *exporters.Text) error { return nil }}
		h := handler(t, io.Discard, p, other)
		var group sync.WaitGroup
		for i := range 40 {
			group.Go(func() {
				path := "/metrics"
				if i%2 == 1 { // a different set of collectors still shares the one both have
					path = "/metrics?collect[]=one"
				}
				w := scrape(t, h, path)
				v, ok := value(parsed(t, w.Body)["one"])
				require.True(t, ok && v == 1)
			})
		}
		group.Wait()
		require.EqualValues(t, 1, p.runs.Load())
		scrape(t, h, "/metrics")
		require.EqualValues(t, 2, p.runs.Load(), "what is served is never old")
	})
}

func TestTheScrapersTimeoutIsKeptAndPartialResultsAreMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		slow := &probe{name: "slow", expose: func(ctx context.Context, out *exporters.Text) error {
			out.Family(family("slow")).Uint(nil, 1)
			<-ctx.Done()
			return ctx.Err()
		}}
		release := make(chan struct{})
		hung := &probe{name: "hung", expose: func(_ context.Context, out *exporters.Text) error {
			out.Family(family("hung")).Uint(nil, 1)
			<-release
			out.Family(family("hung_late")).Uint(nil, 1)
			return nil
		}}
		quick := &probe{name: "quick", expose: func(_ context.Context, out *exporters.Text) error {
			out.Family(family("quick")).Uint(nil, 1)
			return nil
		}}
		h := handler(t, &log, slow, hung, quick)
		for round := range 2 {
			began := time.Now()
			mfs := parsed(t, scrape(t, h, "/metrics", "X-Prometheus-Scrape-Timeout-Seconds", "4").Body)
			took := time.Since(began)
			require.Greater(t, took, 2900*time.Millisecond)
			require.Less(t, took, 4*time.Second)
			require.Contains(t, mfs, "slow", "partial results are there")
			require.Contains(t, mfs, "quick")
			if round == 0 {
				require.Contains(t, mfs, "hung")
			} else {
				require.NotContains(t, mfs, "hung", "what an overdue collection has is too old for this scrape")
			}
			for name, want := range map[string]float64{"slow": 0, "hung": 0, "quick": 1} {
				v, ok := value(mfs["probe_scrape_collector_success"], name)
				require.True(t, ok, name)
				require.InDelta(t, want, v, 0, name)
			}
		}
		require.EqualValues(t, 1, hung.runs.Load(), "a collector that hangs is not begun again")
		require.Equal(t, 2, strings.Count(log.String(), "collector fails"), "said once each: %s", log.String())
		close(release)
		synctest.Wait()
		mfs := parsed(t, scrape(t, h, "/metrics?collect[]=hung").Body)
		v, _ := value(mfs["probe_scrape_collector_success"], "hung")
		require.InDelta(t, 1, v, 0)
		require.Contains(t, mfs, "hung_late")
		require.Contains(t, log.String(), "collector is well again")
	})
}

// One who has less time than the one who began takes what is there by then.
func TestAScraperInAHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{name: "one", expose: func(_ context.Context, out *exporters.Text) error {
			out.Family(family("early")).Uint(nil, 1)
			time.Sleep(5 * time.Second) //nolint:forbidigo // the bubble's clock
			out.Family(family("late")).Uint(nil, 1)
			return nil
		}}
		h := handler(t, io.Discard, p)
		var first sync.WaitGroup
		first.Go(func() { require.Contains(t, parsed(t, scrape(t, h, "/metrics").Body), "late") })
		synctest.Wait()
		mfs := parsed(t, scrape(t, h, "/metrics", "X-Prometheus-Scrape-Timeout-Seconds", "2").Body)
		require.Contains(t, mfs, "early")
		require.NotContains(t, mfs, "late")
		first.Wait()
	})
}

func TestAPanicIsOneCollectorsOwn(t *testing.T) {
	var log bytes.Buffer
	h := handler(
		t, &log,
		&probe{name: "bad", expose: func(context.Context, *exporters.Text) error { panic("a mistake") }},
		&probe{name: "good", expose: func(_ context.Context, out *exporters.Text) error {
			out.Family(family("good")).Uint(nil, 1)
			return nil
		}},
	)
	mfs := parsed(t, scrape(t, h, "/metrics").Body)
	require.Contains(t, mfs, "good")
	v, _ := value(mfs["probe_scrape_collector_success"], "bad")
	require.InDelta(t, 0, v, 0)
	require.Contains(t, log.String(), "a mistake")
}

func TestCollectChooses(t *testing.T) {
	one := &probe{name: "one", expose: func(context.Context, *exporters.Text) error { return nil }}
	two := &probe{name: "two", expose: func(context.Context, *exporters.Text) error { return nil }}
	h := handler(t, io.Discard, one, two)
	require.Equal(t, http.StatusOK, scrape(t, h, "/metrics?collect[]=two&collect[]=two").Code)
	require.EqualValues(t, 0, one.runs.Load())
	require.EqualValues(t, 1, two.runs.Load())
	w := scrape(t, h, "/metrics?collect[]=three")
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), "there are one, two")
	_, err := exporters.New(exporters.Options{Timeout: 1, Exposers: []exporters.Exposer{one, one}})
	require.ErrorContains(t, err, "one is there twice")
	m, other := &metered{hist: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", Help: "H."})}, &renamed{}
	other.hist = m.hist
	_, err = exporters.New(exporters.Options{Timeout: 1, Exposers: []exporters.Exposer{exporters.Gather(m), exporters.Gather(other)}})
	require.ErrorContains(t, err, "metric x is there twice")
	_, err = exporters.New(exporters.Options{})
	require.ErrorContains(t, err, "timeout")
}

func TestGzip(t *testing.T) {
	h := handler(t, io.Discard, &probe{name: "one", expose: func(_ context.Context, out *exporters.Text) error {
		out.Family(family("one")).Uint(nil, 1)
		return nil
	}})
	for range 3 { // the compressor is used again
		w := scrape(t, h, "/metrics", "Accept-Encoding", "deflate, gzip;q=0.5")
		require.Equal(t, "gzip", w.Header().Get("Content-Encoding"))
		z, err := gzip.NewReader(w.Body)
		require.NoError(t, err)
		require.Contains(t, parsed(t, z), "one")
	}
	for _, accept := range []string{"", "deflate", "gzip;q=0", "gzip; q = 0.0"} {
		require.Empty(t, scrape(t, h, "/metrics", "Accept-Encoding", accept).Header().Get("Content-Encoding"), accept)
	}
}

func TestLandingAndHealth(t *testing.T) {
	h := handler(t, io.Discard, &probe{name: "one"})
	require.Contains(t, scrape(t, h, "/").Body.String(), "collect[]=one")
	require.Equal(t, "healthy\n", scrape(t, h, "/-/healthy").Body.String())
	require.Equal(t, http.StatusNotFound, scrape(t, h, "/other").Code)
}

// The cost of a collector that burns a core for a while is there, and it is that
// collector's.
func TestCostIsCounted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("the CPU time of a thread is known on Linux only")
		return
	}
	var spent atomic.Int64
	burn := &probe{name: "burn", expose: func(context.Context, *exporters.Text) error {
		for began, n := time.Now(), int64(0); time.Since(began) < 50*time.Millisecond; n++ {
			spent.Store(n)
		}
		return nil
	}}
	idle := &probe{name: "idle", expose: func(context.Context, *exporters.Text) error { return nil }}
	h := handler(t, io.Discard, burn, idle)
	last := 0.0
	for range 2 {
		mfs := parsed(t, scrape(t, h, "/metrics").Body)
		b, _ := value(mfs["probe_scrape_collector_cpu_seconds_total"], "burn")
		i, ok := value(mfs["probe_scrape_collector_cpu_seconds_total"], "idle")
		require.True(t, ok)
		require.Greater(t, b, last)
		require.Less(t, i, b)
		last = b
	}
}

// metered is a Collector of ordinary metrics.
type metered struct {
	hist   prometheus.Histogram
	err    error
	broken bool
}

func (*metered) Name() string                          { return "metered" }
func (m *metered) Describe(ch chan<- *prometheus.Desc) { m.hist.Describe(ch) }

func (m *metered) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	if _, ok := ctx.Deadline(); !ok {
		return errors.New("no deadline")
	}
	m.hist.Collect(ch)
	if m.broken {
		ch <- prometheus.NewInvalidMetric(m.hist.Desc(), errors.New("invalid"))
	}
	return m.err
}

// renamed is another Collector of the same metrics.
type renamed struct{ metered }

func (*renamed) Name() string { return "renamed" }

func TestOrdinaryMetrics(t *testing.T) {
	m := &metered{hist: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "metered_seconds", Help: "H.", Buckets: []float64{1}})}
	h := handler(t, io.Discard, exporters.Gather(m))
	for round, want := range []float64{1, 0, 0} {
		m.hist.Observe(2)
		m.err, m.broken = nil, round == 2
		if round == 1 {
			m.err = errors.New("half of it")
		}
		mfs := parsed(t, scrape(t, h, "/metrics").Body)
		require.EqualValues(t, round+1, mfs["metered_seconds"].Metric[0].Histogram.GetSampleCount(), "partial results are exposed, and none twice")
		v, _ := value(mfs["probe_scrape_collector_success"], "metered")
		require.InDelta(t, want, v, 0)
	}
}
