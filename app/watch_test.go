package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/webhook"
)

func watched(t *testing.T, now func() time.Time) store.Store {
	t.Helper()
	s, err := bolt.Open(bolt.Config{Path: filepath.Join(t.TempDir(), "tocsin.db")}, slog.New(slog.DiscardHandler), now, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// advance applies the events that wait, as the pipeline does.
func advance(t *testing.T, s store.Store) (p page.Problem) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		l, err := s.Take(ctx, store.LaneEvents, time.Minute)
		cancel()
		if err != nil {
			return p
		}
		var e page.Event
		require.NoError(t, store.Unmarshal(l.Value, &e))
		before, rev, err := pipeline.Load(t.Context(), s, e.Problem)
		require.NoError(t, err)
		p = pipeline.Advance(before, e).Problem
		value, err := store.Marshal(p)
		require.NoError(t, err)
		require.NoError(t, s.Apply(t.Context(), store.Done(l), store.Swap(store.ProblemKey(p.ID), rev, value)))
	}
}

// A cluster that falls silent is a page of Tocsin's own, and its end when it is
// heard again. A start is given its time.
func TestFaultSilenceOfAClusterIsAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := watched(t, time.Now)
		am := Alertmanager{Name: "dc1", Watchdog: Watchdog{Alertname: "Watchdog", Within: config.Duration(15 * time.Minute)}}
		d := &dog{store: s, log: slog.New(slog.DiscardHandler), now: time.Now, metrics: newMetrics(prometheus.NewRegistry()), began: time.Now()}
		look := func(after time.Duration) page.Problem {
			pause(t.Context(), after)
			require.NoError(t, d.look(t.Context(), am))
			return advance(t, s)
		}
		beat := func() {
			require.NoError(t, s.Apply(t.Context(), store.Put(store.BeatKey("dc1"), []byte(time.Now().UTC().Format(time.RFC3339Nano)))))
		}
		require.Empty(t, look(14*time.Minute).ID, "it has only begun")
		p := look(2 * time.Minute)
		require.Equal(t, page.Open, p.State, "never heard")
		require.True(t, p.Self)
		require.Equal(t, page.Critical, p.Severity())
		require.Equal(t, "The alerts of cluster dc1 do not reach Tocsin: no Watchdog within 15m0s", p.View().Summary)

		beat()
		require.Equal(t, page.Closed, look(time.Minute).State, "heard again")
		require.Empty(t, look(10*time.Minute).ID)
		beat()
		require.Empty(t, look(10*time.Minute).ID)
		p = look(6 * time.Minute)
		require.Equal(t, page.Open, p.State)
		require.Equal(t, 2, p.Episode)
		require.Contains(t, p.View().Details, "last heard 16m")
	})
}

// The heartbeat stops within five minutes of what it stands for.
func TestFaultTheHeartbeatStops(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s, arrived := watched(t, now), now()
	var asked atomic.Int64
	status := http.StatusOK
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(status)
	}))
	defer outside.Close()
	p := &plan{Config: DefaultConfig()}
	p.Canary.Every = config.Duration(time.Minute)
	m := newMetrics(prometheus.NewRegistry())
	h := &heart{
		store: s, log: slog.New(slog.DiscardHandler), now: now, plan: func() *plan { return p },
		canary: func() time.Time { return arrived }, remote: remote.New(&http.Transport{}, maxHeartbeat), metrics: m,
	}
	beats := func() (sent, withheld, failed float64) {
		h.beat(t.Context(), config.Secret(outside.URL))
		count := func(outcome string) float64 { return testutil.ToFloat64(m.heartbeats.WithLabelValues(outcome)) }
		return count("sent"), count("withheld"), count("failed")
	}
	expect := func(sent, withheld, failed float64) {
		t.Helper()
		a, b, c := beats()
		require.Equal(t, []float64{sent, withheld, failed}, []float64{a, b, c})
	}
	expect(1, 0, 0)
	ahead.Add(int64(3*time.Minute + time.Second)) // of canaries that fly every minute
	expect(1, 1, 0)
	arrived = now()
	expect(2, 1, 0)

	door := &webhook.Door{Store: s}
	require.NoError(t, door.Put(t.Context(), webhook.Alarm("X", "", "", nil, now())))
	expect(3, 1, 0)
	ahead.Add(int64(2 * time.Minute))
	arrived = now()
	expect(3, 2, 0)
	advance(t, s)
	expect(4, 2, 0)

	status = http.StatusNotFound
	expect(4, 2, 1)
	require.EqualValues(t, 5, asked.Load(), "what was withheld was not asked")
}
