// Package notifytest is what every kind of notifier keeps: outcomes told apart
// as they must be, no secret in an error, no message doubled, nothing
// interpreted that came from outside.
package notifytest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Service is a fake of the service behind a kind, freshly started.
type Service struct {
	Config    any             // decoded section that reaches the fake with Secret
	Wrong     any             // the same with credentials that are refused
	Secret    string          // what must never be shown
	Faults    *fault.Injector // in front of the fake
	Down      any             // section that points where nobody listens
	Shown     func() []Shown  // what people see by now
	HasUpdate bool            // an update changes what is shown
}

// Shown is one message or incident as people see it.
type Shown struct {
	Delivery string
	Text     string // all of it
	Resolved bool
	Pages    int      // how often it rang somebody
	Mentions []string // of people or channels, in what was said beside it too
	Links    []string // likewise
	Beside   []string // what was said beside it: replies, notes; for a Follower
	Charts   int      // pictures beside it; for a Charter
}

// Suite is one kind under test.
type Suite struct {
	Kind  notify.Kind
	Start func(t *testing.T) Service
	// Class is what an HTTP status with an empty body must mean.
	Class func(status int) remote.Class
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Run("statuses", s.statuses)
	t.Run("broken answers", s.brokenAnswers)
	t.Run("retry after", s.retryAfter)
	t.Run("deadline", s.deadline)
	t.Run("unreachable", s.unreachable)
	t.Run("credentials", s.credentials)
	t.Run("lost answers", s.lostAnswers)
	t.Run("life of an episode", s.life)
	t.Run("over before it was opened", s.stillborn)
	t.Run("marks", s.marks)
	t.Run("sizes", s.sizes)
	t.Run("hostile text", s.hostile)
	t.Run("follow", s.follow)
	t.Run("follow: lost answers", s.followLost)
	t.Run("follow: statuses", s.followStatuses)
	t.Run("follow: sizes", s.followSizes)
	t.Run("follow: hostile text", s.followHostile)
	t.Run("chart", s.chart)
	t.Run("limits", s.limits)
}

// bench is one notifier at one fake.
type bench struct {
	t *testing.T
	Service
	notifier notify.Notifier
	log      *bytes.Buffer
}

func (s Suite) bench(t *testing.T, pick func(Service) any) *bench {
	t.Helper()
	b := &bench{t: t, Service: s.Start(t), log: &bytes.Buffer{}}
	var err error
	b.notifier, err = s.Kind.New(pick(b.Service), notify.Deps{
		Name: "test", Transport: &http.Transport{}, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NotContains(t, b.log.String(), b.Secret, "secret in the log") })
	return b
}

func usual(s Service) any { return s.Config }

// send brings m over and checks what every error must keep.
func (b *bench) send(ctx context.Context, m notify.Message) (page.Receipt, error) {
	b.t.Helper()
	r, err := b.notifier.Notify(ctx, m)
	if err != nil {
		require.NotContains(b.t, err.Error(), b.Secret, "secret in an error")
		require.NotContains(b.t, fmt.Sprintf("%+v", err), b.Secret, "secret in an error")
	}
	return r, err
}

func (b *bench) must(m notify.Message) page.Receipt {
	b.t.Helper()
	r, err := b.send(b.t.Context(), m)
	require.NoError(b.t, err)
	return r
}

// Message returns the message of a page at a verb, as the room would compose it.
func Message(p page.Page, verb notify.Verb, r page.Receipt) notify.Message {
	now := time.Now()
	if r.Delivery == "" {
		r.Delivery = notify.DeliveryID(p.Problem, p.Episode, "test/test")
		r.Problem, r.Episode, r.Target = p.Problem, p.Episode, "test/test"
		r.Since, r.At = now.Add(-time.Minute), now.Add(-time.Minute)
	}
	r.Verb, r.State = string(verb), page.Intent
	m := notify.Message{Verb: verb, Page: p, Receipt: r}
	m.Text = notify.Compose(m, now)
	return m
}

func (s Suite) statuses(t *testing.T) {
	b := s.bench(t, usual)
	for status := 300; status < 600; status++ {
		if http.StatusText(status) == "" || status == http.StatusNotModified {
			continue
		}
		for _, body := range []string{"", "<html>no</html>"} {
			require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: status, Body: body}))
			_, err := b.send(t.Context(), Message(Page(), notify.VerbOpen, page.Receipt{}))
			require.Error(t, err)
			require.Equal(t, s.Class(status), remote.ClassOf(err), "status %d: %v", status, err)
			require.Contains(t, err.Error(), fmt.Sprintf("status %d", status))
		}
	}
	require.Empty(t, b.Shown())
}

func (s Suite) brokenAnswers(t *testing.T) {
	for _, f := range []fault.Fault{
		{Kind: fault.HTML, Status: 200, Accept: true},
		{Kind: fault.Status, Status: 200, Accept: true},
		{Kind: fault.Status, Status: 204, Accept: true},
		{Kind: fault.Status, Status: 500, Accept: true},
		{Kind: fault.Status, Status: 503, Accept: true},
		{Kind: fault.HTML, Status: 502, Accept: true},
		{Kind: fault.Drop, Accept: true},
		{Kind: fault.Drop},
	} {
		b := s.bench(t, usual)
		require.NoError(t, b.Faults.Set(1, f))
		_, err := b.send(t.Context(), Message(Page(), notify.VerbOpen, page.Receipt{}))
		require.Equal(t, remote.Unknown, remote.ClassOf(err), "%+v: %v", f, err)
	}
	// A slow but whole answer is an answer.
	b := s.bench(t, usual)
	require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.Slow}))
	b.must(Message(Page(), notify.VerbOpen, page.Receipt{}))
}

func (s Suite) retryAfter(t *testing.T) {
	b := s.bench(t, usual)
	require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.RateLimit, RetryAfter: 7, Count: 1}, fault.Fault{Kind: fault.RateLimit}))
	for _, want := range []time.Duration{7 * time.Second, 0} {
		_, err := b.send(t.Context(), Message(Page(), notify.VerbOpen, page.Receipt{}))
		require.Equal(t, remote.NotSent, remote.ClassOf(err), err)
		require.Equal(t, want, remote.RetryAfter(err))
	}
}

func (s Suite) deadline(t *testing.T) {
	b := s.bench(t, usual)
	require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.Hang, Accept: true}))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := b.send(ctx, Message(Page(), notify.VerbOpen, page.Receipt{}))
	require.Equal(t, remote.Unknown, remote.ClassOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.send(gone, Message(Page(), notify.VerbOpen, page.Receipt{}))
	require.Equal(t, remote.NotSent, remote.ClassOf(err), "a request that never left")
}

func (s Suite) unreachable(t *testing.T) {
	b := s.bench(t, func(s Service) any { return s.Down })
	_, err := b.send(t.Context(), Message(Page(), notify.VerbOpen, page.Receipt{}))
	require.Equal(t, remote.NotSent, remote.ClassOf(err), err)
}

func (s Suite) credentials(t *testing.T) {
	b := s.bench(t, func(s Service) any { return s.Wrong })
	_, err := b.send(t.Context(), Message(Page(), notify.VerbOpen, page.Receipt{}))
	require.Equal(t, remote.Config, remote.ClassOf(err), err)
	if c, ok := b.notifier.(notify.Checker); ok {
		require.Error(t, c.Check(t.Context()))
		good := s.bench(t, usual)
		require.NoError(t, good.notifier.(notify.Checker).Check(t.Context()))
		require.Empty(t, good.Shown(), "a check tells nobody")
	}
}

// lostAnswers does what the room does when an answer was lost: it asks, and
// sends again where asking says that this doubles nothing.
func (s Suite) lostAnswers(t *testing.T) {
	for _, f := range []fault.Fault{
		{Kind: fault.Drop, Accept: true, Count: 1},
		{Kind: fault.Status, Status: 502, Accept: true, Count: 1},
		{Kind: fault.HTML, Status: 200, Accept: true, Count: 1},
		{Kind: fault.Drop, Count: 1},
		{Kind: fault.Status, Status: 500, Count: 1},
	} {
		b := s.bench(t, usual)
		finder, ok := b.notifier.(notify.Finder)
		require.True(t, ok, "a notifier whose service cannot be asked doubles messages")
		require.NoError(t, b.Faults.Set(1, f))
		m := Message(Page(), notify.VerbOpen, page.Receipt{})
		_, err := b.send(t.Context(), m)
		require.Error(t, err)
		r, found, err := finder.Find(t.Context(), m)
		require.NoError(t, err)
		if !found {
			r = b.must(m)
		}
		require.NotEmpty(t, r.Ref)
		shown := b.Shown()
		require.Len(t, shown, 1, "%+v", f)
		require.Equal(t, 1, shown[0].Pages, "%+v", f)
		require.Equal(t, m.Receipt.Delivery, shown[0].Delivery)
	}
}

func (s Suite) life(t *testing.T) {
	b := s.bench(t, usual)
	p := Page()
	r := b.must(Message(p, notify.VerbOpen, page.Receipt{}))
	require.NotEmpty(t, r.Ref)
	p.Revision++
	p.Headline = "39 of 40 failing share deploy=v42 (6 % of healthy do)"
	r = b.must(Message(p, notify.VerbUpdate, r))
	shown := b.Shown()
	require.Len(t, shown, 1)
	if b.HasUpdate {
		require.Contains(t, shown[0].Text, "39 of 40")
	}
	require.False(t, shown[0].Resolved)
	closed := Resolved()
	r = b.must(Message(closed, notify.VerbResolve, r))
	r.Resolved = true
	closed.Revision++
	b.must(Message(closed, notify.VerbResolve, r)) // late context on a page that is over
	shown = b.Shown()
	require.Len(t, shown, 1)
	require.True(t, shown[0].Resolved)
	require.Equal(t, 1, shown[0].Pages)
}

func (s Suite) stillborn(t *testing.T) {
	b := s.bench(t, usual)
	b.must(Message(Resolved(), notify.VerbOpen, page.Receipt{}))
	for _, shown := range b.Shown() {
		require.True(t, shown.Resolved, "what is over must not stand there as open")
	}
}

func (s Suite) marks(t *testing.T) {
	b := s.bench(t, usual)
	test := Page()
	test.Test = true
	b.must(Message(test, notify.VerbOpen, page.Receipt{}))
	self := Page()
	self.Self, self.Problem = true, "self"
	b.must(Message(self, notify.VerbOpen, page.Receipt{}))
	again := Page()
	again.Problem = "again"
	m := Message(again, notify.VerbOpen, page.Receipt{})
	m.Repeat = true
	m.Text = notify.Compose(m, time.Now())
	b.must(m)
	plain := Page()
	plain.Problem = "plain"
	m = Message(plain, notify.VerbOpen, page.Receipt{})
	m.Plain = true
	b.must(m)
	shown := b.Shown()
	require.Len(t, shown, 4)
	for i, want := range []string{"TEST PAGE · ", "Tocsin about itself", "possible repeat · ", plain.Headline} {
		require.True(t, strings.HasPrefix(shown[i].Text, want), "%q begins with %q", shown[i].Text, want)
	}
}

func (s Suite) sizes(t *testing.T) {
	b := s.bench(t, usual)
	for i, p := range Oversize() {
		p.Problem = fmt.Sprint(i)
		r := b.must(Message(p, notify.VerbOpen, page.Receipt{}))
		p.Revision++
		b.must(Message(p, notify.VerbUpdate, r))
		require.Len(t, b.Shown(), i+1)
	}
}

func (s Suite) hostile(t *testing.T) {
	for i, text := range Hostile() {
		b := s.bench(t, usual)
		for _, repeat := range []bool{false, true} {
			p := Infect(Page(), text)
			p.Problem = fmt.Sprint(i, repeat)
			m := Message(p, notify.VerbOpen, page.Receipt{})
			m.Plain = repeat
			r := b.must(m)
			b.must(Message(p, notify.VerbUpdate, r))
			p.State = page.Closed
			b.must(Message(p, notify.VerbResolve, r))
		}
		shown := b.Shown()
		require.Len(t, shown, 2)
		for _, sh := range shown {
			require.Empty(t, sh.Mentions, "%q", text)
			require.Empty(t, sh.Links, "%q", text)
			require.NotContains(t, sh.Text, "\u202e")
			require.NotContains(t, sh.Text, "\u200b")
			require.NotContains(t, sh.Text, "\x00")
		}
	}
}
