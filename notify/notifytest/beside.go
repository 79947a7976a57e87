package notifytest

import (
	"context"
	"fmt"
	"log/slog"
	"math"
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

// Updates is one update of each kind, each with a text of its own.
func Updates() []page.Update {
	at := time.Date(2026, 3, 1, 12, 4, 0, 0, time.UTC)
	var out []page.Update
	for _, k := range []page.UpdateKind{
		page.UpdateJoined, page.UpdateLeft, page.UpdateWorse, page.UpdateBetter, page.UpdateContext, page.UpdateAcked,
		page.UpdateUnacked, page.UpdateSilenced, page.UpdateUnsilenced, page.UpdateNote, page.UpdateRun, page.UpdateFlapping,
	} {
		n := len(out) + 1
		out = append(out, page.Update{
			N: n, Kind: k, At: at.Add(time.Duration(n) * time.Second), Text: fmt.Sprintf("update%dtext", n), Aloud: k == page.UpdateWorse,
		})
	}
	return out
}

// changed is a page that is open, got worse once and has these updates.
func changed(updates []page.Update) page.Page {
	p := Page()
	p.Revision, p.Updates, p.Worse = p.Revision+1, updates, 1
	return p
}

// follower opens a message at a fake and returns who says what changed beside
// it; ok is false where the kind has no such thing.
func (b *bench) follower(p page.Page) (f notify.Follower, r page.Receipt, ok bool) {
	b.t.Helper()
	if f, ok = b.notifier.(notify.Follower); !ok {
		return nil, r, false
	}
	p.Updates = nil
	r = b.must(Message(p, notify.VerbOpen, r))
	require.NotEmpty(b.t, r.Ref)
	return f, r, true
}

// following is the message of a follow at its first attempt, as the room makes it.
func following(p page.Page, r page.Receipt) notify.Message {
	m := Message(p, notify.VerbFollow, r)
	for _, u := range p.Updates {
		if u.N > r.Followed {
			m.Updates = append(m.Updates, u)
		}
	}
	m.Receipt.Attempt = 1
	m.Receipt.Marker = fmt.Sprintf("%s/f%d", m.Receipt.Delivery, p.Updates[len(p.Updates)-1].N)
	return m
}

func (b *bench) said(f notify.Follower, m notify.Message) (page.Receipt, error) {
	b.t.Helper()
	r, err := f.Follow(b.t.Context(), m)
	if err != nil {
		require.NotContains(b.t, err.Error(), b.Secret, "secret in an error")
		return r, err
	}
	require.Equal(b.t, m.Updates[len(m.Updates)-1].N, r.Followed, "it says how far it came")
	require.Equal(b.t, m.Receipt.Ref, r.Ref, "the message stays the same")
	return r, nil
}

// heard counts the messages, incidents, replies and notes that say each update,
// and how often all of it rang.
func (b *bench) heard(updates []page.Update) (times map[int]int, rang int) {
	var all []string
	for _, s := range b.Shown() {
		rang += s.Pages
		all = append(append(all, s.Text), s.Beside...)
	}
	times = map[int]int{}
	for _, u := range updates {
		for _, text := range all {
			if strings.Contains(text, u.Text) {
				times[u.N]++
			}
		}
	}
	return times, rang
}

// follow says what changed, then more, then that it is over: nothing twice, and
// what is worth a ring is not left out.
func (s Suite) follow(t *testing.T) {
	for _, plain := range []bool{false, true} {
		b := s.bench(t, usual)
		p := changed(Updates())
		f, r, ok := b.follower(p)
		if !ok {
			return
		}
		for _, upTo := range []int{2, 8, len(p.Updates)} {
			now := p
			now.Updates = p.Updates[:upTo]
			m := following(now, r)
			m.Plain = plain
			var err error
			r, err = b.said(f, m)
			require.NoError(t, err)
		}
		times, rang := b.heard(p.Updates)
		for _, u := range p.Updates {
			require.LessOrEqual(t, times[u.N], 1, "update %d is said once", u.N)
			if u.Aloud {
				require.True(t, times[u.N] == 1 || len(r.Further) > 0, "what is worth a ring is said")
			}
		}
		require.LessOrEqual(t, rang, 2, "one ring for the page, one for what is worse")
		closed := Resolved()
		closed.Updates = p.Updates
		b.must(Message(closed, notify.VerbResolve, r))
		for _, shown := range b.Shown() {
			require.True(t, shown.Resolved, "what was opened further is over too: %s", shown.Delivery)
		}
	}
}

// followLost does what the room does when the answer to a follow was lost.
func (s Suite) followLost(t *testing.T) {
	for _, lost := range []fault.Fault{
		{Kind: fault.Drop, Accept: true, Count: 1},
		{Kind: fault.Status, Status: 502, Accept: true, Count: 1},
		{Kind: fault.Drop, Count: 1},
	} {
		b := s.bench(t, usual)
		p := changed(Updates())
		f, r, ok := b.follower(p)
		if !ok {
			return
		}
		require.NoError(t, b.Faults.Set(1, lost))
		m := following(p, r)
		r, err := b.said(f, m)
		if err != nil {
			m.Receipt.Further = r.Further
			finder, ok := b.notifier.(notify.Finder)
			require.True(t, ok, "a notifier whose service cannot be asked doubles updates")
			_, found, err := finder.Find(t.Context(), m)
			require.NoError(t, err)
			if !found {
				m.Receipt.Attempt = 2
				_, err = b.said(f, m)
				require.NoError(t, err)
			}
		}
		times, rang := b.heard(p.Updates)
		for n, heard := range times {
			require.LessOrEqual(t, heard, 1, "%+v: update %d", lost, n)
		}
		require.LessOrEqual(t, rang, 2, "%+v", lost)
	}
}

// followStatuses tells what surely was not said from what may have been.
func (s Suite) followStatuses(t *testing.T) {
	b := s.bench(t, usual)
	f, r, ok := b.follower(Page())
	if !ok {
		return
	}
	m := following(changed(Updates()[:3]), r)
	require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.RateLimit, RetryAfter: 7}))
	_, err := b.said(f, m)
	require.Equal(t, remote.NotSent, remote.ClassOf(err), err)
	require.Equal(t, 7*time.Second, remote.RetryAfter(err))
	require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.Hang, Accept: true}))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = f.Follow(ctx, m)
	require.Equal(t, remote.Unknown, remote.ClassOf(err), err)
}

func (s Suite) followSizes(t *testing.T) {
	for _, unit := range []string{"x", "é", "😀", "<", "&", `"`, "\n"} {
		b := s.bench(t, usual)
		p := changed(nil)
		for i := range page.MaxUpdates {
			p.Updates = append(p.Updates, page.Update{
				N: i + 1, Kind: page.UpdateNote, Actor: strings.Repeat(unit, 1000), Text: strings.Repeat(unit, 20_000),
				Link: "https://wiki.example/" + strings.Repeat("q", 5000),
			})
		}
		f, r, ok := b.follower(p)
		if !ok {
			return
		}
		_, err := b.said(f, following(p, r))
		require.NoError(t, err, "%q", unit)
	}
}

func (s Suite) followHostile(t *testing.T) {
	for _, text := range Hostile() {
		b := s.bench(t, usual)
		p := changed(nil)
		for i, k := range []page.UpdateKind{page.UpdateJoined, page.UpdateWorse, page.UpdateAcked, page.UpdateNote} {
			u := page.Update{N: i + 1, Kind: k, Actor: text, Text: "x " + text, Aloud: k == page.UpdateWorse, Link: text}
			if strings.Contains(text, "://evil") {
				u.Link = "" // that one is an address, and would be a link by right
			}
			p.Updates = append(p.Updates, u)
		}
		f, r, ok := b.follower(p)
		if !ok {
			return
		}
		for i, plain := range []bool{false, true} {
			now := p
			now.Updates = p.Updates[:2*i+2]
			m := following(now, r)
			m.Plain = plain
			var err error
			r, err = b.said(f, m)
			require.NoError(t, err, "%q", text)
		}
		for _, shown := range b.Shown() {
			require.Empty(t, shown.Mentions, "%q", text)
			require.Empty(t, shown.Links, "%q", text)
			for _, bad := range []string{"\u202e", "\u200b", "\x00"} {
				require.NotContains(t, shown.Text+strings.Join(shown.Beside, ""), bad, "%q", text)
			}
		}
	}
}

// Chart is the course of an alert over an hour, one line of it with gaps.
func Chart() page.Chart {
	threshold := .05
	c := page.Chart{
		Title: "CheckoutErrors", Expr: "rate(http_errors_total[5m])", Unit: "errors/s", From: Page().Clock.Started.Add(-time.Hour),
		Step: time.Minute, Threshold: &threshold, Healthy: page.Band{Members: 120},
		Marks: []page.Mark{{At: Page().Clock.Started, Text: "rule fired", Kind: "fired"}}, At: Page().Clock.Started,
	}
	for _, name := range []string{"web-1", "<!channel> <https://evil.example|x>"} {
		l := page.Line{Name: name}
		for i := range 60 {
			v := page.Sample(float64(i) / 600)
			if i%10 == 9 {
				v = page.Sample(math.NaN())
			}
			l.Values = append(l.Values, v)
		}
		c.Failing = append(c.Failing, l)
	}
	return c
}

// chart is shown once beside its message, which stays as it is; where its answer
// was lost the room asks, and never sends it twice in doubt.
func (s Suite) chart(t *testing.T) {
	for _, lost := range []fault.Fault{{}, {Kind: fault.Drop, Accept: true, Count: 1}, {Kind: fault.Status, Status: 502, Accept: true, Count: 1}} {
		b := s.bench(t, usual)
		c, ok := b.notifier.(notify.Charter)
		if !ok {
			return
		}
		r := b.must(Message(Page(), notify.VerbOpen, page.Receipt{}))
		before := b.Shown()
		if lost.Kind != "" {
			require.NoError(t, b.Faults.Set(1, lost))
		}
		m := Message(Page(), notify.VerbChart, r)
		m.Receipt.Marker = m.Receipt.Delivery + "/chart"
		err := c.Chart(t.Context(), m, Chart())
		if lost.Kind == "" {
			require.NoError(t, err)
		}
		if finder, ok := b.notifier.(notify.Finder); ok && err != nil {
			require.NotContains(t, err.Error(), b.Secret, "secret in an error")
			_, found, asked := finder.Find(t.Context(), m)
			if asked == nil && !found {
				require.NoError(t, c.Chart(t.Context(), m, Chart()))
			}
		}
		shown := b.Shown()
		require.Len(t, shown, len(before))
		require.Equal(t, before[0].Text, shown[0].Text)
		require.LessOrEqual(t, shown[0].Charts, 1, "%+v", lost)
		require.Empty(t, shown[0].Mentions)
		require.Empty(t, shown[0].Links)
		if lost.Kind == "" {
			require.Equal(t, 1, shown[0].Charts)
		}
	}
}

// limits are those of a service, and no secret.
func (s Suite) limits(t *testing.T) {
	b := s.bench(t, usual)
	l, ok := b.notifier.(notify.Limited)
	if !ok {
		return
	}
	limits := l.Limits()
	require.Contains(t, limits, notify.VerbOpen, "a service that counts counts what is new")
	for verb, r := range limits {
		require.Contains(t, []notify.Verb{notify.VerbOpen, notify.VerbUpdate, notify.VerbResolve, notify.VerbFollow, notify.VerbChart}, verb)
		require.NotEmpty(t, r.Key, "%s", verb)
		require.NotContains(t, r.Key, b.Secret, "secret in the name of a bucket")
		require.Positive(t, r.Every, "%s", verb)
		require.Positive(t, r.Burst, "%s", verb)
	}
	again, err := s.Kind.New(b.Config, notify.Deps{Name: "other", Transport: &http.Transport{}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.Equal(t, limits, again.(notify.Limited).Limits(), "who shares a credential shares its buckets")
}
