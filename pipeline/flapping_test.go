package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
)

func flapping() pipeline.Rules {
	return pipeline.Rules{Flapping: pipeline.Flapping{Openings: 3, Within: time.Hour, Quiet: 15 * time.Minute}}
}

// A problem that comes and goes is one open item from its third opening within
// the hour on, and closes quietly.
func TestFlapping(t *testing.T) {
	inWorldOf(t, func(w *pipeline.Worker) { w.Rules = flapping() }, func(w *world) {
		fires, ends := group(0, "Slow/warning/web-1"), group(0, "Slow/warning/web-1!")
		blink := func() {
			for _, e := range []page.Event{fires, ends} {
				n := *e.Notification
				n.Alerts = []page.Alert{n.Alerts[0]}
				n.Alerts[0].StartsAt = time.Now()
				if e.Notification == ends.Notification {
					n.Alerts[0].EndsAt = time.Now()
				}
				e.Notification = &n
				w.put(e)
				w.after(2 * time.Minute)
			}
		}
		w.ask = func(context.Context, page.Problem) page.Context { return deploy("v42") }
		for range 3 {
			blink()
		}
		p := w.problem(fires.Problem)
		require.Equal(t, 3, p.Episode)
		require.Equal(t, page.Open, p.State, "the third is held open")
		require.Equal(t, []string{"flapping | comes and goes (3 times within 1 h): it stays open, and closes when it was quiet for 15 min"}, told(page.Problem{}, p))
		shown := w.after(0)
		require.Equal(t, "comes and goes: quiet since 00:10 UTC, closes at 00:25 UTC unless it fires again", shown[len(shown)-1].Notes[0].Text)
		for range 7 {
			blink()
		}
		p = w.problem(fires.Problem)
		require.Equal(t, 3, p.Episode, "no new page")
		require.Equal(t, 7, p.Flapping)
		require.Equal(t, []string{
			"flapping | comes and goes (3 times within 1 h): it stays open, and closes when it was quiet for 15 min",
			"flapping | came back for the 2nd time", "flapping | came back for the 4th time", "flapping | came back for the 6th time",
		}, told(page.Problem{}, p), "a line every few minutes")
		shown = w.after(12 * time.Minute)
		require.Equal(t, page.Open, shown[len(shown)-1].State)
		shown = w.after(2 * time.Minute)
		last := shown[len(shown)-1]
		require.Equal(t, page.Closed, last.State)
		u := last.Updates[len(last.Updates)-1]
		require.Equal(t, page.UpdateResolved, u.Kind)
		require.False(t, u.Aloud)
		require.Empty(t, last.Notes)
		require.Equal(t, 7, last.Flapping)
		w.after(time.Hour)
		blink()
		p = w.problem(fires.Problem)
		require.Equal(t, 4, p.Episode)
		require.Equal(t, page.Closed, p.State, "after an hour it is like any other")
	})
}

// Getting worse rings while it flaps, too.
func TestFlappingThatGetsWorse(t *testing.T) {
	var p page.Problem
	for i := range 3 {
		p = flapping().Advance(p, group(200*i, "Slow/warning/web-1")).Problem
		p = flapping().Advance(p, group(200*i+100, "Slow/warning/web-1!")).Problem
	}
	require.Equal(t, page.Open, p.State)
	s := flapping().Advance(p, group(600, "Slow/critical/web-2"))
	require.False(t, s.Opened)
	require.Equal(t, []string{"!worse | worse: severity warning → critical"}, told(p, s.Problem))
	require.Equal(t, 1, s.Problem.Peak.Times)
}

// What fired for hours is no flapping, however often it opened before.
func TestALongEpisodeClosesAtOnce(t *testing.T) {
	var p page.Problem
	for i := range 3 {
		p = flapping().Advance(p, group(200*i, "Slow/warning/web-1")).Problem
		if i < 2 {
			p = flapping().Advance(p, group(200*i+100, "Slow/warning/web-1!")).Problem
		}
	}
	require.Equal(t, page.Closed, flapping().Advance(p, group(4000, "Slow/warning/web-1!")).Problem.State)
}

// The number that a life is written in changes nothing before the third opening.
func TestTwoOpeningsAreNoFlapping(t *testing.T) {
	var p page.Problem
	for i := range 2 {
		p = flapping().Advance(p, group(200*i, "Slow/warning/web-1")).Problem
		s := flapping().Advance(p, group(200*i+100, "Slow/warning/web-1!"))
		require.True(t, s.Closed, fmt.Sprint(i))
		p = s.Problem
	}
}
