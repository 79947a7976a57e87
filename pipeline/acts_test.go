package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// act is what Jane does to the first episode.
func act(second int, a page.Act) page.Event {
	if a.By == "" {
		a.By = "Jane"
	}
	return page.Event{Kind: page.Acted, ID: "e", Actor: "slack/U1", At: at(second), Episode: 1, Act: &a}
}

func TestActs(t *testing.T) {
	rules := pipeline.Rules{SilenceMax: 24 * time.Hour}
	open := rules.Advance(page.Problem{}, group(0, "Slow/warning/web-1")).Problem
	acked := rules.Advance(open, act(1, page.Act{Verb: page.Acknowledge})).Problem
	closed := rules.Advance(open, group(60, "Slow/warning/web-1!")).Problem
	bare := rules.Advance(page.Problem{}, snapshot(t, "0 a+")).Problem
	quiet := rules.Advance(open, page.Event{Kind: page.Silenced, At: at(3), Episode: 1, Silence: &page.Silence{ID: "s1", By: "Jane", Until: at(3600)}}).Problem
	for name, tc := range map[string]struct {
		p       page.Problem
		act     page.Act
		want    []string
		why     string
		refused bool
	}{
		"ack":                     {open, page.Act{Verb: page.Acknowledge, Via: "slack/payments"}, []string{"acked | acknowledged by Jane"}, "acknowledged by Jane", false},
		"ack again":               {acked, page.Act{Verb: page.Acknowledge}, nil, "acknowledged already by Jane", false},
		"ack by another":          {acked, page.Act{Verb: page.Acknowledge, By: "Bob"}, []string{"acked | acknowledged by Bob, who takes it over from Jane"}, "acknowledged by Bob", false},
		"unack":                   {acked, page.Act{Verb: page.Unacknowledge}, []string{"unacked | acknowledgement taken back by Jane"}, "acknowledgement taken back", false},
		"unack of nothing":        {open, page.Act{Verb: page.Unacknowledge}, nil, "nobody has", false},
		"note":                    {open, page.Act{Verb: page.Remark, Text: " looking\n into it "}, []string{"note | Jane: looking into it"}, "note by Jane", false},
		"note without words":      {open, page.Act{Verb: page.Remark, Text: " \n"}, nil, "a note without words", true},
		"an episode that is over": {closed, page.Act{Verb: page.Acknowledge}, nil, "ack by Jane: the episode is over", true},
		"unknown verb":            {open, page.Act{Verb: "dance"}, nil, "an act of unknown verb dance", true},
		"silence":                 {open, page.Act{Verb: page.SilenceIt, Until: at(3600)}, nil, "silence until 01:00 UTC asked for by Jane", false},
		"silence, cut":            {open, page.Act{Verb: page.SilenceIt, Until: at(48 * 3600)}, nil, "silence until 2 Jan 00:00 UTC asked for by Jane", false},
		"silence of no labels":    {bare, page.Act{Verb: page.SilenceIt, Until: at(3600)}, []string{"note | not silenced for Jane: the group has no labels, so a silence would hide every alert"}, "not silenced", true},
		"silence until yesterday": {open, page.Act{Verb: page.SilenceIt, Until: at(0)}, nil, "not silenced for Jane: the end is in the past", true},
		"silence that stands":     {quiet, page.Act{Verb: page.SilenceIt, Until: at(3000)}, nil, "silenced already until 01:00 UTC", false},
		"unsilence":               {quiet, page.Act{Verb: page.UnsilenceIt, Silence: "s1"}, nil, "end of silence s1 asked for by Jane", false},
		"unsilence the last":      {quiet, page.Act{Verb: page.UnsilenceIt}, nil, "end of silence s1 asked for by Jane", false},
		"unsilence another":       {quiet, page.Act{Verb: page.UnsilenceIt, Silence: "s2"}, nil, "nothing to unsilence", true},
		"useless":                 {closed, page.Act{Verb: page.NotUseful}, nil, "not useful, says Jane", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := rules.Advance(tc.p, act(0, tc.act))
			require.Equal(t, tc.want, told(tc.p, s.Problem))
			require.True(t, strings.HasPrefix(s.Why, tc.why), s.Why)
			require.Equal(t, tc.refused, s.Refused)
			require.Equal(t, len(tc.want) > 0, s.Changed)
		})
	}
	e := act(1, page.Act{Verb: page.Acknowledge})
	e.Episode = 2
	require.False(t, rules.Advance(open, e).Changed, "of another episode")
	require.False(t, rules.Advance(page.Problem{}, act(1, page.Act{Verb: page.Acknowledge})).Changed)
	require.Equal(t, &page.Ack{By: "Jane", At: at(1)}, acked.Ack)
	reopened := rules.Advance(rules.Advance(acked, group(60, "Slow/warning/web-1!")).Problem, group(200, "Slow/warning/web-1")).Problem
	require.Nil(t, reopened.Ack, "an episode begins with nobody on it")
	require.Empty(t, reopened.Silences)
}

func TestTold(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, group(0, "Slow/warning/web-1")).Problem
	e := page.Event{Kind: page.Told, At: at(60), Episode: 1, Text: "Slack payments could not be told (channel archived): told ops-mail instead"}
	require.Equal(t, []string{"note | " + e.Text}, told(open, pipeline.Advance(open, e).Problem))
	e.Episode = 2
	require.False(t, pipeline.Advance(open, e).Changed)
}

func TestAPersonsVoteCountsOnceInAnEpisode(t *testing.T) {
	inWorld(t, func(w *world) {
		first := group(0, "Slow/warning/web-1", "Down/critical/web-1")
		w.put(first)
		w.after(time.Second)
		for _, by := range []string{"Jane", "Jane", "Bob"} {
			e := act(0, page.Act{Verb: page.NotUseful, By: by})
			e.Problem = first.Problem
			w.put(e)
			w.after(time.Second)
		}
		for _, rule := range []string{"Slow", "Down"} {
			rec, err := w.store.Get(t.Context(), store.VoteKey(rule))
			require.NoError(t, err)
			var v page.Vote
			require.NoError(t, store.Unmarshal(rec.Value, &v))
			require.Equal(t, 2, v.Useless)
			require.Equal(t, rule, v.Alert)
		}
		require.Equal(t, []string{"Jane", "Bob"}, w.problem(first.Problem).Useless)
	})
}

// silencer is an Alertmanager that may fail.
type silencer struct {
	fail   []error // of the next calls
	labels page.Labels
	wish   page.Silence
	marker string
	ended  string
	calls  int
}

func (s *silencer) next() error {
	s.calls++
	if len(s.fail) == 0 {
		return nil
	}
	err := s.fail[0]
	s.fail = s.fail[1:]
	return err
}

func (s *silencer) Silence(_ context.Context, _ string, l page.Labels, x page.Silence, marker string) (string, error) {
	s.labels, s.wish, s.marker = l, x, marker
	return "id-1", s.next()
}

func (s *silencer) Unsilence(_ context.Context, _, id string) error {
	s.ended = id
	return s.next()
}

func TestASilenceAndItsUndo(t *testing.T) {
	unknown := &remote.Error{Op: "post silence", Class: remote.Unknown, Status: 502}
	am := &silencer{fail: []error{unknown, unknown}}
	inWorldOf(t, func(w *pipeline.Worker) {
		w.Silencer, w.Rules = am, pipeline.Rules{SilenceMax: 24 * time.Hour, Redact: []string{"service"}}
	}, func(w *world) {
		first := group(0, "Slow/warning/web-1")
		first.Notification.GroupLabels["alertname"] = `S"low`
		w.put(first)
		w.after(time.Second)
		e := act(0, page.Act{Verb: page.SilenceIt, Until: time.Now().Add(time.Hour)})
		e.Problem = first.Problem
		w.put(e)
		w.after(20 * time.Second)
		p := w.problem(first.Problem)
		require.Equal(t, first.Notification.GroupLabels, am.labels)
		require.Equal(t, "2", am.marker, "the event's")
		require.Equal(t, 3, am.calls)
		require.Len(t, p.Silences, 1)
		require.Equal(t, "id-1", p.Silences[0].ID)
		require.Equal(t, []string{`alertname="S\"low"`, `service="checkout"`}, p.Silences[0].Matchers)
		require.Equal(t, `silenced until 01:00 UTC by Jane: alertname="S\"low", service="<redacted>" (id id-1)`, p.Updates[0].Text)
		shown := w.after(time.Second)
		require.Equal(t, []string{`alertname="S\"low"`, "service=<redacted>"}, shown[len(shown)-1].Silences[0].Matchers)

		am.fail = []error{&remote.Error{Op: "end silence", Class: remote.Config, Status: 403}}
		for range 2 {
			e = act(0, page.Act{Verb: page.UnsilenceIt, Silence: "id-1"})
			e.Problem = first.Problem
			w.put(e)
			w.after(5 * time.Second)
		}
		p = w.problem(first.Problem)
		require.Equal(t, "id-1", am.ended)
		require.False(t, p.Silences[0].Ended.IsZero())
		require.Equal(t, "silence id-1 not ended for Jane: end silence: status 403", p.Updates[1].Text)
		require.Equal(t, "silence id-1 ended by Jane", p.Updates[2].Text)
		require.Equal(t, page.UpdateUnsilenced, p.Updates[2].Kind)
	})
}

func TestASilenceThatDoesNotStandIsSaid(t *testing.T) {
	refused := &remote.Error{Op: "post silence", Class: remote.Content, Status: 400, Reason: "bad matcher"}
	down := &remote.Error{Op: "post silence", Class: remote.NotSent}
	for want, am := range map[int]*silencer{
		1: {fail: []error{refused}},
		5: {fail: []error{down, down, down, down, down}},
	} {
		inWorldOf(t, func(w *pipeline.Worker) { w.Silencer = am }, func(w *world) {
			first := group(0, "Slow/warning/web-1")
			w.put(first)
			e := act(0, page.Act{Verb: page.SilenceIt, Until: time.Now().Add(time.Hour)})
			e.Problem = first.Problem
			w.put(e)
			w.after(time.Minute)
			p := w.problem(first.Problem)
			require.Equal(t, want, am.calls)
			require.Equal(t, page.UpdateNote, p.Updates[0].Kind)
			require.True(t, strings.HasPrefix(p.Updates[0].Text, "not silenced for Jane: post silence"), p.Updates[0].Text)
			require.NotEmpty(t, p.Silences[0].Error)
			require.True(t, slices.ContainsFunc(w.timeline(first.Problem), func(e page.Entry) bool {
				return e.Failed && e.Kind == "silenced" && e.Actor == "Jane"
			}))
		})
	}
}

// What was done at a target need not be told there once more.
func TestAnUpdateSaysWhereItWasDone(t *testing.T) {
	open := pipeline.Advance(page.Problem{}, group(0, "Slow/warning/web-1")).Problem
	for _, verb := range []page.Verb{page.Acknowledge, page.Remark} {
		p := pipeline.Advance(open, act(1, page.Act{Verb: verb, Via: "pagerduty/oncall", Text: "x"})).Problem
		u := p.Updates[len(p.Updates)-1]
		require.Equal(t, "pagerduty/oncall", u.Via)
		require.Equal(t, "Jane", u.Actor)
	}
}

// Alertmanager says nothing of what resolves while it is silenced: it is asked
// once the silence is over.
func TestWhatFiresAfterASilenceIsAsked(t *testing.T) {
	for name, undo := range map[string]bool{"at its end": false, "at its undo": true} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, func(w *pipeline.Worker) { w.Silencer = &silencer{} }, func(w *world) {
				first := group(0, "Slow/warning/web-1", "Slow/warning/web-2")
				w.put(first)
				w.after(time.Second)
				var asked atomic.Int64
				w.active = func() ([]page.Alert, error) {
					if asked.Add(1) == 1 {
						return nil, &remote.Error{Op: "list alerts", Class: remote.NotSent}
					}
					return first.Notification.Alerts[1:], nil
				}
				e := act(0, page.Act{Verb: page.SilenceIt, Until: time.Now().Add(time.Hour)})
				e.Problem = first.Problem
				w.put(e)
				w.after(5 * time.Minute)
				require.Zero(t, asked.Load())
				if undo {
					e = act(0, page.Act{Verb: page.UnsilenceIt})
					e.Problem = first.Problem
					w.put(e)
				} else {
					w.after(time.Hour)
				}
				w.after(4 * time.Minute)
				p := w.problem(first.Problem)
				require.EqualValues(t, 2, asked.Load())
				require.Len(t, p.Firing(), 1)
				require.Equal(t, page.Open, p.State)
			})
		})
	}
}
