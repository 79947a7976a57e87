package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/webhook"
)

func benchBody(n int64) []byte {
	return fmt.Appendf(nil, `{"receiver":"team-payments","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"HighErrors","cluster":"eu1","instance":"10.0.0.1:8080","n":"%d","severity":"critical"},"annotations":{"summary":"5 %% of checkout fail","description":"%s"},"startsAt":"2026-11-22T13:33:42.123Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus:9090/graph?g0.expr=up","fingerprint":"%016x"}],"groupLabels":{"alertname":"HighErrors"},"commonLabels":{"alertname":"HighErrors"},"commonAnnotations":{},"externalURL":"http://alertmanager:9093","version":"4","groupKey":"{}:{n=\"%d\"}","truncatedAlerts":0}`,
		n, strings.Repeat("What happened and why it matters. ", 20), n, n)
}

// BenchmarkWebhooks posts webhooks over real connections to the real handler,
// which answers once they are on disk; nothing reads the body and answers 202 at
// once, which is what any receiver could do at best.
func BenchmarkWebhooks(b *testing.B) {
	rates := map[string]float64{}
	for _, conns := range []int{1, 16, 64} {
		for _, name := range []string{"nothing", "ours"} {
			b.Run(fmt.Sprintf("%s/%d_connections", name, conns), func(b *testing.B) {
				handler := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					w.WriteHeader(http.StatusAccepted)
				}))
				if name == "ours" {
					s, err := bolt.Open(bolt.Config{Path: filepath.Join(b.TempDir(), "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, nil)
					require.NoError(b, err)
					defer func() { require.NoError(b, s.Close()) }()
					handler = &webhook.Handler{
						Anonymous: "dc1", Limits: webhook.DefaultLimits(), Door: &webhook.Door{Store: s},
						Log: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: webhook.NewMetrics(nil),
					}
				}
				rate := postAll(b, handler, conns)
				rates[b.Name()] = rate
				if other := rates[strings.Replace(b.Name(), "ours", "nothing", 1)]; name == "ours" && other > 0 {
					b.ReportMetric(rate/other, "of_nothing")
				}
			})
		}
	}
}

func postAll(b *testing.B, h http.Handler, conns int) (rate float64) {
	b.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns, MaxConnsPerHost: conns}}
	var next atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	b.ResetTimer()
	for range conns {
		all.Go(func() {
			var own []time.Duration
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				began := time.Now()
				res, err := client.Post(srv.URL, "application/json", bytes.NewReader(benchBody(n)))
				if err != nil || res.StatusCode != http.StatusAccepted {
					b.Error(res, err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(took)
	rate = float64(len(took)) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "webhooks/s")
	if len(took) > 0 {
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99_ms")
	}
	return rate
}

// BenchmarkStart opens a store with 100,000 open problems, each with its page and
// two receipts, and says how long that takes and how much memory it holds.
func BenchmarkStart(b *testing.B) {
	const problems = 100_000
	path := filepath.Join(b.TempDir(), "tocsin.db")
	open := func() *bolt.Store {
		s, err := bolt.Open(bolt.Config{Path: path}, slog.New(slog.DiscardHandler), time.Now, nil)
		require.NoError(b, err)
		return s
	}
	s := open()
	fillProblems(b, s, problems)
	require.NoError(b, s.Close())
	for b.Loop() {
		s = open()
		b.StopTimer()
		debug.FreeOSMemory() // what filled the file has gone
		b.ReportMetric(resident(b, "VmRSS"), "RSS_MB")
		b.ReportMetric(resident(b, "RssAnon"), "RSS_without_file_MB")
		b.ReportMetric(float64(s.Size().Used)/1e6, "used_MB")
		require.NoError(b, s.Close())
		b.StartTimer()
	}
}

func fillProblems(b *testing.B, s store.Store, n int) {
	b.Helper()
	var ops []store.Op
	add := func(key string, v any) {
		value, err := store.Marshal(v)
		require.NoError(b, err)
		if ops = append(ops, store.Put(key, value)); len(ops) == store.MaxOps {
			require.NoError(b, s.Apply(context.Background(), ops...))
			ops = nil
		}
	}
	for i := range n {
		note, err := webhook.Decode("dc1", benchBody(int64(i)), webhook.DefaultLimits())
		require.NoError(b, err)
		p := page.Problem{
			ID: note.ProblemID(), State: page.Open, Episode: 1, Revision: 1, Receiver: note.Receiver, GroupKey: note.GroupKey, Group: note,
			Members: map[string]page.Member{note.Alerts[0].ID: {Alert: note.Alerts[0], Open: true, Episode: 1}},
		}
		add(store.ProblemKey(p.ID), p)
		add(store.PageKey(p.ID, 1), p.View())
		for _, target := range []string{"slack/payments", "pagerduty/oncall"} {
			add(store.ReceiptKey(p.ID, 1, target), page.Receipt{Problem: p.ID, Episode: 1, Target: target, State: page.Sent, Ref: p.ID})
		}
	}
	require.NoError(b, s.Apply(context.Background(), ops...))
}

// resident returns a line of the process's memory, in MB: VmRSS is all of it,
// RssAnon without the pages of the file, which the kernel takes back as it likes.
func resident(b *testing.B, line string) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	_, rest, found := strings.Cut(string(text), line+":")
	require.True(b, found)
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(b, err)
	return float64(kb) / 1e3
}
