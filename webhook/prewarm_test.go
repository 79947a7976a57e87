package webhook_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/webhook"
)

// warmed keeps what it is told.
type warmed struct {
	ways   []string
	alerts []page.Alert
	by     [][]string
}

func (w *warmed) Warm(_ context.Context, way string, alerts []page.Alert, by []string) {
	w.ways, w.alerts, w.by = append(w.ways, way), append(w.alerts, alerts...), append(w.by, by)
}

// prewarmer is a door whose cluster has the token "right".
func prewarmer(t *testing.T, w webhook.Warmer) *webhook.Handler {
	t.Helper()
	return &webhook.Handler{
		Clusters: []webhook.Cluster{{Name: "dc1", Tokens: []config.Secret{"right"}}}, Limits: webhook.DefaultLimits(), Warmer: w,
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: webhook.NewMetrics(nil),
	}
}

func TestDecodePosted(t *testing.T) {
	at := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	body := `[
		{"labels":{"alertname":"Errors","service":"a"},"annotations":{"summary":"x"},"startsAt":"2026-03-14T11:59:00Z","endsAt":"2026-03-14T12:04:00Z","generatorURL":"http://p/graph?g0.expr=up"},
		{"labels":{"alertname":"Over"},"startsAt":"2026-03-14T11:59:00Z","endsAt":"2026-03-14T11:59:30Z"},
		{"labels":{"alertname":"Known"},"startsAt":"2026-03-14T11:40:00Z","endsAt":"2026-03-14T12:04:00Z"},
		{"labels":{"job":"nameless"}}
	]`
	alerts, err := webhook.DecodePosted([]byte(body), at)
	require.NoError(t, err)
	require.Len(t, alerts, 1)
	require.Equal(t, page.Labels{"alertname": "Errors", "service": "a"}, alerts[0].Labels)
	require.Equal(t, "http://p/graph?g0.expr=up", alerts[0].GeneratorURL)
	require.Equal(t, page.Firing, alerts[0].Status)
	require.Equal(t, alerts[0].Labels.ID(), alerts[0].ID)
}

// What Alertmanager's own recorder sends, written by it (protojson of its Event).
func TestDecodeRecorded(t *testing.T) {
	for name, want := range map[string]struct {
		alerts int
		by     []string
	}{
		"alert_created.json": {1, nil}, "alert_grouped.json": {1, []string{"alertname", "cluster"}}, "silence_created.json": {0, nil},
	} {
		body, err := os.ReadFile(filepath.Join("..", "testdata", "alertmanager", "events", name))
		require.NoError(t, err)
		got, err := webhook.DecodeRecorded(body)
		require.NoError(t, err, name)
		if want.alerts == 0 {
			require.Empty(t, got, name)
			continue
		}
		require.Len(t, got, 1, name)
		require.Len(t, got[0].Alerts, want.alerts, name)
		require.Equal(t, want.by, got[0].By, name)
		require.Equal(t, page.Labels{"alertname": "Errors", "cluster": "dc1", "service": "checkout", "severity": "critical"}, got[0].Alerts[0].Labels)
		batch := append(append(append([]byte("["), body...), ','), body...)
		got, err = webhook.DecodeRecorded(append(batch, ']'))
		require.NoError(t, err)
		require.Len(t, got, 1, "one group")
		require.Len(t, got[0].Alerts, 2)
	}
}

func TestPrewarmAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		path, method, token, body string
		code, told                int
	}{
		"alerts":      {"/api/v2/alerts", http.MethodPost, "right", `[{"labels":{"alertname":"A"}}]`, http.StatusOK, 1},
		"nobody":      {"/api/v2/alerts", http.MethodPost, "right", `[]`, http.StatusOK, 0},
		"event":       {"/webhook/events", http.MethodPost, "right", `{"data":{"alertCreated":{"alert":{"labels":{"labels":[{"key":"alertname","value":"A"}]}}}}}`, http.StatusOK, 1},
		"other event": {"/webhook/events", http.MethodPost, "right", `{"data":{"alertmanagerStartupEvent":{}}}`, http.StatusOK, 0},
		"stranger":    {"/api/v2/alerts", http.MethodPost, "wrong", `[]`, http.StatusUnauthorized, 0},
		"get":         {"/api/v2/alerts", http.MethodGet, "right", ``, http.StatusMethodNotAllowed, 0},
		"junk":        {"/api/v2/alerts", http.MethodPost, "right", `{"a":`, http.StatusBadRequest, 0},
		"junk event":  {"/webhook/events", http.MethodPost, "right", `7`, http.StatusBadRequest, 0},
		"large":       {"/api/v2/alerts", http.MethodPost, "right", `[` + strings.Repeat(" ", 5<<20) + `]`, http.StatusBadRequest, 0},
		"many":        {"/api/v2/alerts", http.MethodPost, "right", `[` + strings.Repeat(`{},`, 30_000) + `{}]`, http.StatusBadRequest, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := &warmed{}
			h := prewarmer(t, w)
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Header.Set("Authorization", "Bearer "+c.token)
			rec := httptest.NewRecorder()
			serve := h.ServeAlerts
			if c.path == "/webhook/events" {
				serve = h.ServeEvents
			}
			serve(rec, r)
			require.Equal(t, c.code, rec.Code, rec.Body)
			require.Len(t, w.alerts, c.told)
		})
	}
}

func TestPrewarmNeedsNobody(t *testing.T) {
	h := prewarmer(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/api/v2/alerts", strings.NewReader(`[{"labels":{"alertname":"A"}}]`))
	r.Header.Set("Authorization", "Bearer right")
	rec := httptest.NewRecorder()
	h.ServeAlerts(rec, r)
	require.Equal(t, http.StatusOK, rec.Code)
}

func FuzzPrewarm(f *testing.F) {
	f.Add([]byte(`[{"labels":{"alertname":"A"},"endsAt":"2026-03-14T12:00:00Z"}]`))
	f.Add([]byte(`{"@timestamp":"2026-03-14T12:00:00Z","data":{"alertGrouped":{"alert":{"hash":"1","details":{"labels":{"labels":[{"key":"alertname","value":"A"}]}}},"groupInfo":{"groupLabels":{"labels":[{"key":"a","value":"b"}]}}}}}`))
	f.Add([]byte("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["))
	f.Add([]byte(`[{"labels":null},null,{"labels":{"alertname":"\ud800"}}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		posted, _ := webhook.DecodePosted(body, time.Unix(1_700_000_000, 0))
		recorded, _ := webhook.DecodeRecorded(body)
		for _, r := range recorded {
			require.NotEmpty(t, r.Alerts)
			posted = append(posted, r.Alerts...)
		}
		for _, a := range posted {
			require.NotEmpty(t, a.Name())
			require.Equal(t, a.Labels.ID(), a.ID)
			require.Equal(t, page.Firing, a.Status)
		}
	})
}
