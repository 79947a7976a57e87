package notify

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remote"
)

// A clock that is set back an hour leaves no target alone for an hour.
func TestABreakerOutlivesNoClock(t *testing.T) {
	now := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	b := &breaker{}
	for range breakerAfter {
		b.end(now, &remote.Error{Op: "post message", Class: remote.Unknown, Status: 500}, time.Minute)
	}
	_, again := b.pass(now)
	require.Equal(t, now.Add(breakerMin), again)

	back := now.Add(-time.Hour)
	_, again = b.pass(back)
	require.Equal(t, back.Add(breakerMin), again)
	try, again := b.pass(back.Add(breakerMin))
	require.True(t, try)
	require.Zero(t, again)
}
