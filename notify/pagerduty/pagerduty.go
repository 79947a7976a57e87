// Package pagerduty opens one PagerDuty incident per episode of a problem, a
// further one only when it gets worse, and resolves them, by the Events API v2.
// What comes later becomes a note on the incident (REST API), what people do
// there comes back (v3 webhooks).
package pagerduty

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Kind is the menu's line.
func Kind() notify.Kind {
	return notify.Kind{
		Name:   "pagerduty",
		Config: func() any { return defaults() },
		New: func(cfg any, d notify.Deps) (notify.Notifier, error) {
			return open(cfg.(*Config), d)
		},
	}
}

var (
	_ notify.Finder   = (*target)(nil)
	_ notify.Keyed    = (*target)(nil)
	_ notify.Renderer = (*target)(nil)
	_ notify.Checker  = (*target)(nil)
	_ notify.Follower = (*target)(nil)
	_ notify.Caller   = (*target)(nil)
)

type target struct {
	name     string // kind/name
	events   events
	rest     *rest // nil: no notes
	webhooks []config.Secret
	severity map[string]string
	acks     bool
	changes  bool
	now      func() time.Time
	log      *slog.Logger
	every    time.Duration // from one event to the next

	told  *recent[struct{}] // changes that PagerDuty was told of
	heard *recent[heard]    // what webhooks said of incidents, by their ID
}

const (
	keyLength = 32
	maxAnswer = 1 << 20
	kept      = 4096 // of what a target remembers
)

func open(c *Config, d notify.Deps) (*target, error) {
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(c.EventsURL)
	if err != nil {
		return nil, config.Bad("events_url", "%v", err)
	}
	api, err := url.Parse(c.APIURL)
	if err != nil {
		return nil, config.Bad("api_url", "%v", err)
	}
	http := remote.New(d.Transport, maxAnswer)
	t := &target{
		name:     "pagerduty/" + d.Name,
		events:   events{http: http, base: base, key: s.key, now: d.Now},
		webhooks: s.webhooks, severity: c.SeverityMap, acks: c.Acknowledge, changes: c.ChangeEvents,
		now: d.Now, log: d.Log, every: time.Duration(float64(time.Minute) / c.EventsPerMinute),
		told: newRecent[struct{}](kept), heard: newRecent[heard](kept),
	}
	if s.token != "" {
		t.rest = &rest{http: http, base: api, token: s.token, from: c.From, now: d.Now}
	}
	return t, nil
}

// Notify triggers on open and resolves on resolve. An update sends nothing:
// PagerDuty neither notifies again nor retitles on a repeated trigger, and
// keeps the details of the first one, so that all it would bring is a line in
// the incident's log; and had somebody resolved the incident meanwhile, it
// would open another and page a second time. A problem that
// was over before it could be opened is not sent either: nobody is paged for
// what has ended, and the receipt stays without a Ref.
func (t *target) Notify(ctx context.Context, m notify.Message) (page.Receipt, error) {
	out, err := t.eventsOf(m)
	if err != nil {
		return m.Receipt, err
	}
	for _, body := range out {
		if err := t.events.send(ctx, alertPath, body); err != nil {
			return m.Receipt, err
		}
	}
	r := m.Receipt
	if len(out) > 0 {
		r.Ref = r.Delivery
	}
	if m.Page.State != page.Closed {
		t.tellChanges(ctx, m)
	}
	return r, nil
}

// eventsOf is what is sent for a message, in order.
func (t *target) eventsOf(m notify.Message) ([][]byte, error) {
	var out [][]byte
	add := func(body []byte, err error) error {
		if err != nil {
			return &remote.Error{Op: "render event", Class: remote.Content, Err: err}
		}
		out = append(out, body)
		return nil
	}
	closed := m.Page.State == page.Closed
	switch {
	case m.Verb == notify.VerbOpen && !closed:
		return out, add(t.trigger(m))
	case m.Verb == notify.VerbResolve && !m.Receipt.Resolved:
		for _, key := range keys(m) {
			if err := add(encode(t.plain("resolve", key))); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Find answers that a repeat of the first message doubles nothing: the
// dedup_key, which is the delivery's id, folds it into the incident that is
// open. Had somebody resolved that one already, a repeat would page again:
// where the REST API may be asked, an incident that was there is found. A page
// that is over meanwhile is not repeated, so it counts as found: its end is
// sent, lest the incident stay open for ever, and PagerDuty drops that if there
// is none.
func (t *target) Find(ctx context.Context, m notify.Message) (page.Receipt, bool, error) {
	if m.Verb == notify.VerbFollow {
		return t.findFollow(ctx, m)
	}
	r := m.Receipt
	if m.Page.State != page.Closed && !t.opened(ctx, m, r.Delivery) {
		return r, false, nil
	}
	r.Ref = r.Delivery
	return r, true, nil
}

// patience is how long a page waits for an answer that it does not depend on.
const patience = 3 * time.Second

// opened reports whether there surely is an incident of a key in this episode,
// be it resolved by now. Not to know holds no page up.
func (t *target) opened(ctx context.Context, m notify.Message, key string) bool {
	if t.rest == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, found, err := t.rest.incident(ctx, key, m.Receipt.Since)
	if err != nil {
		t.log.Warn("incident cannot be asked for: the event is sent again under its key", "page", m.Page.Problem, "notifier", t.name, "err", err)
	}
	return found
}

// Keyed says so: the dedup_key is the delivery's id.
func (t *target) Keyed() {}

// Render shows the events without their integration key, or that none is sent:
// null, one event, or a list of them, notes among them.
func (t *target) Render(m notify.Message) ([]byte, error) {
	dry := *t
	dry.events.key = config.Secret(t.events.key.String())
	var out []json.RawMessage
	bodies, err := dry.eventsOf(m)
	if m.Verb == notify.VerbFollow {
		bodies, err = dry.followOf(m)
	}
	if err != nil {
		return nil, err
	}
	for _, b := range bodies {
		out = append(out, b)
	}
	switch len(out) {
	case 0:
		return []byte("null"), nil
	case 1:
		return encode(out[0])
	default:
		return encode(out)
	}
}

// Check proves the credentials. Acknowledging what was never triggered is
// dropped by PagerDuty after it has looked at the integration key.
func (t *target) Check(ctx context.Context) error {
	body, err := encode(t.plain("acknowledge", "tocsin-check"))
	if err != nil {
		return err
	}
	errs := []error{t.events.send(ctx, alertPath, body)}
	if t.rest != nil {
		errs = append(errs, t.rest.check(ctx))
	}
	return errors.Join(errs...)
}
