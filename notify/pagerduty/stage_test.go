package pagerduty_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/page"
)

const (
	delivery = "8b2e39a454d89bc452d88a2b8f9465c20473d91710c0c730bb6c708056e88bdb"
	target   = "pagerduty/ops"
	secret   = "whsec-0123456789"
)

// stage is a notifier at a fake, both on one clock that the test moves.
type stage struct {
	t *testing.T
	*fakepagerduty.Fake
	notify.Notifier
	log *bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

func (s *stage) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stage) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func began() time.Time { return time.Date(2026, 3, 1, 12, 3, 10, 0, time.UTC) }

// set starts a fake, and a notifier with REST token and webhook secret. change
// may alter its config.
func set(t *testing.T, o fakepagerduty.Options, change ...func(*pagerduty.Config)) *stage {
	t.Helper()
	s := &stage{t: t, now: began().Add(3 * time.Second), log: &bytes.Buffer{}}
	o.Now = s.clock
	s.Fake = fakepagerduty.New(o)
	srv := httptest.NewServer(s.Fake)
	t.Cleanup(srv.Close)
	t.Cleanup(s.Faults.Clear)
	c := section(t, srv.URL, fakepagerduty.DefaultKey)
	c.APIURL, c.APITokenFile, c.From = srv.URL, secretFile(t, fakepagerduty.DefaultAPIToken), "bot@example.org"
	c.WebhookSecretFiles = []config.SecretFile{secretFile(t, secret)}
	for _, f := range change {
		f(c)
	}
	require.NoError(t, c.Validate())
	var err error
	s.Notifier, err = pagerduty.Kind().New(c, notify.Deps{
		Name: "ops", Transport: &http.Transport{}, Now: s.clock,
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, hidden := range []string{fakepagerduty.DefaultKey, fakepagerduty.DefaultAPIToken, secret} {
			require.NotContains(t, s.log.String(), hidden, "secret in the log")
		}
	})
	return s
}

func noToken(c *pagerduty.Config) { c.APITokenFile, c.From = "", "" }

// message composes as the room does.
func (s *stage) message(p page.Page, verb notify.Verb, r page.Receipt, updates ...page.Update) notify.Message {
	if r.Delivery == "" {
		r = page.Receipt{
			Delivery: delivery, Problem: p.Problem, Episode: p.Episode, Target: target,
			Since: s.clock(), First: s.clock(), Marker: "m-1",
		}
	}
	r.Attempt++
	m := notify.Message{Verb: verb, Page: p, Receipt: r, Updates: updates, PageURL: "https://tocsin.example.org/page/" + p.Problem}
	m.Text = notify.Compose(m, s.clock())
	return m
}

// open triggers the first incident and returns its receipt.
func (s *stage) open(p page.Page) page.Receipt {
	s.t.Helper()
	r, err := s.Notify(s.t.Context(), s.message(p, notify.VerbOpen, page.Receipt{}))
	require.NoError(s.t, err)
	r.Attempt, r.State = 0, page.Sent
	return r
}

func (s *stage) follow(p page.Page, r page.Receipt, updates ...page.Update) (page.Receipt, error) {
	return s.Notifier.(notify.Follower).Follow(s.t.Context(), s.message(p, notify.VerbFollow, r, updates...))
}

func (s *stage) mustFollow(p page.Page, r page.Receipt, updates ...page.Update) page.Receipt {
	s.t.Helper()
	r, err := s.follow(p, r, updates...)
	require.NoError(s.t, err)
	r.Attempt = 0
	return r
}

func (s *stage) find(p page.Page, verb notify.Verb, r page.Receipt, updates ...page.Update) (page.Receipt, bool) {
	s.t.Helper()
	m := s.message(p, verb, r, updates...)
	m.Receipt.Attempt--
	r, found, err := s.Notifier.(notify.Finder).Find(s.t.Context(), m)
	require.NoError(s.t, err)
	return r, found
}

// resolve ends the episode.
func (s *stage) resolve(p page.Page, r page.Receipt) {
	s.t.Helper()
	p.State = page.Closed
	_, err := s.Notify(s.t.Context(), s.message(p, notify.VerbResolve, r))
	require.NoError(s.t, err)
}

func (s *stage) faults(f ...fault.Fault) {
	s.t.Helper()
	require.NoError(s.t, s.Faults.Set(1, f...))
}

// pages is how often a human would have been paged.
func (s *stage) pages() int {
	n := 0
	for _, in := range s.Ledger().Incidents {
		n += in.Notified
	}
	return n
}

func (s *stage) statuses() []string {
	var out []string
	for _, in := range s.Ledger().Incidents {
		out = append(out, in.Status)
	}
	return out
}

// gotWorse is notifytest.Page after it got worse n times, and the updates.
func gotWorse(n int) (page.Page, []page.Update) {
	p := notifytest.Page()
	p.Worse = n
	for i := range n {
		p.Updates = append(p.Updates, update(i+1, page.UpdateWorse, fmt.Sprintf("CheckoutDown is critical, %d alerts more", 10*(i+1))))
	}
	return p, p.Updates
}

func update(n int, kind page.UpdateKind, text string) page.Update {
	return page.Update{N: n, Kind: kind, Text: text, At: began().Add(time.Duration(n) * time.Minute)}
}

// desk is a house that remembers what was put, by its ID.
type desk struct {
	mu       sync.Mutex
	receipts []page.Receipt
	ids      map[string]bool
	events   []page.Event
	trouble  error
	hang     bool
}

func (d *desk) Put(ctx context.Context, e page.Event) error {
	if d.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.trouble != nil:
		return d.trouble
	case d.ids[e.ID]:
		return nil
	case d.ids == nil:
		d.ids = map[string]bool{}
	}
	d.ids[e.ID] = true
	d.events = append(d.events, e)
	return nil
}

func (d *desk) Lookup(_ context.Context, ref string) (page.Receipt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.receipts {
		if r.Delivery == ref || r.Ref == ref || slices.Contains(r.Further, ref) {
			return r, nil
		}
	}
	return page.Receipt{}, fmt.Errorf("receipt: %w", notify.ErrNotFound)
}

func (d *desk) Page(context.Context, string) (page.Page, error) { return notifytest.Page(), nil }

func (d *desk) May([]string, page.Verb, page.Run) (string, bool) { return "", false }

// taken is who has the problem by now, "" for nobody.
func (d *desk) taken() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	who := ""
	for _, e := range d.events {
		switch e.Act.Verb {
		case page.Acknowledge:
			who = e.Act.By
		case page.Unacknowledge:
			who = ""
		default:
		}
	}
	return who
}

// acts is what was put, in words.
func (d *desk) acts() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, e := range d.events {
		out = append(out, fmt.Sprintf("%s %s: %s", e.Act.Verb, e.Act.By, e.Act.Text))
	}
	return out
}
