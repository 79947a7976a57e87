package slack_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
)

// desk is where presses come to lie.
type desk struct {
	mu       sync.Mutex
	events   []page.Event
	receipts map[string]page.Receipt
	page     page.Page
	may      map[string][]page.Verb // by id of a user or a group
	broken   error                  // of Put
	slow     chan struct{}          // Put waits for it, if it is there
	asked    [][]string
}

func (d *desk) Put(ctx context.Context, e page.Event) error {
	d.mu.Lock()
	slow := d.slow
	d.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return d.broken
	}
	if !slices.ContainsFunc(d.events, func(o page.Event) bool { return o.ID == e.ID }) {
		d.events = append(d.events, e)
	}
	return nil
}

func (d *desk) Lookup(_ context.Context, ref string) (page.Receipt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.receipts[ref]
	if !ok {
		return r, notify.ErrNotFound
	}
	return r, nil
}

func (d *desk) Page(_ context.Context, problem string) (page.Page, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if problem != d.page.Problem {
		return page.Page{}, notify.ErrNotFound
	}
	return d.page, nil
}

func (d *desk) May(ids []string, verb page.Verb, _ page.Run) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, ids)
	for _, id := range ids {
		if slices.Contains(d.may[id], verb) {
			return strings.TrimPrefix(ids[0], "U0"), true
		}
	}
	return "", false
}

func (d *desk) put() []page.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

func (d *desk) set(change func(*desk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// scene is a page in a channel, whose buttons can be pressed.
type scene struct {
	t      *testing.T
	fake   *fakeslack.Fake
	target notify.Notifier
	desk   *desk
	sent   page.Receipt
	log    *syncBuffer
	cfg    *slack.Config
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// grouped is a page with the labels of a group.
func grouped() page.Page {
	p := notifytest.Page()
	p.GroupLabels = page.Labels{"alertname": "CheckoutErrors", "cluster": "eu", "service": "checkout"}
	return p
}

// play posts a page by a target with call-backs; overHTTP says whether they
// come to a server, else the target has an app token.
func play(t *testing.T, overHTTP bool, change func(*slack.Config)) *scene {
	t.Helper()
	s := &scene{t: t, fake: fakeslack.New(fakeslack.Options{NoRateLimits: true}), log: &syncBuffer{}}
	srv := httptest.NewServer(s.fake)
	t.Cleanup(srv.Close)
	t.Cleanup(s.fake.Cut)
	t.Cleanup(s.fake.Faults.Clear)
	cfg := section(t, srv.URL, fakeslack.DefaultToken)
	if overHTTP {
		cfg.SigningSecretFiles = append(cfg.SigningSecretFiles, secretFile(t, fakeslack.DefaultSigningSecret))
	} else {
		cfg.AppTokenFile = secretFile(t, fakeslack.DefaultAppToken)
	}
	if change != nil {
		change(cfg)
	}
	require.NoError(t, cfg.Validate())
	s.cfg = cfg
	var err error
	s.target, err = slack.Kind(nil).New(cfg, s.deps())
	require.NoError(t, err)
	p := grouped()
	m := notifytest.Message(p, notify.VerbOpen, page.Receipt{})
	m.PageURL = "https://tocsin.example.org/page/" + p.Problem
	s.sent, err = s.target.Notify(t.Context(), m)
	require.NoError(t, err)
	s.sent.Target = "slack/pages"
	every := []page.Verb{page.Acknowledge, page.Unacknowledge, page.SilenceIt, page.UnsilenceIt, page.NotUseful}
	s.desk = &desk{
		page: p, receipts: map[string]page.Receipt{s.sent.Delivery: s.sent},
		may: map[string][]page.Verb{"U0ANN": every, "U0BOB": {page.NotUseful}},
	}
	if overHTTP {
		front := httptest.NewServer(s.target.(notify.Caller).Callback(s.desk))
		t.Cleanup(front.Close)
		s.fake.SetApp(front.URL, "")
	}
	t.Cleanup(func() {
		for _, secret := range []string{fakeslack.DefaultToken, fakeslack.DefaultAppToken, fakeslack.DefaultSigningSecret, "ticket-"} {
			require.NotContains(t, s.log.String(), secret)
		}
	})
	return s
}

func (s *scene) deps() notify.Deps {
	return notify.Deps{
		Name: "pages", Transport: &http.Transport{}, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func (s *scene) press(user, action string, variant fakeslack.Variant) fakeslack.Pressed {
	s.t.Helper()
	out, err := s.fake.Press(s.t.Context(), fakeslack.Press{
		Channel: s.sent.Channel, TS: s.sent.Ref, ActionID: action, User: user, Variant: variant,
	})
	require.NoError(s.t, err)
	return out
}

// whisper waits for the n-th answer to a person.
func (s *scene) whisper(n int) fakeslack.Whisper {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return len(s.fake.Ledger().Whispers) >= n }, 10*time.Second, 5*time.Millisecond)
	return s.fake.Ledger().Whispers[n-1]
}

// show edits the message to what the desk's page is now.
func (s *scene) show(change func(*page.Page)) fakeslack.Version {
	s.t.Helper()
	s.desk.set(func(d *desk) { change(&d.page) })
	m := notifytest.Message(s.desk.page, notify.VerbUpdate, s.sent)
	_, err := s.target.Notify(s.t.Context(), m)
	require.NoError(s.t, err)
	return s.fake.Ledger().Messages[0].Current
}

func secretFiles(t *testing.T, secrets ...string) []config.SecretFile {
	var out []config.SecretFile
	for _, secret := range secrets {
		out = append(out, secretFile(t, secret))
	}
	return out
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
