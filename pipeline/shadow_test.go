package pipeline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
)

// Leaving the shadow makes a revision of what is open, and of nothing else.
func TestLeavingTheShadow(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	left := page.Event{Problem: "p", Kind: page.Unshadowed, ID: "u", At: at, Episode: 2}
	open := page.Problem{
		ID: "p", State: page.Open, Episode: 2, Revision: 7, Told: []string{"shadow/slack/a"},
		Members: map[string]page.Member{"a": {Open: true, Alert: page.Alert{ID: "a", Status: page.Firing}}},
	}
	s := pipeline.Advance(open, left)
	require.True(t, s.Changed)
	require.False(t, s.Opened || s.Closed || s.Grew)
	require.Equal(t, uint64(8), s.Problem.Revision)
	require.Equal(t, at, s.Problem.Updated)
	require.Equal(t, open.Members, s.Problem.Members)

	for name, p := range map[string]page.Problem{
		"unknown": {}, "over": {ID: "p", State: page.Closed, Episode: 2, Revision: 7},
		"another episode": {ID: "p", State: page.Open, Episode: 3, Revision: 7},
	} {
		s := pipeline.Advance(p, left)
		require.False(t, s.Changed, name)
		require.Equal(t, p, s.Problem, name)
	}
}
