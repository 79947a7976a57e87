package app_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
)

const (
	team     = "  - name: team\n"
	inShadow = team + "    shadow: true\n"
)

// shadowed runs a house whose receiver is in shadow.
func shadowed(t *testing.T) *house {
	t.Helper()
	return run(t, "", func(o *app.Options) { rewrite(t, o.ConfigFile, team, inShadow) })
}

// turn ends the shadow of the config's receiver, or begins it, and reloads.
func (h *house) turn(t *testing.T, shadow bool) {
	t.Helper()
	raw, err := os.ReadFile(h.config)
	require.NoError(t, err)
	text := strings.ReplaceAll(string(raw), inShadow, team)
	if shadow {
		text = strings.ReplaceAll(text, team, inShadow)
	}
	require.NoError(t, os.WriteFile(h.config, []byte(text), 0o600))
	a := h.ask(t, http.MethodPost, h.operators, "/-/reload", "alice-secret", nil)
	require.Equal(t, http.StatusOK, a.code, a.body)
}

func (h *house) take(t *testing.T, body string) {
	t.Helper()
	a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", body, nil)
	require.Equal(t, http.StatusAccepted, a.code, a.body)
}

func ceases(firing string) string { return strings.ReplaceAll(firing, `"firing"`, `"resolved"`) }

// A page that was opened in shadow is sent when its receiver leaves the shadow,
// without waiting for Alertmanager to say something new; one that was sent is
// sent to its end though the receiver goes into the shadow.
func TestShadowIsTurnedOffAndOnMidEpisode(t *testing.T) {
	h := shadowed(t)
	report := func() string { return h.ask(t, "GET", h.operators, "/api/v1/shadow", "eve-secret", nil).body }
	first, second := fires("First"), fires("Second")
	h.take(t, first)
	require.Eventually(t, func() bool { return strings.Contains(report(), `"target":"slack/team"`) }, 20*time.Second, 10*time.Millisecond)
	require.Contains(t, report(), "First")
	require.Empty(t, h.slack.Ledger().Requests)
	require.Contains(t, h.ask(t, "GET", h.operators, "/api/v1/pages", "eve-secret", nil).body, `"target":"shadow/slack/team"`)

	h.turn(t, false)
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) == 1 }, 20*time.Second, 10*time.Millisecond)
	h.turn(t, false) // another reload tells it no second time
	h.turn(t, true)
	h.take(t, second)
	require.Eventually(t, func() bool { return strings.Contains(report(), "Second") }, 20*time.Second, 10*time.Millisecond)
	h.take(t, ceases(first))
	require.Eventually(t, func() bool {
		m := h.slack.Ledger().Roots()
		return len(m) == 1 && strings.Contains(m[0].Current.Visible, "resolved after")
	}, 20*time.Second, 10*time.Millisecond)
	h.take(t, ceases(second))
	require.Eventually(t, func() bool { return strings.Contains(report(), `"ended":true`) }, 20*time.Second, 10*time.Millisecond)
	require.Len(t, h.slack.Ledger().Roots(), 1)
}

// A restart instead of a reload does the same.
func TestShadowIsTurnedOffByARestart(t *testing.T) {
	h := shadowed(t)
	h.take(t, fires("First"))
	require.Eventually(t, func() bool {
		return strings.Contains(h.ask(t, "GET", h.operators, "/api/v1/shadow", "eve-secret", nil).body, "First")
	}, 20*time.Second, 10*time.Millisecond)
	h.stop()
	require.Empty(t, h.slack.Ledger().Requests)
	raw, err := os.ReadFile(h.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(h.config, []byte(strings.ReplaceAll(string(raw), inShadow, team)), 0o600))
	h.start(t)
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) == 1 }, 20*time.Second, 10*time.Millisecond)
}
