package app_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
)

// Who may do what at which door.
func TestDoors(t *testing.T) {
	h := run(t, "")
	for _, tc := range []struct {
		method, addr, path, token string
		code                      int
	}{
		{"GET", h.operators, "/api/v1/pages", "alice-secret", 200},
		{"GET", h.operators, "/api/v1/pages", "eve-secret", 200},
		{"GET", h.operators, "/api/v1/pages", "", 401},
		{"GET", h.operators, "/api/v1/pages", "am-secret", 401},
		{"GET", h.operators, "/api/v1/pages/none", "eve-secret", 404},
		{"GET", h.operators, "/api/v1/pages/none/timeline", "eve-secret", 404},
		{"GET", h.operators, "/api/v1/pages/none/chart", "eve-secret", 404},
		{"GET", h.operators, "/api/v1/pages/none?episode=x", "eve-secret", 400},
		{"GET", h.operators, "/api/v1/history", "eve-secret", 200},
		{"GET", h.operators, "/api/v1/history", "", 401},
		{"GET", h.operators, "/api/v1/history?limit=0", "eve-secret", 400},
		{"POST", h.operators, "/api/v1/pages/none/acts", "eve-secret", 403},
		{"POST", h.operators, "/api/v1/pages/none/acts", "", 401},
		{"POST", h.operators, "/api/v1/pages/none/acts", "am-secret", 401},
		{"POST", h.operators, "/api/v1/pages/none/acts", "alice-secret", 400},
		{"POST", h.listen, "/api/v1/pages/none/acts", "alice-secret", 404},
		{"POST", h.listen, "/callback/slack/none", "", 404},
		{"GET", h.listen, "/api/v1/pages", "alice-secret", 404},
		{"POST", h.operators, "/-/reload", "alice-secret", 200},
		{"POST", h.operators, "/-/reload", "eve-secret", 403},
		{"POST", h.operators, "/-/reload", "", 401},
		{"POST", h.listen, "/-/reload", "alice-secret", 200},
		{"POST", h.listen, "/-/reload", "am-secret", 401},
		{"GET", h.listen, "/-/reload", "alice-secret", 405},
		{"GET", h.listen, "/-/healthy", "", 200},
		{"GET", h.operators, "/-/ready", "", 200},
		{"POST", h.operators, "/webhook/alertmanager", "am-secret", 404},
		{"POST", h.listen, "/webhook/alertmanager", "alice-secret", 401},
	} {
		a := h.ask(t, tc.method, tc.addr, tc.path, tc.token, nil)
		require.Equal(t, tc.code, a.code, "%s %s as %q: %s", tc.method, tc.path, tc.token, a.body)
	}
	for _, path := range []string{"/webhook/alertmanager", "/webhook/alertmanager/"} {
		a := h.send(t, http.MethodPost, h.listen, path, "am-secret", fires(path), nil)
		require.Equal(t, http.StatusAccepted, a.code, "%s: %s", path, a.body)
	}
}

// What an operator sees of a house in which a page was sent: metrics that the
// linter takes, the page, a log without secrets, a state only we can read.
func TestWhatAnOperatorSees(t *testing.T) {
	h := run(t, "")
	a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", fires("Seen"), nil)
	require.Equal(t, http.StatusAccepted, a.code, a.body)
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) == 1 }, 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		return strings.Contains(h.ask(t, "GET", h.operators, "/api/v1/pages", "eve-secret", nil).body, `"state":"sent"`)
	}, 20*time.Second, 10*time.Millisecond)

	metrics := h.ask(t, "GET", h.listen, "/metrics", "", nil).body
	problems, err := promlint.New(strings.NewReader(metrics)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	for _, want := range []string{
		`tocsin_fault_to_page_seconds_count{stage="received"} 1`, `tocsin_fault_to_page_seconds_count{stage="durable"} 1`,
		`tocsin_fault_to_page_seconds_count{stage="decided"} 1`, `tocsin_fault_to_page_seconds_count{stage="delivered"} 1`,
		`tocsin_notify_queue_age_seconds{kind="slack",name="team"}`, `tocsin_notify_receipts_total{kind="slack",name="team",state="sent"} 1`,
		`tocsin_build_info{version="test"} 1`, "tocsin_enrich_",
	} {
		require.Contains(t, metrics, want)
	}
	require.NotContains(t, metrics, "Seen", "a label's value comes from no alert")

	h.stop()
	for _, secret := range []string{"am-secret", "alice-secret", "eve-secret", "xoxb-1"} {
		require.NotContains(t, h.log.String(), secret)
	}
	dir := filepath.Join(filepath.Dir(h.config), "state")
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "tocsin.db"): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
}

// A token is rotated without losing a webhook: both are live, then the old is gone.
func TestTokenRotation(t *testing.T) {
	h := run(t, "")
	write := func(tokens string) {
		raw, err := os.ReadFile(h.config)
		require.NoError(t, err)
		text := strings.Replace(string(raw), "[am.token]", tokens, 1)
		text = strings.Replace(text, "[am.token, next.token]", tokens, 1)
		require.NoError(t, os.WriteFile(h.config, []byte(text), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(h.config), "next.token"), []byte("next-secret"), 0o600))
		a := h.ask(t, "POST", h.operators, "/-/reload", "alice-secret", nil)
		require.Equal(t, http.StatusOK, a.code, a.body)
	}
	post := func(token string) int {
		return h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", token, fires(token), nil).code
	}
	require.Equal(t, []int{202, 401}, []int{post("am-secret"), post("next-secret")})
	write("[am.token, next.token]")
	require.Equal(t, []int{202, 202}, []int{post("am-secret"), post("next-secret")})
	write("[next.token]")
	require.Equal(t, []int{401, 202}, []int{post("am-secret"), post("next-secret")})
}

// Somebody who connects and says nothing does not make an orderly end a failure.
func TestASilentConnectionDoesNotFailTheClosing(t *testing.T) {
	h := run(t, "")
	c, err := net.Dial("tcp", h.listen)
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, http.StatusOK, h.ask(t, "GET", h.listen, "/-/ready", "", nil).code) // by now it is accepted
	h.stop()
}
