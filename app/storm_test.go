package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Forty problems in a moment are twenty messages and one that tells of the
// others, in the layout that every page has.
func TestAStormIsOneMessage(t *testing.T) {
	h := run(t, "")
	for i := range 40 {
		body := strings.Replace(fires("Slow"), `"groupKey": "Slow"`, fmt.Sprintf(`"groupKey": "g%d", "groupLabels": {"alertname": "Slow", "service": "s%d"}`, i, i), 1)
		body = strings.Replace(body, `"critical"`, `"warning"`, 1)
		require.Equal(t, 202, h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", body, nil).code)
	}
	require.Eventually(t, func() bool { return strings.Contains(slackTexts(h), "Storm at team: ") }, 40*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) == 21 }, 40*time.Second, 50*time.Millisecond)
	require.Contains(t, slackTexts(h), "too many new problems to tell of each: 1 rule, worst Slow (warning)")
}
