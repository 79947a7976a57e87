// Package slack keeps one living message per problem in a Slack channel: posted
// once, edited as more is known, and found again when an answer was lost.
package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/slack-go/slack"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Config is the section of one Slack channel. The app behind the token needs
// the scope chat:write; with channels:history (groups:history in a private
// channel) Tocsin can ask what became of a message whose answer was lost, and
// never doubles one.
type Config struct {
	TokenFile config.SecretFile `yaml:"token_file" need:"true" doc:"File with the bot token (xoxb-…) of an app with the scopes chat:write and channels:history (groups:history for a private channel)."`
	Channel   string            `yaml:"channel" need:"true" doc:"ID of the channel (C0123ABCD), which stays when the channel is renamed. The app must be a member."`
	APIURL    string            `yaml:"api_url" doc:"Base address of Slack's Web API."`
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	if c.TokenFile == "" {
		errs = append(errs, config.Bad("token_file", "name the file that holds the bot token"))
	}
	if !regexp.MustCompile(`^[CGD][A-Z0-9]+$`).MatchString(c.Channel) {
		errs = append(errs, config.Bad("channel", "%q is not a channel ID: open the channel's details in Slack and copy the ID at the end, like C0123ABCD", c.Channel))
	}
	if _, ok := page.WebURL(c.APIURL); !ok {
		errs = append(errs, config.Bad("api_url", "write it as https://slack.com/api/"))
	}
	return errors.Join(errs...)
}

// Kind is the menu's line.
func Kind() notify.Kind {
	return notify.Kind{
		Name:   "slack",
		Config: func() any { return &Config{APIURL: "https://slack.com/api/"} },
		New: func(cfg any, d notify.Deps) (notify.Notifier, error) {
			return open(cfg.(*Config), d)
		},
	}
}

var (
	_ notify.Finder   = (*target)(nil)
	_ notify.Renderer = (*target)(nil)
	_ notify.Checker  = (*target)(nil)
)

type target struct {
	api     api
	channel string
	now     func() time.Time
	opened  time.Time // with its monotonic reading
}

func open(c *Config, d notify.Deps) (*target, error) {
	token, err := c.TokenFile.Read()
	if err != nil {
		return nil, config.Bad("token_file", "%v", err)
	}
	base, err := url.Parse(c.APIURL)
	if err != nil {
		return nil, config.Bad("api_url", "%v", err)
	}
	return &target{
		api:     &client{http: remote.New(d.Transport, maxAnswer), base: base, token: token, now: d.Now},
		channel: c.Channel, now: d.Now, opened: time.Now(),
	}, nil
}

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

// form is the call's arguments without the token. Every argument on which an
// edit would else keep or guess a value is written out: chat.update's own
// default for parse is not chat.postMessage's.
func (t *target) form(m notify.Message) (url.Values, error) {
	c := layout(m)
	f := url.Values{
		"channel": {t.channel}, "text": {c.text},
		"parse": {"none"}, "link_names": {"false"}, "mrkdwn": {"false"},
		"unfurl_links": {"false"}, "unfurl_media": {"false"},
	}
	if m.Verb != notify.VerbOpen {
		f.Set("channel", m.Receipt.Channel)
		f.Set("ts", m.Receipt.Ref)
	}
	for name, v := range map[string]any{
		"blocks": c.blocks, "attachments": c.attachments,
		"metadata": slack.SlackMetadata{EventType: eventType, EventPayload: map[string]any{"id": m.Receipt.Delivery}},
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
	f, err := t.form(m)
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

const (
	lag      = 2 * time.Second  // until a message that was posted shows in the history
	overlap  = 90 * time.Minute // our clock and Slack's differ, by an hour where somebody has set one
	pageSize = 200
	maxPages = 25
)

// Find looks for the message of a delivery in the channel's history. It waits
// until the history must show what was accepted.
func (t *target) Find(ctx context.Context, m notify.Message) (page.Receipt, bool, error) {
	// The message may be from a moment before we began, and the clock may have
	// been set since, ahead or back.
	settle := time.NewTimer(min(max(m.Receipt.At.Add(lag).Sub(t.now()), lag-time.Since(t.opened)), lag))
	defer settle.Stop()
	select {
	case <-settle.C:
	case <-ctx.Done():
		return m.Receipt, false, &remote.Error{Op: "conversations.history", Class: remote.NotSent, Err: ctx.Err()}
	}
	oldest := m.Receipt.Since.Add(-overlap)
	f := url.Values{
		"channel": {t.channel}, "include_all_metadata": {"true"}, "inclusive": {"true"},
		"limit":  {strconv.Itoa(pageSize)},
		"oldest": {fmt.Sprintf("%d.%06d", oldest.Unix(), oldest.Nanosecond()/1000)},
	}
	for range maxPages {
		a, err := t.api.call(ctx, "conversations.history", f)
		if err != nil {
			return m.Receipt, false, err
		}
		for _, msg := range a.Messages {
			if msg.Metadata.EventType == eventType && msg.Metadata.EventPayload.ID == m.Receipt.Delivery {
				r := m.Receipt
				r.Ref, r.Channel = msg.TS, t.channel
				return r, true, nil
			}
		}
		if !a.HasMore || a.Next.Cursor == "" {
			return m.Receipt, false, nil
		}
		f.Set("cursor", a.Next.Cursor)
	}
	return m.Receipt, false, &remote.Error{
		Op: "conversations.history", Class: remote.Unknown,
		Reason: fmt.Sprintf("not among the last %d messages", pageSize*maxPages),
	}
}
