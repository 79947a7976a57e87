package webhook_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/webhook"
)

func sumOf(cluster string, body []byte) string {
	sum := sha256.Sum256(append([]byte(cluster+"\x00"), body...))
	return hex.EncodeToString(sum[:])
}

func quarantined(t *testing.T, s store.Store, body []byte) (webhook.Quarantined, store.Record) {
	t.Helper()
	r, err := s.Get(t.Context(), store.QuarantineKey(sumOf("dc1", body)))
	require.NoError(t, err)
	var q webhook.Quarantined
	require.NoError(t, store.Unmarshal(r.Value, &q))
	return q, r
}

func TestQuarantine(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		body := []byte(`{"receiver":"team-payments","status":"firing","text":"oops"}`)
		w, a := serve(t, newHandler(s), request(body))
		require.Equal(t, http.StatusAccepted, w.Code, "a 4xx would have Alertmanager drop it")
		require.Equal(t, "quarantined", a.Status)

		q, r := quarantined(t, s, body)
		require.Equal(t, webhook.Quarantined{
			Cluster: "dc1", Receiver: "team-payments", At: time.Now().UTC(), Reason: webhook.ReasonPayload,
			Error: q.Error, Bytes: len(body), Body: body,
		}, q)
		require.Contains(t, q.Error, "payload:")
		require.Equal(t, 7*24*time.Hour, time.Until(r.Expires))

		events := waiting(t, s)
		require.Len(t, events, 1)
		e := events[0]
		require.Equal(t, a.Problem, e.Problem)
		require.Equal(t, page.Alarmed, e.Kind)
		require.Equal(t, "tocsin", e.Actor)
		n := e.Notification
		require.Equal(t, "tocsin", n.Cluster)
		require.Equal(t, "team-payments", n.Receiver)
		require.Equal(t, e.Problem, n.ProblemID())
		require.Len(t, n.Alerts, 1)
		alert := n.Alerts[0]
		require.Equal(t, "TocsinUnreadableWebhook", alert.Name())
		require.Equal(t, page.Critical, alert.Severity())
		require.Equal(t, "dc1", alert.Labels["cluster"])
		require.Equal(t, webhook.ReasonPayload, alert.Labels["reason"])
		require.Contains(t, alert.Annotations["description"], "remove `payload:`")
		require.Contains(t, alert.Annotations["description"], sumOf("dc1", body))
		require.NotEmpty(t, alert.Annotations["summary"])
	})
}

func TestQuarantineOfEverything(t *testing.T) {
	for name, tc := range hostile(strings.TrimSpace(string(sent(t, "0.31-firing")))) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *bolt.Store) {
				w, a := serve(t, newHandler(s), request([]byte(tc.body)))
				require.Equal(t, http.StatusAccepted, w.Code)
				require.Equal(t, "quarantined", a.Status)
				events := waiting(t, s)
				require.Len(t, events, 1)
				require.Equal(t, tc.reason, events[0].Notification.Alerts[0].Labels["reason"])
			})
		})
	}
}

// TestStreamOfBadBodies: many bad bodies are one problem, few events, and few bytes.
func TestStreamOfBadBodies(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		h := newHandler(s)
		bad := func(i int) []byte {
			return append(fmt.Appendf(nil, `{"receiver":"r","n":%d}`, i), bytes.Repeat([]byte{' '}, 1<<20)...)
		}
		problems := map[string]bool{}
		for i := range 20 {
			_, a := serve(t, h, request(bad(i)))
			require.Equal(t, "quarantined", a.Status)
			problems[a.Problem] = true
		}
		require.Len(t, problems, 1)
		require.Len(t, waiting(t, s), 1, "of one minute")
		kept := 0
		for i := range 20 {
			q, _ := quarantined(t, s, bad(i))
			kept += len(q.Body)
			require.LessOrEqual(t, len(q.Body), 1<<20)
		}
		require.Equal(t, 8<<20, kept, "of one hour")
		_, again := serve(t, h, request(bad(0)))
		require.Equal(t, "duplicate", again.Status)
		pass(time.Hour)
		serve(t, h, request(bad(99)))
		q, _ := quarantined(t, s, bad(99))
		require.Len(t, q.Body, 1<<20, "the next hour has its own")
		require.Len(t, waiting(t, s), 1)
		pass(8 * 24 * time.Hour)
		left, err := s.Scan(t.Context(), store.QuarantinePrefix, "", 100)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

func TestCompressedBody(t *testing.T) {
	bubble(t, func(t *testing.T, s *bolt.Store) {
		r := request(sent(t, "0.31-firing"))
		r.Header.Set("Content-Encoding", "gzip")
		_, a := serve(t, newHandler(s), r)
		require.Equal(t, "quarantined", a.Status)
		require.Equal(t, webhook.ReasonEncoding, waiting(t, s)[0].Notification.Alerts[0].Labels["reason"])
	})
}

func TestAlarm(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := webhook.Alarm("TocsinTargetRefuses", "it refuses", "mend it", page.Labels{"target": "slack/a", "severity": "warning"}, at)
	require.Equal(t, page.Warning, e.Notification.Alerts[0].Severity())
	require.Empty(t, e.Notification.Receiver)
	require.Equal(t, at, e.At)
	later := webhook.Alarm("TocsinTargetRefuses", "it still refuses", "mend it", page.Labels{"target": "slack/a", "severity": "critical"}, at.Add(time.Minute))
	require.Equal(t, e.Problem, later.Problem, "one problem, however it is worded")
	require.NotEqual(t, e.ID, later.ID)
	other := webhook.Alarm("TocsinTargetRefuses", "it refuses", "mend it", page.Labels{"target": "slack/b"}, at)
	require.NotEqual(t, e.Problem, other.Problem)
	routed := webhook.Alarm("TocsinTargetRefuses", "it refuses", "mend it", page.Labels{"receiver": "r"}, at)
	require.Equal(t, "r", routed.Notification.Receiver)
}
