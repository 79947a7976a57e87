// Package pagerduty opens one PagerDuty incident per episode of a problem and
// resolves it, by the Events API v2.
package pagerduty

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Config is the section of one PagerDuty service.
type Config struct {
	RoutingKeyFile config.SecretFile `yaml:"routing_key_file" need:"true" doc:"File with the integration key (32 characters) of an Events API v2 integration."`
	EventsURL      string            `yaml:"events_url" doc:"Base address of the Events API; https://events.eu.pagerduty.com for accounts in the EU."`
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	if c.RoutingKeyFile == "" {
		errs = append(errs, config.Bad("routing_key_file", "name the file that holds the integration key"))
	}
	if _, ok := page.WebURL(c.EventsURL); !ok {
		errs = append(errs, config.Bad("events_url", "write it as https://events.pagerduty.com"))
	}
	return errors.Join(errs...)
}

// Kind is the menu's line.
func Kind() notify.Kind {
	return notify.Kind{
		Name:   "pagerduty",
		Config: func() any { return &Config{EventsURL: "https://events.pagerduty.com"} },
		New: func(cfg any, d notify.Deps) (notify.Notifier, error) {
			return open(cfg.(*Config), d)
		},
	}
}

var (
	_ notify.Finder   = (*target)(nil)
	_ notify.Keyed    = (*target)(nil)
	_ notify.Renderer = (*target)(nil)
)

type target struct {
	http *remote.Client
	url  string
	key  config.Secret
	now  func() time.Time
}

const (
	keyLength = 32
	maxAnswer = 64 << 10
)

func open(c *Config, d notify.Deps) (*target, error) {
	key, err := c.RoutingKeyFile.Read()
	if err != nil {
		return nil, config.Bad("routing_key_file", "%v", err)
	}
	if len(key.Reveal()) != keyLength {
		return nil, config.Bad("routing_key_file", "an integration key has %d characters, the file's content has %d", keyLength, len(key.Reveal()))
	}
	base, err := url.Parse(c.EventsURL)
	if err != nil {
		return nil, config.Bad("events_url", "%v", err)
	}
	return &target{
		http: remote.New(d.Transport, maxAnswer), url: base.JoinPath("v2/enqueue").String(), key: key, now: d.Now,
	}, nil
}

// Notify triggers on open and resolves on resolve. An update sends nothing:
// PagerDuty neither notifies again nor retitles on a repeated trigger, and
// keeps the details of the first one, so that all it would bring is a line in
// the incident's log; and had somebody resolved the incident meanwhile, it
// would open another and page a second time. A problem that
// was over before it could be opened is not sent either: nobody is paged for
// what has ended, and the receipt stays without a Ref.
func (t *target) Notify(ctx context.Context, m notify.Message) (page.Receipt, error) {
	action := actionOf(m)
	if action == "" {
		return m.Receipt, nil
	}
	body, err := t.body(m, action, t.key.Reveal())
	if err != nil {
		return m.Receipt, &remote.Error{Op: "render event", Class: remote.Content, Err: err}
	}
	if err := t.enqueue(ctx, body); err != nil {
		return m.Receipt, err
	}
	r := m.Receipt
	r.Ref = r.Delivery
	return r, nil
}

// actionOf returns the event's action, "" for none.
func actionOf(m notify.Message) string {
	closed := m.Page.State == page.Closed
	switch {
	case m.Verb == notify.VerbOpen && !closed:
		return "trigger"
	case m.Verb == notify.VerbResolve && !m.Receipt.Resolved:
		return "resolve"
	default:
		return ""
	}
}

// Find answers that a repeat doubles nothing: the dedup_key, which is the
// delivery's id, folds it into the incident that is open. A page that is over
// meanwhile is not repeated, so it counts as found: its end is sent, lest the
// incident stay open for ever, and PagerDuty drops that if there is none.
func (t *target) Find(_ context.Context, m notify.Message) (page.Receipt, bool, error) {
	r := m.Receipt
	if m.Page.State != page.Closed {
		return r, false, nil
	}
	r.Ref = r.Delivery
	return r, true, nil
}

// Keyed says so: the dedup_key is the delivery's id.
func (t *target) Keyed() {}

// Render shows the event without its integration key, or that none is sent.
func (t *target) Render(m notify.Message) ([]byte, error) {
	action := actionOf(m)
	if action == "" {
		return []byte("null"), nil
	}
	return t.body(m, action, config.Secret("").String())
}

const op = "enqueue event"

func (t *target) enqueue(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, strings.NewReader(string(body)))
	if err != nil {
		return &remote.Error{Op: op, Class: remote.Config, Err: remote.Redact(err)}
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := t.http.Do(req, op)
	if err != nil {
		return err
	}
	return t.outcome(res)
}

// outcome sorts answers as the Events API v2 documents them: 202 is accepted,
// 400 will never be, 429 was not ingested.
func (t *target) outcome(res remote.Response) error {
	e := &remote.Error{Op: op, Status: res.Status, RetryAfter: remote.ParseRetryAfter(res.Header, t.now())}
	var a pagerduty.V2EventResponse
	readable := json.Unmarshal(res.Body, &a) == nil
	switch {
	case res.Status == http.StatusAccepted:
		return nil
	case res.Status == http.StatusTooManyRequests:
		e.Class, e.Reason = remote.NotSent, "throttled"
	case res.Status == http.StatusBadRequest && readable:
		e.Class, e.Reason = remote.Content, notify.Clean(strings.Join(a.Errors, "; "), 200)
		if strings.Contains(e.Reason, "routing_key") {
			e.Class = remote.Config
		}
		e.Reason = strings.ReplaceAll(e.Reason, t.key.Reveal(), config.Secret("").String())
	case res.Status == http.StatusRequestEntityTooLarge || res.Status == http.StatusBadRequest:
		e.Class = remote.Content
	case res.Status >= 300 && res.Status < 500 && res.Status != http.StatusRequestTimeout:
		e.Class = remote.Config
	default: // 5xx, or a 2xx that is not the Events API's
		e.Class = remote.Unknown
	}
	return e
}
