package slack

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// press is somebody pressing one of our buttons.
type press struct {
	action  string // action_id; "" for what is no press of ours
	value   string // delivery id
	user    string // Slack's id of the person
	called  string // the person's name at Slack; untrusted
	channel string
	ts      string // of the message
	at      string // action_ts
	reply   string // response_url
}

// payload is a block_actions payload (docs.slack.dev, interaction payloads), as
// far as it is read.
type payload struct {
	Type string `json:"type"`
	User struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Username string `json:"username"`
	} `json:"user"`
	Container struct {
		TS      string `json:"message_ts"`
		Channel string `json:"channel_id"`
	} `json:"container"`
	ResponseURL string `json:"response_url"`
	Actions     []struct {
		ID    string `json:"action_id"`
		Value string `json:"value"`
		TS    string `json:"action_ts"`
	} `json:"actions"`
}

// parse reads an interaction. Those that are no press of our buttons (a form, a
// short cut, a link) are well and mean nothing.
func parse(raw []byte) (press, error) {
	var in payload
	if err := json.Unmarshal(raw, &in); err != nil {
		return press{}, errors.New("payload is not JSON")
	}
	if in.Type == "" {
		return press{}, errors.New("payload has no type")
	}
	if in.Type != "block_actions" || len(in.Actions) != 1 || verbOf(in.Actions[0].ID) == "" {
		return press{}, nil
	}
	a := in.Actions[0]
	p := press{
		action: a.ID, value: a.Value, at: a.TS, user: in.User.ID, called: cmp.Or(in.User.Name, in.User.Username),
		channel: in.Container.Channel, ts: in.Container.TS, reply: in.ResponseURL,
	}
	stamp, id := regexp.MustCompile(`^[0-9]{1,16}\.[0-9]{1,9}$`), regexp.MustCompile(`^[A-Z0-9]{2,32}$`)
	switch {
	case !id.MatchString(p.user), !id.MatchString(p.channel):
		return press{}, errors.New("press without a user or a channel")
	case !stamp.MatchString(p.ts), !stamp.MatchString(p.at):
		return press{}, errors.New("press without its time stamps")
	case !regexp.MustCompile(`^[0-9A-Za-z_-]{1,128}$`).MatchString(p.value):
		return press{}, errors.New("press without a delivery id")
	}
	return p, nil
}

// verbOf is what a button does, "" if it is none of ours, or only a link.
func verbOf(action string) page.Verb {
	switch action {
	case actAck:
		return page.Acknowledge
	case actUnack:
		return page.Unacknowledge
	case actHour, actMorning:
		return page.SilenceIt
	case actUnsilence:
		return page.UnsilenceIt
	case actUseless:
		return page.NotUseful
	}
	for prefix, verb := range map[string]page.Verb{actApprove: page.ApproveIt, actDeny: page.DenyIt} {
		if id, ok := strings.CutPrefix(action, prefix); ok && dispatchID(id) {
			return verb
		}
	}
	return ""
}

// asks reports whether a page still asks for what a button decides on, and its id.
func (p press) asks(shown page.Page, now time.Time) (string, bool) {
	id := p.action[strings.LastIndexByte(p.action, '_')+1:]
	return id, slices.ContainsFunc(shown.Runs, func(r page.Run) bool { return r.Dispatch == id && r.Asks.After(now) })
}

// run is the run that a press decides on; the zero Run for any other press.
func (p press) run(shown page.Page) page.Run {
	id := p.action[strings.LastIndexByte(p.action, '_')+1:]
	for _, r := range shown.Runs {
		if r.Dispatch == id {
			return r
		}
	}
	return page.Run{}
}

// id is the same for every copy of a press.
func (p press) id() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"slack", p.channel, p.ts, p.action, p.user, p.at}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// logger is what a press is logged with; what people typed has no place in it.
func (p press) logger(log *slog.Logger) *slog.Logger {
	return log.With("action", p.action, "user", p.user)
}

// take makes a press durable, or answers why it is not, and tells the person
// which. Its error says that neither was possible.
func (t *target) take(ctx context.Context, d notify.Desk, p press) error {
	if p.action == "" {
		return nil
	}
	answer, err := t.act(ctx, d, p)
	if err != nil {
		return err
	}
	t.tell(p, answer)
	return nil
}

func (t *target) act(ctx context.Context, d notify.Desk, p press) (answer string, err error) {
	verb := verbOf(p.action)
	r, err := d.Lookup(ctx, p.value)
	if errors.Is(err, notify.ErrNotFound) || err == nil && !strings.HasPrefix(r.Target, "slack/") {
		return "Nothing was done: Tocsin no longer knows this page.", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up delivery: %w", err)
	}
	shown, err := d.Page(ctx, r.Problem)
	if err != nil && !errors.Is(err, notify.ErrNotFound) {
		return "", fmt.Errorf("read page: %w", err)
	}
	who, ok := t.may(ctx, d, p, verb, p.run(shown))
	if !ok {
		p.logger(t.log).Warn("press refused: no role", "page", r.Problem)
		return fmt.Sprintf("Nothing was done: you may not %s. Ask whoever looks after Tocsin to give a role to you (%s), or to a user group you are in.", deed(verb), p.user), nil
	}
	if over := err != nil || shown.Episode != r.Episode || shown.State == page.Closed; over && verb != page.NotUseful {
		return "Nothing was done: this is over already.", nil
	}
	act := page.Act{Verb: verb, By: who, Via: r.Target}
	answer = "Noted: not useful. It is counted for its rule."
	switch verb {
	case page.SilenceIt:
		act.Until = t.until(p)
		answer = "Alertmanager is asked for a silence until " + t.morning.clock(act.Until) + ". What comes of it stands in the thread."
	case page.UnsilenceIt:
		s, ok := silenced(shown, t.now())
		if !ok {
			return "Nothing was done: no silence stands any more.", nil
		}
		act.Silence = s.ID
		answer = "Alertmanager is asked to end the silence. What comes of it stands in the thread."
	case page.Acknowledge:
		answer = "It is yours. The message says so in a moment."
	case page.Unacknowledge:
		answer = "It is nobody's again. The message says so in a moment."
	case page.ApproveIt, page.DenyIt:
		var asked bool
		if act.Dispatch, asked = p.asks(shown, t.now()); !asked {
			return "Nothing was done: nobody is asked for this any more.", nil
		}
		answer = "Your word is handed in. What comes of it stands in the thread."
	case page.NotUseful, page.Remark:
	}
	err = d.Put(ctx, page.Event{
		Problem: r.Problem, Episode: r.Episode, Kind: page.Acted, ID: p.id(),
		Actor: "slack/" + p.user, At: t.now(), Act: &act,
	})
	if err != nil {
		return "", fmt.Errorf("put press: %w", err)
	}
	return answer, nil
}

// may reports whether the person may, by itself or by one of its groups, and
// how it is called. A group's name says who gave the right, not who pressed.
func (t *target) may(ctx context.Context, d notify.Desk, p press, verb page.Verb, run page.Run) (string, bool) {
	called := cmp.Or(notify.Clean(p.called, maxName), p.user)
	if who, ok := d.May([]string{p.user}, verb, run); ok {
		if who == "" || who == p.user {
			who = called
		}
		return who, true
	}
	ids := t.groups.ids(ctx, p.user)
	if len(ids) == 0 {
		return called, false
	}
	group, ok := d.May(ids, verb, run)
	return fmt.Sprintf("%s (%s)", called, cmp.Or(group, ids[0])), ok
}

func (t *target) until(p press) time.Time {
	now := t.now()
	if p.action == actMorning {
		return t.morning.after(now)
	}
	return now.Add(time.Hour)
}

func deed(v page.Verb) string {
	switch v {
	case page.Acknowledge, page.Unacknowledge:
		return "acknowledge pages here"
	case page.SilenceIt, page.UnsilenceIt:
		return "silence alerts here"
	case page.ApproveIt, page.DenyIt:
		return "decide here what machines do"
	case page.NotUseful, page.Remark:
	}
	return "say that here"
}

const (
	maxTelling  = 8
	tellingTime = 5 * time.Second
)

// tell answers the one who pressed, beside the point: nothing waits for it, and
// under load it is left out.
func (t *target) tell(p press, answer string) {
	u, err := url.Parse(p.reply)
	if err != nil || !t.web.ours(u, "hooks.slack.com") {
		p.logger(t.log).Warn("response_url is not Slack's: nobody is answered")
		return
	}
	body, err := encode(map[string]any{"response_type": "ephemeral", "replace_original": false, "text": escape(answer)})
	if err != nil {
		return
	}
	select {
	case t.telling <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-t.telling }()
		ctx, cancel := context.WithTimeout(context.Background(), tellingTime)
		defer cancel()
		if err := t.web.tell(ctx, u, body); err != nil {
			p.logger(t.log).Warn("nobody could be answered", "err", err)
		}
	}()
}

func (c *client) tell(ctx context.Context, u *url.URL, body []byte) error {
	const op = "answer press"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return &remote.Error{Op: op, Class: remote.Config, Err: remote.Redact(err)}
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req, op)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK {
		return &remote.Error{Op: op, Class: remote.NotSent, Status: res.Status}
	}
	return nil
}
