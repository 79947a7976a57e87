package app_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Tocsin tries itself from end to end, says so outside, and troubles nobody.
func TestACanaryWalksTheWholeWay(t *testing.T) {
	var beats atomic.Int64
	outside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats.Add(1) }))
	defer outside.Close()
	path := filepath.Join(t.TempDir(), "heartbeat.url")
	require.NoError(t, os.WriteFile(path, []byte(outside.URL+"/ping/secret-uuid\n"), 0o600))
	h := run(t, "canary: {every: 1m}\nheartbeat: {url_file: "+path+", every: 1s}\n")
	var metrics string
	require.Eventually(t, func() bool {
		metrics = h.ask(t, "GET", h.listen, "/metrics", "", nil).body
		return strings.Contains(metrics, `tocsin_canaries_total{outcome="arrived"} 1`) && beats.Load() > 0
	}, 30*time.Second, 50*time.Millisecond)
	require.Contains(t, metrics, `tocsin_notify_receipts_total{kind="canary",name="sink",state="sent"} 2`)
	require.NotContains(t, metrics, `tocsin_fault_to_page_seconds_count{stage="delivered"}`, "it is no page")
	require.NotContains(t, metrics, "tocsin_enrich_source_seconds_count", "no source is asked about it")
	require.NotContains(t, h.ask(t, "GET", h.operators, "/api/v1/pages?state=all", "eve-secret", nil).body, "TocsinCanary")
	require.Empty(t, h.slack.Ledger().Roots())
	h.stop()
	require.NotContains(t, h.log.String(), "secret-uuid")
}

// No Alertmanager may use the way of the canary: it would tell nobody.
func TestAReceiverOfTheCanarysNameTellsSomebody(t *testing.T) {
	h := run(t, "")
	body := strings.Replace(fires("Lost"), `"team"`, `"tocsin-canary"`, 1)
	require.Contains(t, body, "tocsin-canary")
	a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", body, nil)
	require.Equal(t, http.StatusAccepted, a.code, a.body)
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) == 1 }, 20*time.Second, 10*time.Millisecond)
}
