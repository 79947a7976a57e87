package alertmanager_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
)

// holding serves /api/v2/alerts with real matchers over the given label sets.
func holding(t *testing.T, held ...page.Labels) *alertmanager.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/prefix/api/v2/status" {
			_, _ = w.Write([]byte(`{"uptime":"2026-01-02T03:04:05Z"}`))
			return
		}
		if r.URL.Path != "/prefix/api/v2/alerts" || r.URL.Query().Get("active") != "true" || r.URL.Query().Get("silenced") != "false" {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		out := []map[string]any{}
		for _, l := range held {
			keep := true
			for _, f := range r.URL.Query()["filter"] {
				m, err := labels.ParseMatcher(f)
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
					return
				}
				keep = keep && m.Matches(l[m.Name])
			}
			if keep {
				out = append(out, map[string]any{"labels": l, "startsAt": "2026-01-02T03:04:05Z", "endsAt": "2026-01-02T03:09:05Z"})
			}
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	return &alertmanager.Client{Base: s.URL + "/prefix/", Remote: remote.New(http.DefaultTransport, alertmanager.MaxAnswer)}
}

func alerts(sets ...page.Labels) []page.Alert {
	var out []page.Alert
	for _, l := range sets {
		out = append(out, page.Alert{ID: l.ID(), Labels: l})
	}
	return out
}

func TestActiveReturnsWhatAlertmanagerHolds(t *testing.T) {
	a := page.Labels{"alertname": "Down", "instance": "a", "note": `quo"te \ back {x="y"}`}
	b := page.Labels{"alertname": "Down", "instance": "b", "note": `quo"te \ back {x="y"}`}
	more := page.Labels{"alertname": "Down", "instance": "a", "note": a["note"], "extra": "1"}
	c := holding(t, a, more)
	got, err := c.Active(t.Context(), alerts(a, b))
	require.NoError(t, err)
	require.Equal(t, alerts(a), got)
	got, err = holding(t).Active(t.Context(), alerts(a))
	require.NoError(t, err)
	require.Empty(t, got)
	require.NoError(t, c.Status(t.Context()))
}

func TestAnAnswerThatIsNoneIsAnError(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v2/alerts" {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("<html>"))
	}))
	defer s.Close()
	c := &alertmanager.Client{Base: s.URL, Remote: remote.New(http.DefaultTransport, alertmanager.MaxAnswer)}
	_, err := c.Active(t.Context(), alerts(page.Labels{"a": "b"}))
	require.EqualError(t, err, "list alerts: status 503")
	require.ErrorContains(t, c.Status(t.Context()), "read status: status 200: invalid character")
}
