package drill_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
	"github.com/tocsin/tocsin/page"
)

// stage is a world whose servers answer as real ones would for the fault in
// force, and whose gateway is the test.
type stage struct {
	*world.World
	t *testing.T
}

func newStage(t *testing.T) stage {
	t.Helper()
	f, err := fleet.New(fleet.Options{})
	require.NoError(t, err)
	w := &world.World{
		Dir: t.TempDir(), Fleet: f, Board: scenario.NewBoard(f, 1),
		FakeSlack: fakeslack.New(fakeslack.Options{}), FakePD: fakepagerduty.New(fakepagerduty.Options{}),
	}
	s := stage{w, t}
	serve := func(h http.Handler) string {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		return strings.TrimPrefix(srv.URL, "http://")
	}
	w.Slack, w.PagerDuty = serve(w.FakeSlack), serve(w.FakePD)
	w.Prometheus = []string{serve(http.HandlerFunc(s.prometheus))}
	w.Alertmanagers = []string{serve(http.HandlerFunc(s.alertmanager))}
	w.Operators = serve(http.HandlerFunc(s.operators))
	w.SecretFiles.Operator = "operator"
	require.NoError(t, os.WriteFile(filepath.Join(w.Dir, "operator"), []byte("s3cret\n"), 0o600))
	return s
}

// fault is the one in force; offsets of its times are the test's script.
func (s stage) fault() (scenario.Fault, bool) {
	active := s.Board.Active()
	if len(active) == 0 {
		return scenario.Fault{}, false
	}
	return active[0], true
}

func (s stage) prometheus(w http.ResponseWriter, r *http.Request) {
	f, _ := s.fault()
	at := func(d time.Duration) float64 { return float64(f.At.Add(d).UnixMilli()) / 1000 }
	switch r.URL.Path {
	case "/api/v1/alerts":
		fmt.Fprintf(w, `{"data":{"alerts":[{"labels":{"alertname":"Other","service":%q},"activeAt":%q},{"labels":{"alertname":%q,"service":%q},"activeAt":%q}]}}`,
			f.Service, f.At.Add(time.Second).Format(time.RFC3339Nano), f.Alert, f.Service, f.At.Add(20*time.Millisecond).Format(time.RFC3339Nano))
	case "/api/v1/query":
		fmt.Fprintf(w, `{"data":{"result":[{"metric":{"instance":"elsewhere"},"values":[[%f,"1"]]},{"metric":{"instance":%q},"values":[[%f,"1"],[%f,"1"]]}]}}`,
			at(time.Millisecond), f.Instances[0], at(-5*time.Second), at(10*time.Millisecond))
	}
}

func (s stage) alertmanager(w http.ResponseWriter, _ *http.Request) {
	f, _ := s.fault()
	fmt.Fprintf(w, `[{"updatedAt":%q}]`, f.At.Add(30*time.Millisecond).Format(time.RFC3339Nano))
}

func (s stage) operators(w http.ResponseWriter, r *http.Request) {
	f, _ := s.fault()
	if r.Header.Get("Authorization") != "Bearer s3cret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	after := func(ms int) time.Time { return f.At.Add(time.Duration(ms) * time.Millisecond) }
	_ = json.NewEncoder(w).Encode([]page.Page{{
		Alerts: []page.Alert{{Labels: page.Labels{"alertname": f.Alert, "service": f.Service}}},
		Clock:  page.Clock{Started: after(20), Received: after(40), Durable: after(45), Enriched: after(50)},
	}})
}

func (s stage) post(url string, body map[string]any) map[string]any {
	raw, err := json.Marshal(body)
	require.NoError(s.t, err)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url, bytes.NewReader(raw))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+fakeslack.DefaultToken)
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	var out map[string]any
	require.NoError(s.t, json.NewDecoder(res.Body).Decode(&out))
	return out
}

// gateway tells Slack and PagerDuty about a fault in the given words.
func (s stage) gateway(f scenario.Fault, slack, pd string) (ts string) {
	title := f.Alert + " service=" + f.Service + "\n"
	ts, _ = s.post("http://"+s.Slack+"/api/chat.postMessage", map[string]any{"channel": "C0PAGES", "text": title + slack})["ts"].(string)
	s.trigger(f, pd)
	return ts
}

func (s stage) trigger(f scenario.Fault, words string) {
	s.post("http://"+s.PagerDuty+"/v2/enqueue", map[string]any{
		"routing_key": fakepagerduty.DefaultKey, "event_action": "trigger", "dedup_key": f.ID,
		"payload": map[string]any{"summary": f.Alert + " " + f.Service + ": " + words, "source": "test", "severity": "critical"},
	})
}

// strike runs a drill while gateway answers its fault.
func (s stage) strike(kind scenario.Kind, gateway func(scenario.Fault)) drill.Outcome {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			if f, ok := s.fault(); ok {
				gateway(f)
				return
			}
		}
	})
	r := drill.New(s.World)
	out, err := r.Deliver(s.t.Context(), kind, "cart")
	require.NoError(s.t, err)
	return out
}

func TestDeliverAndResolve(t *testing.T) {
	s := newStage(t)
	var ts string
	var struck scenario.Fault
	said := make(chan struct{})
	out := s.strike(scenario.BadHost, func(f scenario.Fault) {
		defer close(said)
		struck, ts = f, s.gateway(f, "6 of 6 failing share "+f.Expected()+" (0 % of healthy do)", "failing share "+f.Expected())
	})
	<-said
	require.True(t, out.Right(), out.Slack)
	require.Equal(t, 1, out.Roots)
	require.Equal(t, 1, out.Incidents)
	for stage, want := range map[string]int{
		ttn.StageFault: 0, ttn.StageScrape: 10, ttn.StageRule: 20, ttn.StageFor: 20,
		ttn.StageWebhook: 40, ttn.StageDurable: 45, ttn.StageEnriched: 50,
	} {
		since, ok := out.Times.Since(stage)
		require.True(t, ok, stage)
		require.InDelta(t, want, since.Milliseconds(), 1, stage)
	}

	r := drill.New(s.World)
	soon, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("over"))
	defer cancel()
	require.ErrorContains(t, r.Resolve(soon, &out), "resolve not told: over")
	require.False(t, out.Resolved)

	s.post("http://"+s.Slack+"/api/chat.update", map[string]any{"channel": "C0PAGES", "ts": ts, "text": "Resolved: " + struck.Alert + " " + struck.Service})
	s.post("http://"+s.PagerDuty+"/v2/enqueue", map[string]any{"routing_key": fakepagerduty.DefaultKey, "event_action": "resolve", "dedup_key": struck.ID})
	require.NoError(t, r.Resolve(t.Context(), &out))
	require.True(t, out.Resolved)
	require.Equal(t, 1, out.Edits)
	require.Empty(t, s.Board.Active(), "healed")
}

// A trait that comes by an edit, or in one place only, is not right first.
func TestRightMeansFirst(t *testing.T) {
	s := newStage(t)
	out := s.strike(scenario.NoisyUser, func(f scenario.Fault) {
		ts := s.gateway(f, "what they share is not known yet", "failing share "+f.Expected())
		s.post("http://"+s.Slack+"/api/chat.update", map[string]any{"channel": "C0PAGES", "ts": ts, "text": f.Alert + " " + f.Service + " share " + f.Expected()})
	})
	require.False(t, out.SlackRight)
	require.True(t, out.PDRight)
	require.False(t, out.Right())
}

func TestNothingInCommon(t *testing.T) {
	s := newStage(t)
	out := s.strike(scenario.Everything, func(f scenario.Fault) {
		s.gateway(f, "nothing in common: 60 failing, 0 healthy", "nothing in common")
	})
	require.True(t, out.Right())
}

func TestPageThatNeverComes(t *testing.T) {
	s := newStage(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("its time is over"))
	defer cancel()
	r := drill.New(s.World)
	out, err := r.Deliver(ctx, scenario.SlowDC, "cart")
	require.EqualError(t, err, "slow-dc-1: page not delivered: its time is over")
	require.Contains(t, out.Times, ttn.StageWebhook, "as far as it came")
	require.NotContains(t, out.Times, ttn.StageDelivered)
	_, err = r.Deliver(t.Context(), "flood", "cart")
	require.ErrorContains(t, err, "is not known")
}
