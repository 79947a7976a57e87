package fakeslack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// app is where the app wants its interactions, and what signs them.
type app struct {
	Interactivity string `json:"interactivity"`
	SigningSecret string `json:"signing_secret"`
}

// SetApp says where interactions go over HTTP, and what signs them ("" keeps
// the secret).
func (f *Fake) SetApp(interactivity, signingSecret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.app.Interactivity = interactivity
	if signingSecret != "" {
		f.app.SigningSecret = signingSecret
	}
}

func (f *Fake) serveApp(w http.ResponseWriter, r *http.Request) {
	var a app
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&a); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.SetApp(a.Interactivity, a.SigningSecret)
}

// Press is somebody pressing a button.
type Press struct {
	Channel  string  `json:"channel"`
	TS       string  `json:"ts"`
	ActionID string  `json:"action_id"`
	User     string  `json:"user"`
	Variant  Variant `json:"variant,omitempty"` // over HTTP only
}

// Pressed is a press and how the app answered.
type Pressed struct {
	Press
	At     time.Time     `json:"at"`
	Via    string        `json:"via"`              // http, socket
	Status int           `json:"status,omitempty"` // of the app's last answer; 200 for an acknowledged envelope
	Took   time.Duration `json:"took_ns"`
	InTime bool          `json:"in_time"` // a 200 within Slack's three seconds
	Error  string        `json:"error,omitempty"`
}

// Whisper is what the app told one person, or a channel, by a response_url.
type Whisper struct {
	Channel string    `json:"channel"`
	TS      string    `json:"ts"`   // of the message whose button was pressed
	User    string    `json:"user"` // "" if everybody sees it
	Text    string    `json:"text"`
	At      time.Time `json:"at"`
}

// patience is how long Slack waits for an app to acknowledge.
const patience = 3 * time.Second

// Press presses a button and waits for the app. An open connection of Socket
// Mode is preferred to the request URL, as Slack does it. Its error says that
// there is no such button or nowhere to send it.
func (f *Fake) Press(ctx context.Context, p Press) (Pressed, error) {
	payload, out, err := f.interaction(p)
	if err != nil {
		return Pressed{}, err
	}
	if s := f.anySocket(); s != nil {
		out.Via = "socket"
		err = f.deliver(ctx, s, payload)
		if err == nil {
			out.Status = http.StatusOK
		}
	} else {
		out.Via = "http"
		out.Status, err = f.request(ctx, p.Variant, payload)
	}
	out.Took = time.Since(out.At)
	if err != nil {
		out.Error = err.Error()
	}
	out.InTime = err == nil && out.Status == http.StatusOK && out.Took <= patience
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pressed = append(f.pressed, out)
	return out, nil
}

// interaction is the block_actions payload of a press.
func (f *Fake) interaction(p Press) ([]byte, Pressed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.find(p.Channel, p.TS)
	if m == nil {
		return nil, Pressed{}, errors.New("no such message")
	}
	if f.app.Interactivity == "" && len(f.sockets) == 0 {
		return nil, Pressed{}, errors.New("this app is not configured to handle interactive responses")
	}
	buttons := m.current().buttons()
	i := slices.IndexFunc(buttons, func(b Button) bool { return b.ActionID == p.ActionID })
	if i < 0 {
		return nil, Pressed{}, fmt.Errorf("no button %q in the message", p.ActionID)
	}
	who, ok := f.user(p.User)
	if !ok {
		return nil, Pressed{}, fmt.Errorf("no user %q", p.User)
	}
	b, now := buttons[i], f.opts.Now()
	container := reply{"type": "message", "message_ts": p.TS, "channel_id": p.Channel, "is_ephemeral": false}
	if b.attached {
		container["type"], container["attachment_id"], container["is_app_unfurl"] = "message_attachment", 1, false
	}
	action := reply{
		"type": "button", "action_id": b.ActionID, "block_id": b.block, "action_ts": formatTS(f.moment(now)),
		"text": reply{"type": "plain_text", "text": b.Text, "emoji": true},
	}
	if b.Value != "" {
		action["value"] = b.Value
	}
	if b.URL != "" {
		action["url"] = b.URL
	}
	payload, err := json.Marshal(reply{
		"type": "block_actions", "api_app_id": appID, "token": "deprecated", "trigger_id": fmt.Sprintf("%d.trigger", f.serial),
		"team":      reply{"id": teamID, "domain": "fake"},
		"user":      reply{"id": who.ID, "username": who.Name, "name": who.Name, "team_id": teamID},
		"container": container, "channel": reply{"id": p.Channel, "name": f.channels[p.Channel].Name},
		"message": m.wire(false), "state": reply{"values": reply{}},
		"response_url": f.hookFor(p, now), "actions": []reply{action},
	})
	return payload, Pressed{Press: p, At: time.Now()}, err
}

// moment is now in microseconds, and never the same twice.
func (f *Fake) moment(now time.Time) int64 {
	f.serial++
	return now.UnixMicro() + int64(f.serial)
}

func (f *Fake) servePress(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
	var p Press
	form := r.Header.Get("Content-Type") != "application/json"
	if form {
		p = Press{Channel: r.FormValue("channel"), TS: r.FormValue("ts"), ActionID: r.FormValue("action_id"), User: r.FormValue("user")}
		if b, ok := f.unconfirmed(p); ok && r.FormValue("confirmed") == "" {
			f.serveConfirm(w, p, b)
			return
		}
	} else if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out, err := f.Press(r.Context(), p)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusNotFound)
	case form:
		http.Redirect(w, r, "/?user="+p.User+"#"+p.TS, http.StatusSeeOther)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	}
}

// unconfirmed returns the button of a press that has a dialogue.
func (f *Fake) unconfirmed(p Press) (Button, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.find(p.Channel, p.TS)
	if m == nil {
		return Button{}, false
	}
	for _, b := range m.current().buttons() {
		if b.ActionID == p.ActionID {
			return b, b.Confirm != ""
		}
	}
	return Button{}, false
}

// A response_url is good for five uses in half an hour.
const (
	hookUses = 5
	hookFor  = 30 * time.Minute
)

type hook struct {
	press Press
	at    time.Time
	uses  int
}

func (f *Fake) hookFor(p Press, now time.Time) string {
	f.serial++
	id := fmt.Sprintf("T0FAKE-%d-%s", f.serial, p.TS)
	f.hooks[id] = &hook{press: p, at: now}
	return f.base + "/actions/" + id
}

func (f *Fake) serveHook(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Type    string `json:"response_type"`
		Replace bool   `json:"replace_original"`
		Text    string `json:"text"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests["response_url"]++
	h, now := f.hooks[r.PathValue("id")], f.opts.Now()
	switch {
	case h == nil || now.Sub(h.at) > hookFor:
		http.Error(w, "expired_url", http.StatusNotFound)
		return
	case h.uses >= hookUses:
		http.Error(w, "used_url", http.StatusNotFound)
		return
	case err != nil, in.Replace, in.Text == "":
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	h.uses++
	whisper := Whisper{Channel: h.press.Channel, TS: h.press.TS, Text: in.Text, At: now, User: h.press.User}
	if in.Type == "in_channel" {
		whisper.User = ""
	}
	f.whispers = append(f.whispers, whisper)
	_, _ = w.Write([]byte("ok"))
}
