package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/web"
)

func TestAnActIsAnEvent(t *testing.T) {
	w := newWorld(t)
	p := problem("p1", 2)
	p.Episode, p.Silences = 4, []page.Silence{{ID: "s-1"}}
	w.save(t, p)
	until := w.now.Add(time.Hour)
	for _, act := range []page.Act{
		{Verb: page.Acknowledge},
		{Verb: page.Unacknowledge},
		{Verb: page.SilenceIt, Until: until},
		{Verb: page.UnsilenceIt, Silence: "s-1"},
		{Verb: page.NotUseful},
		{Verb: page.Remark, Text: "looking <at> it"},
	} {
		w.events = nil
		id, err := w.acts.Put(t.Context(), web.Wish{Operator: "alice", Problem: "p1", Act: act})
		require.NoError(t, err, act.Verb)
		act.By = "operator alice"
		require.Equal(t, []page.Event{{
			Problem: "p1", Kind: page.Acted, ID: id, Actor: "operator/alice", At: w.now, Episode: 4, Act: &act,
		}}, w.events)
		require.True(t, strings.HasPrefix(id, "act/p1/"))
	}
}

func TestWishesWithOneKeyAreOne(t *testing.T) {
	w := newWorld(t)
	w.save(t, problem("p1", 1))
	put := func(operator, key string) string {
		id, err := w.acts.Put(t.Context(), web.Wish{Operator: operator, Problem: "p1", Act: page.Act{Verb: page.Acknowledge}, Key: key})
		require.NoError(t, err)
		return id
	}
	require.Equal(t, put("alice", "k"), put("alice", "k"))
	require.NotEqual(t, put("alice", "k"), put("bob", "k"), "a key is its operator's own")
	require.NotEqual(t, put("alice", "k"), put("alice", "l"))
	noted, err := w.acts.Put(t.Context(), web.Wish{Operator: "alice", Problem: "p1", Act: page.Act{Verb: page.Remark, Text: "x"}, Key: "k"})
	require.NoError(t, err)
	require.NotEqual(t, put("alice", "k"), noted, "another button of the same page")
	require.NotEqual(t, put("alice", ""), put("alice", ""), "without a key each is its own")
}

func TestWishesThatCannotBe(t *testing.T) {
	w := newWorld(t)
	w.save(t, problem("open", 1))
	w.save(t, closed(problem("over", 1), time.Hour))
	bare := problem("bare", 1)
	bare.Group.GroupLabels = nil
	w.save(t, bare)
	hour := w.now.Add(time.Hour)
	for _, tc := range []struct {
		why    string
		wish   web.Wish
		status int
		says   string
	}{
		{"unknown page", web.Wish{Problem: "none", Act: page.Act{Verb: page.Acknowledge}}, http.StatusNotFound, "no page has this id"},
		{"unknown verb", web.Wish{Problem: "open", Act: page.Act{Verb: "explode"}}, http.StatusBadRequest, "write ack, unack"},
		{"no verb", web.Wish{Problem: "open"}, http.StatusBadRequest, "write ack"},
		{"old episode", web.Wish{Problem: "open", Episode: 7, Act: page.Act{Verb: page.Acknowledge}}, http.StatusConflict, "episode 7 is over"},
		{"ack of what is over", web.Wish{Problem: "over", Act: page.Act{Verb: page.Acknowledge}}, http.StatusConflict, "nothing to ack"},
		{"silence of what is over", web.Wish{Problem: "over", Act: page.Act{Verb: page.SilenceIt, Until: hour}}, http.StatusConflict, "nothing to silence"},
		{"silence without end", web.Wish{Problem: "open", Act: page.Act{Verb: page.SilenceIt}}, http.StatusBadRequest, "from 1m to 30d"},
		{"silence in the past", web.Wish{Problem: "open", Act: page.Act{Verb: page.SilenceIt, Until: w.now}}, http.StatusBadRequest, "from 1m"},
		{"silence for ever", web.Wish{Problem: "open", Act: page.Act{Verb: page.SilenceIt, Until: w.now.AddDate(1, 0, 0)}}, http.StatusBadRequest, "to 30d"},
		{"silence of everything", web.Wish{Problem: "bare", Act: page.Act{Verb: page.SilenceIt, Until: hour}}, http.StatusConflict, "every alert"},
		{"undo of another's silence", web.Wish{Problem: "open", Act: page.Act{Verb: page.UnsilenceIt, Silence: "x"}}, http.StatusNotFound, "not made on this page"},
		{"undo of nothing", web.Wish{Problem: "open", Act: page.Act{Verb: page.UnsilenceIt}}, http.StatusNotFound, "not made on this page"},
		{"empty note", web.Wish{Problem: "open", Act: page.Act{Verb: page.Remark, Text: " \n"}}, http.StatusBadRequest, "write a note"},
		{"long note", web.Wish{Problem: "open", Act: page.Act{Verb: page.Remark, Text: strings.Repeat("x", 2001)}}, http.StatusBadRequest, "at most 2000"},
		{"note of no text", web.Wish{Problem: "open", Act: page.Act{Verb: page.Remark, Text: "\xff"}}, http.StatusBadRequest, "write a note"},
		{"long key", web.Wish{Problem: "open", Key: strings.Repeat("k", 201), Act: page.Act{Verb: page.Acknowledge}}, http.StatusBadRequest, "at most 200"},
	} {
		_, err := w.acts.Put(t.Context(), tc.wish)
		var refusal *web.Refusal
		require.ErrorAs(t, err, &refusal, tc.why)
		require.Equal(t, tc.status, refusal.Status, tc.why)
		require.ErrorContains(t, err, tc.says, tc.why)
	}
	require.Empty(t, w.events)
	for _, verb := range []page.Verb{page.NotUseful, page.Remark} {
		_, err := w.acts.Put(t.Context(), web.Wish{Problem: "over", Act: page.Act{Verb: verb, Text: "it was the disk"}})
		require.NoError(t, err, "what is over can be spoken of")
	}
	w.sick = ErrSick
	_, err := w.acts.Put(t.Context(), web.Wish{Problem: "open", Act: page.Act{Verb: page.Acknowledge}})
	require.ErrorIs(t, err, ErrSick)
}

func TestSilencingShowsTheMatchers(t *testing.T) {
	w := newWorld(t)
	p := problem("p1", 1)
	p.Group.GroupLabels["path"] = `a"b\` + "\n"
	w.save(t, p)
	got, err := w.acts.Silencing(t.Context(), "p1")
	require.NoError(t, err)
	require.Equal(t, []string{`alertname="CheckoutErrors"`, `path="a\"b\\\n"`, `service="checkout"`}, got)
}

func TestMorning(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, time.UTC)
		require.NoError(t, err)
		return v
	}
	for now, want := range map[string]string{
		"2026-03-01 02:00": "2026-03-01 08:00",
		"2026-03-01 07:00": "2026-03-01 08:00",
		"2026-03-01 07:01": "2026-03-02 08:00",
		"2026-03-01 12:00": "2026-03-02 08:00",
		"2026-12-31 23:59": "2027-01-01 08:00",
	} {
		require.Equal(t, at(want), web.Morning(at(now)), now)
	}
}
