// Package slack keeps one living message per problem in a Slack channel: posted
// once, edited as more is known, found again when an answer was lost; what
// changed stands in its thread, and its buttons act.
package slack

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"time"

	"github.com/slack-go/slack"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Kind is the menu's line. draw makes a PNG of a chart; without it there are no
// charts.
func Kind(draw func(page.Chart) ([]byte, error)) notify.Kind {
	lines := &lines{}
	return notify.Kind{
		Name: "slack",
		Config: func() any {
			return &Config{APIURL: "https://slack.com/api/", Morning: "08:00", TimeZone: "UTC", MessagesPerSecond: 1, EditsPerMinute: 40}
		},
		New: func(cfg any, d notify.Deps) (notify.Notifier, error) {
			t, err := open(cfg.(*Config), d)
			if err != nil {
				return nil, err
			}
			t.lines = lines
			if draw == nil {
				return t, nil
			}
			return &charting{target: t, draw: draw}, nil
		},
	}
}

var (
	_ notify.Finder   = (*target)(nil)
	_ notify.Follower = (*target)(nil)
	_ notify.Caller   = (*target)(nil)
	_ notify.Listener = (*target)(nil)
	_ notify.Renderer = (*target)(nil)
	_ notify.Checker  = (*target)(nil)
)

type target struct {
	api     api
	web     *client // for what is no method of the API
	app     api     // with the app-level token; nil without Socket Mode
	key     config.Secret
	signing []config.Secret
	channel string
	posts   time.Duration // from one message to the next
	edits   time.Duration
	morning morning
	groups  *groups
	lines   *lines
	log     *slog.Logger
	now     func() time.Time
	opened  time.Time     // with its monotonic reading
	telling chan struct{} // answers to people that are under way
}

func open(c *Config, d notify.Deps) (*target, error) {
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(c.APIURL)
	if err != nil {
		return nil, config.Bad("api_url", "%v", err)
	}
	m, err := newMorning(c.Morning, c.TimeZone)
	if err != nil {
		return nil, err
	}
	web := &client{http: remote.New(d.Transport, maxAnswer), base: base, token: s.token, now: d.Now}
	t := &target{
		api: web, web: web, key: s.app, signing: s.signing, channel: c.Channel, morning: m,
		posts: time.Duration(float64(time.Second) / c.MessagesPerSecond), edits: time.Duration(float64(time.Minute) / c.EditsPerMinute),
		groups: &groups{api: web, log: d.Log, now: d.Now},
		log:    d.Log, now: d.Now, opened: time.Now(), telling: make(chan struct{}, maxTelling),
	}
	if s.app != "" {
		t.app = &client{http: web.http, base: base, token: s.app, now: d.Now}
	}
	return t, nil
}

// pressable reports whether a press of a button would reach us.
func (t *target) pressable() bool { return len(t.signing) > 0 || t.app != nil }

// Notify posts the message of an episode, or edits it.
func (t *target) Notify(ctx context.Context, m notify.Message) (page.Receipt, error) {
	form, err := t.form(m)
	if err != nil {
		return m.Receipt, &remote.Error{Op: "render message", Class: remote.Content, Err: err}
	}
	method := "chat.postMessage"
	if m.Verb != notify.VerbOpen {
		method = "chat.update"
	}
	a, err := t.api.call(ctx, method, form)
	if err != nil {
		return m.Receipt, err
	}
	if a.TS == "" {
		return m.Receipt, &remote.Error{Op: method, Class: remote.Unknown, Status: 200, Reason: "answer without ts"}
	}
	r := m.Receipt
	r.Ref, r.Channel = a.TS, a.Channel
	return r, nil
}

// eventType marks our messages in the channel's history; the payload holds the
// delivery id and nothing else, for every member of the workspace can read it.
const eventType = "tocsin_delivery"

// form is the call's arguments without the token.
func (t *target) form(m notify.Message) (url.Values, error) {
	f, err := form(layout(m, t.now(), t.offer()), eventType, map[string]any{"id": m.Receipt.Delivery})
	if err != nil {
		return nil, err
	}
	f.Set("channel", t.channel)
	if m.Verb != notify.VerbOpen {
		f.Set("channel", m.Receipt.Channel)
		f.Set("ts", m.Receipt.Ref)
	}
	return f, nil
}

// form writes out every argument on which Slack would else keep or guess a
// value: chat.update's own default for parse is not chat.postMessage's.
func form(c content, event string, payload map[string]any) (url.Values, error) {
	f := url.Values{
		"text":  {c.text},
		"parse": {"none"}, "link_names": {"false"}, "mrkdwn": {"false"},
		"unfurl_links": {"false"}, "unfurl_media": {"false"},
	}
	for name, v := range map[string]any{
		"blocks": c.blocks, "attachments": c.attachments,
		"metadata": slack.SlackMetadata{EventType: event, EventPayload: payload},
	} {
		b, err := encode(v)
		if err != nil {
			return nil, err
		}
		f.Set(name, string(b))
	}
	return f, nil
}

// Render shows the call: its arguments, blocks and attachments as JSON.
func (t *target) Render(m notify.Message) ([]byte, error) {
	build := t.form
	if m.Verb == notify.VerbFollow {
		build = t.reply
	}
	f, err := build(m)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for name := range f {
		out[name] = f.Get(name)
		switch name {
		case "blocks", "attachments", "metadata":
			out[name] = json.RawMessage(f.Get(name))
		}
	}
	return encode(out)
}

// Check proves the token.
func (t *target) Check(ctx context.Context) error {
	_, err := t.api.call(ctx, "auth.test", url.Values{})
	return err
}
