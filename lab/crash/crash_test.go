package crash

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
)

func TestJudge(t *testing.T) {
	root := func(first, now string) fakeslack.Message {
		return fakeslack.Message{First: fakeslack.Version{Visible: first}, Current: fakeslack.Version{Visible: now}}
	}
	incident := func(name, status string, notified int) fakepagerduty.Incident {
		return fakepagerduty.Incident{Title: "CrashTest service=" + name, Status: status, Notified: notified}
	}
	thread := root("CrashTest svc-000000 reply", "")
	thread.ThreadTS = "1.0"
	problems := []problem{
		{name: "svc-000000", fired: true, resolved: true}, // as it should be
		{name: "svc-000001", fired: true, resolved: true}, // in Slack twice, never resolved in PagerDuty
		{name: "svc-000002", fired: true},                 // nowhere
		{name: "svc-000003", fired: true},                 // in Slack twice, admitted; paged twice
		{name: "svc-000004"},                              // never accepted
		{name: "svc-000005", refused: "Bad Request"},
	}
	v := judge(problems,
		fakeslack.Ledger{Messages: []fakeslack.Message{
			root("svc-000000", "Resolved svc-000000"), thread,
			root("svc-000001", "resolved svc-000001"), root("svc-000001", "svc-000001"),
			root("svc-000003", "svc-000003"), root("Possible repeat: svc-000003", "svc-000003"),
		}},
		fakepagerduty.Ledger{Incidents: []fakepagerduty.Incident{
			incident("svc-000000", "resolved", 1), incident("svc-000001", "triggered", 1), incident("svc-000003", "triggered", 2),
		}})
	require.Equal(t, Verdict{
		Problems: 4, Ended: 2, Refused: []string{"svc-000005: Bad Request"},
		Slack: Place{
			Shown: 3, Resolved: 1, Lost: []string{"svc-000002"}, Doubled: []string{"svc-000001"},
			Admitted: []string{"svc-000003"}, Unresolved: []string{"svc-000001"},
		},
		PagerDuty: Place{
			Shown: 3, Resolved: 1, Lost: []string{"svc-000002"}, Doubled: []string{"svc-000003"}, Unresolved: []string{"svc-000001"},
		},
	}, v)
	require.False(t, v.Good())
	require.False(t, v.Complete())

	v = judge(problems[:1], fakeslack.Ledger{Messages: []fakeslack.Message{root("svc-000000", "Resolved svc-000000")}},
		fakepagerduty.Ledger{Incidents: []fakepagerduty.Incident{incident("svc-000000", "resolved", 1)}})
	require.True(t, v.Good())
	require.True(t, v.Complete())
	require.JSONEq(t, `{"seed":0,"kills":0,"problems":1,"ended":1,"slack":{"shown":1,"resolved":1},"pagerduty":{"shown":1,"resolved":1}}`, v.String())
}

// The sender is as stubborn as Alertmanager: the same body until it is
// accepted, never the resolve before the firing, no second try after a 4xx.
func TestSender(t *testing.T) {
	type webhook struct {
		Status   string
		GroupKey string
		Alerts   []struct{}
	}
	var mu sync.Mutex
	var bodies []webhook
	tries := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		raw, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer tok" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if tries++; tries%2 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var b webhook
		_ = json.Unmarshal(raw, &b)
		bodies = append(bodies, b)
	}))
	t.Cleanup(srv.Close)
	s := &Sender{URL: srv.URL, Token: "tok", Client: srv.Client(), Rand: rand.New(rand.NewPCG(1, 1))}
	p := &problem{name: "svc-000007"}
	s.live(t.Context(), p, Life{})
	require.True(t, p.fired && p.resolved)
	require.Equal(t, 4, tries, "each was sent twice")
	require.Equal(t, "firing", bodies[0].Status)
	require.Equal(t, "resolved", bodies[1].Status)
	require.Equal(t, bodies[0].GroupKey, bodies[1].GroupKey)
	require.EqualValues(t, 2, s.accepted.Load())

	tries, bodies = 0, nil
	asked := 0
	s.Live(t.Context(), 9, Life{Grows: 1, Repeat: 1, Until: func() bool { asked++; return asked > 2 }})
	require.Equal(t, 8, tries, "the first came again although it was accepted")
	require.Equal(t, 3, asked)
	require.Equal(t, []int{1, 1, 2, 2}, []int{len(bodies[0].Alerts), len(bodies[1].Alerts), len(bodies[2].Alerts), len(bodies[3].Alerts)})
	require.Equal(t, "resolved", bodies[3].Status)

	s.Token = "wrong"
	p = &problem{name: "svc-000008"}
	s.live(t.Context(), p, Life{})
	require.Equal(t, http.StatusText(http.StatusUnauthorized), p.refused)
	require.False(t, p.fired)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stop := make(chan struct{})
	close(stop)
	before := len(s.problems())
	s.Pour(ctx, stop, 1e-6) // the next is weeks away: only the word to stop can end it
	require.Len(t, s.problems(), before, "stops when told")
}
