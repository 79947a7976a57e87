package app_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oncePerPage makes sure that each of n alerts has one Slack root and one
// incident that notified once.
func oncePerPage(t *testing.T, h *house, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		return len(h.pagerduty.Ledger().Incidents) >= n && len(h.slack.Ledger().Roots()) >= n
	}, time.Minute, 50*time.Millisecond)
	for _, in := range h.pagerduty.Ledger().Incidents {
		require.Equal(t, 1, in.Notified, in.Title)
	}
	require.Len(t, h.pagerduty.Ledger().Incidents, n)
	require.Len(t, h.slack.Ledger().Roots(), n)
}

// post sends alerts named prefix0, prefix1 … as Alertmanager does: again, until
// one is taken.
func (h *house) post(t *testing.T, prefix string, n int) {
	t.Helper()
	for i := range n {
		body := duty(fires(fmt.Sprint(prefix, i)))
		require.Eventually(t, func() bool {
			return h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", body, nil).code == http.StatusAccepted
		}, time.Minute, 5*time.Millisecond)
	}
}

func TestReloadUnderLoad(t *testing.T) {
	h := run(t, "storms: {problems: 0}\n")
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() { h.post(t, fmt.Sprintf("S%d-", i), 25) })
	}
	done := make(chan struct{})
	go func() { senders.Wait(); close(done) }()
	reloads := 0
	for under := true; under; reloads++ {
		require.Equal(t, http.StatusOK, h.ask(t, "POST", h.operators, "/-/reload", "alice-secret", nil).code)
		select {
		case <-done:
			under = false
		default:
		}
	}
	oncePerPage(t, h, 100)
	t.Logf("%d reloads under 100 webhooks", reloads)
	require.Greater(t, reloads, 1)
}

// A house that is asked to close finishes what it sends, and leaves the rest to
// the next one.
func TestCloseUnderLoad(t *testing.T) {
	h := run(t, "storms: {problems: 0}\n")
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() { h.post(t, fmt.Sprintf("C%d-", i), 20) })
	}
	restarts := 0
	for len(h.slack.Ledger().Roots()) < 60 {
		n := len(h.slack.Ledger().Roots())
		require.Eventually(t, func() bool { return len(h.slack.Ledger().Roots()) > n }, time.Minute, time.Millisecond)
		h.stop()
		h.start(t)
		restarts++
	}
	senders.Wait()
	oncePerPage(t, h, 80)
	t.Logf("%d restarts under 80 webhooks", restarts)
	require.Positive(t, restarts)
}
