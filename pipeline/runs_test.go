package pipeline_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
)

func ran(second int, r page.Run) page.Event {
	return page.Event{Kind: page.Ran, ID: "r", Actor: "tocsin", At: at(second), Episode: 1, Run: &r}
}

// What a machine does stands on the page, also once it is over: that is when it was
// verified. An old state of it changes nothing.
func TestRunsStandOnThePage(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, group(0, "Slow/warning/web-1")).Problem
	s := pipeline.Advance(open, ran(1, page.Run{Dispatch: "d1", Text: "launched job 1", Link: "https://awx/1", N: 2, Aloud: true}))
	require.True(t, s.Changed)
	require.Equal(t, "d1", s.Problem.Runs[0].Dispatch)
	last := s.Problem.Updates[len(s.Problem.Updates)-1]
	require.Equal(t, page.UpdateRun, last.Kind)
	require.Equal(t, "launched job 1", last.Text)
	require.Equal(t, "https://awx/1", last.Link)
	require.True(t, last.Aloud)
	require.Equal(t, 1, s.Problem.View().Rung, "people are needed: a further incident")
	require.Zero(t, s.Problem.View().Worse)
	require.Equal(t, s.Problem.Runs, s.Problem.View().Runs)

	require.False(t, pipeline.Advance(s.Problem, ran(2, page.Run{Dispatch: "d1", Text: "older", N: 1})).Changed)
	closed := pipeline.Advance(s.Problem, group(60, "Slow/warning/web-1!")).Problem
	s = pipeline.Advance(closed, ran(90, page.Run{Dispatch: "d1", Text: "verified", N: 3, Over: true, Aloud: true}))
	require.Equal(t, 1, s.Problem.View().Rung, "nobody is rung for what is over")
	require.True(t, s.Changed)
	require.Len(t, s.Problem.Runs, 1)
	again := pipeline.Advance(s.Problem, group(600, "Slow/warning/web-1")).Problem
	require.Empty(t, again.Runs)
	require.Zero(t, again.View().Rung)
	require.False(t, pipeline.Advance(again, ran(601, page.Run{Dispatch: "d1", N: 9})).Changed, "another episode's")
}

func TestADecisionIsHandedOnWhereItIsAskedFor(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, group(0, "Slow/warning/web-1")).Problem
	asked := pipeline.Advance(open, ran(1, page.Run{Dispatch: "d1", Text: "waits", N: 1, Asks: at(60)})).Problem
	for name, tc := range map[string]struct {
		second  int
		act     page.Act
		refused bool
	}{
		"approve":           {2, page.Act{Verb: page.ApproveIt, Dispatch: "d1"}, false},
		"deny":              {2, page.Act{Verb: page.DenyIt, Dispatch: "d1"}, false},
		"another dispatch":  {2, page.Act{Verb: page.ApproveIt, Dispatch: "d2"}, true},
		"none":              {2, page.Act{Verb: page.ApproveIt}, true},
		"too late":          {60, page.Act{Verb: page.ApproveIt, Dispatch: "d1"}, true},
		"of an unknown act": {2, page.Act{Verb: "shrug", Dispatch: "d1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := pipeline.Advance(asked, act(tc.second, tc.act))
			require.Equal(t, tc.refused, s.Refused)
			require.False(t, s.Changed, "the dispatch says what came of it")
		})
	}
}

// What was seen goes with its update, a line each, and nowhere else.
func TestEvidenceGoesWithItsUpdate(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, group(0, "Slow/warning/web-1")).Problem
	r := page.Run{Dispatch: "d1", Text: "not repaired", N: 1}
	for range 2 * page.MaxEvidence {
		r.Evidence = append(r.Evidence, "sessions: 7\non web-1")
	}
	s := pipeline.Advance(open, ran(1, r))
	last := s.Problem.Updates[len(s.Problem.Updates)-1]
	require.Len(t, last.Evidence, page.MaxEvidence)
	require.Equal(t, "sessions: 7 on web-1", last.Evidence[0])
	require.Empty(t, s.Problem.Runs[0].Evidence)
	require.Equal(t, "sessions: 7 on "+page.Redacted, s.Problem.View().Redact("pod").Updates[0].Evidence[0])
}

// Nobody was told of a problem that a storm tells of: when a machine leaves it to
// people, it is told by itself.
func TestAFoldedProblemThatNeedsPeopleIsToldByItself(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, group(0, "Slow/warning/web-1")).Problem
	open.Folded = "storm"
	s := pipeline.Advance(open, ran(1, page.Run{Dispatch: "d1", Text: "job 1 runs", N: 1}))
	require.Equal(t, "storm", s.Problem.Folded)
	s = pipeline.Advance(s.Problem, ran(2, page.Run{Dispatch: "d1", Text: "nothing more is tried", N: 2, Aloud: true}))
	require.Empty(t, s.Problem.Folded)
	require.True(t, s.Unfolded)
	require.Zero(t, s.Problem.View().Rung, "its own page rings")
}

func TestRunsAreBounded(t *testing.T) {
	var runs []page.Run
	for i := range 100 {
		r := page.Run{Dispatch: string(rune('a' + i)), N: 1, Over: i > 0}
		runs, _ = page.WithRun(runs, r)
	}
	require.Len(t, runs, 40)
	require.Equal(t, "a", runs[0].Dispatch, "what is under way stays")
}
