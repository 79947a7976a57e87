package webhook_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/webhook"
)

// A heartbeat is noted and pages nobody; whatever else is in its webhook does.
func TestAHeartbeatPagesNobody(t *testing.T) {
	one := func(name, status string) string {
		return fmt.Sprintf(`{"status":%q,"labels":{"alertname":%q},"startsAt":"2026-01-02T03:04:05Z"}`, status, name)
	}
	for _, tc := range []struct {
		name, alerts string
		beat, page   bool
	}{
		{"it fires", one("Watchdog", "firing"), true, false},
		{"it has resolved", one("Watchdog", "resolved"), false, false},
		{"two of it", one("Watchdog", "resolved") + "," + one("Watchdog", "firing"), true, false},
		{"another alert", one("HighErrors", "firing"), false, true},
		{"both", one("Watchdog", "firing") + "," + one("HighErrors", "firing"), false, true},
		{"none", "", false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := openStore(t)
			defer s.Close()
			h := newHandler(s)
			h.Watchdogs = map[string]string{"dc1": "Watchdog"}
			before := h.Now()
			body := fmt.Sprintf(`{"version":"4","status":"firing","receiver":"team","groupKey":"k","alerts":[%s]}`, tc.alerts)
			w, _ := serve(t, h, request([]byte(body)))
			require.Equal(t, http.StatusAccepted, w.Code)
			last, err := webhook.LastBeat(t.Context(), s, "dc1")
			require.NoError(t, err)
			require.Equal(t, tc.beat, !last.IsZero() && !last.Before(before.Truncate(time.Second)))
			require.Equal(t, tc.page, len(waiting(t, s)) == 1)
		})
	}
}

// Of a cluster from which no heartbeat is expected, it is an alert like any other.
func TestAnUnexpectedHeartbeatIsAnAlert(t *testing.T) {
	s := openStore(t)
	defer s.Close()
	h := newHandler(s)
	body := `{"version":"4","status":"firing","receiver":"team","groupKey":"k","alerts":[{"status":"firing","labels":{"alertname":"Watchdog"}}]}`
	w, _ := serve(t, h, request([]byte(body)))
	require.Equal(t, http.StatusAccepted, w.Code)
	require.Len(t, waiting(t, s), 1)
}
