package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
)

// A source takes 1.5 s for whatever it is asked and a page waits 700 ms: the first
// message says what they share only where that was asked ahead, whichever way.
func TestPrewarm(t *testing.T) {
	const ratio = `sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m])) > 0.03`
	own := map[string]string{"alertname": "Prepared", "service": "checkout", "severity": "critical"}
	posted, err := json.Marshal([]map[string]any{{
		"labels": own, "startsAt": time.Now().Format(time.RFC3339), "generatorURL": "http://p/graph?g0.expr=" + url.QueryEscape(ratio),
	}})
	require.NoError(t, err)
	var pairs []map[string]string
	for name, v := range own {
		pairs = append(pairs, map[string]string{"key": name, "value": v})
	}
	recorded, err := json.Marshal(map[string]any{"data": map[string]any{"alertCreated": map[string]any{"alert": map[string]any{"labels": map[string]any{"labels": pairs}}}}})
	require.NoError(t, err)
	for way, tell := range map[string]func(*testing.T, *house){
		"none": nil,
		"poll": func(_ *testing.T, h *house) {
			h.metrics.Hold(enrichtest.Pending{Labels: own, ActiveAt: time.Now()})
		},
		"alerts": func(t *testing.T, h *house) {
			a := h.send(t, http.MethodPost, h.listen, "/api/v2/alerts", "am-secret", string(posted), nil)
			require.Equal(t, http.StatusOK, a.code, a.body)
		},
		"events": func(t *testing.T, h *house) {
			a := h.send(t, http.MethodPost, h.listen, "/webhook/events", "am-secret", string(recorded), nil)
			require.Equal(t, http.StatusOK, a.code, a.body)
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			h := run(t, "deadline: {critical: 700ms}\nprewarm: {poll: 1s}\n")
			fault := enrichtest.Fault{Errors: func(ls labels.Labels) bool { return ls.Get("deploy") == "v42" }}
			h.metrics.Set(enrichtest.Fleet{Now: time.Now().Add(20 * time.Second), Since: 80 * time.Second, Seed: 7, Fault: fault}.Series()...)
			h.metrics.Know(enrichtest.Rule{Name: "Prepared", Expr: ratio, Labels: map[string]string{"severity": "critical"}, For: 10 * time.Second})
			h.metrics.Misbehave(enrichtest.Trouble{Delay: 1500 * time.Millisecond})
			if tell != nil {
				tell(t, h)
				asked := fmt.Sprintf(`tocsin_prewarm_total{outcome="asked",way=%q} 1`, way)
				require.Eventually(t, func() bool {
					said := h.ask(t, "GET", h.listen, "/metrics", "", nil).body
					return strings.Contains(said, asked) && strings.Contains(said, "tocsin_enrich_source_seconds_count")
				}, 40*time.Second, 50*time.Millisecond)
				require.Empty(t, h.slack.Ledger().Roots(), "nobody is told")
			}
			body := strings.Replace(fires("Prepared"), `"alerts":`, `"groupLabels": {"alertname": "Prepared", "service": "checkout"}, "alerts":`, 1)
			a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", body, nil)
			require.Equal(t, http.StatusAccepted, a.code, a.body)
			require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) == 1 }, 20*time.Second, 10*time.Millisecond)
			first := h.slack.Ledger().Roots()[0].First.Visible
			said := h.ask(t, "GET", h.listen, "/metrics", "", nil).body
			if tell == nil {
				require.NotContains(t, first, "deploy=v42")
				require.Contains(t, said, `tocsin_prewarm_first_messages_total{context="late"} 1`)
				return
			}
			require.Contains(t, first, "deploy=v42")
			require.Contains(t, said, `tocsin_prewarm_first_messages_total{context="warm"} 1`)
			require.Contains(t, said, `tocsin_prewarm_lead_seconds_count 1`)
		})
	}
}
