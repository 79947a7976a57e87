package slack_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/slack"
)

// listen runs the target's connection until the test ends.
func (s *scene) listen() (stop func() error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.target.(notify.Listener).Listen(ctx, s.desk) }()
	s.t.Cleanup(cancel)
	s.connected(1)
	return func() error {
		cancel()
		return <-done
	}
}

func (s *scene) connected(n int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.fake.Connections() == n }, 20*time.Second, 5*time.Millisecond)
}

func TestAConnectionThatIsLostIsOpenedAnew(t *testing.T) {
	t.Parallel()
	s := play(t, false, nil)
	stop := s.listen()
	s.fake.Refresh()
	s.connected(1)
	require.True(t, s.press("U0ANN", "tocsin_ack", fakeslack.Good).InTime)
	require.NotContains(t, s.log.String(), "was lost", "a refresh is routine")
	s.fake.Cut()
	s.connected(1)
	require.True(t, s.press("U0ANN", "tocsin_ack", fakeslack.Good).InTime)
	require.Contains(t, s.log.String(), "was lost")
	require.NoError(t, s.fake.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 403, Path: "apps.connections.open", Count: 1}))
	s.fake.Cut()
	s.connected(1)
	require.True(t, s.press("U0ANN", "tocsin_ack", fakeslack.Good).InTime, "a proxy's refusal is not Slack's")
	require.Len(t, s.desk.put(), 3)
	require.NoError(t, stop())
	s.connected(0)
}

func TestAnEnvelopeIsAcknowledgedOnceItIsDurable(t *testing.T) {
	t.Parallel()
	s := play(t, false, nil)
	s.listen()
	s.desk.set(func(d *desk) { d.broken = errors.New("disk full") })
	out := s.press("U0ANN", "tocsin_ack", fakeslack.Good)
	require.False(t, out.InTime)
	require.Contains(t, out.Error, "not acknowledged")
	s.desk.set(func(d *desk) { d.broken = nil })
	require.True(t, s.press("U0ANN", "tocsin_ack", fakeslack.Good).InTime)
}

func TestATokenThatIsRefusedEndsTheListening(t *testing.T) {
	s := play(t, false, func(c *slack.Config) { c.AppTokenFile = secretFile(t, "xapp-wrong") })
	err := s.target.(notify.Listener).Listen(t.Context(), s.desk)
	require.ErrorContains(t, err, "invalid_auth")
	require.NotContains(t, err.Error(), "xapp-")
}

// An app may hold ten connections, however many channels it posts to.
func TestTargetsOfOneAppShareAConnection(t *testing.T) {
	s := play(t, false, nil)
	kind := slack.Kind(nil)
	var stops []func()
	for range 3 {
		n, err := kind.New(s.cfg, s.deps())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.(notify.Listener).Listen(ctx, s.desk) }()
		stops = append(stops, func() { cancel(); require.NoError(t, <-done) })
	}
	s.connected(1)
	require.Never(t, func() bool { return s.fake.Connections() > 1 }, 200*time.Millisecond, 20*time.Millisecond)
	require.True(t, s.press("U0ANN", "tocsin_ack", fakeslack.Good).InTime)
	for i, stop := range stops {
		stop()
		if i < 2 {
			s.connected(1)
		}
	}
	s.connected(0)
}

func TestWithoutAnAppTokenNothingIsListenedTo(t *testing.T) {
	s := play(t, true, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.target.(notify.Listener).Listen(ctx, s.desk))
	require.Zero(t, s.fake.Ledger().Requests["apps.connections.open"])
}
