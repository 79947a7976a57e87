// Package fakeslack is a Slack workspace that keeps Slack's rules where a
// notifier can trip over them: limits, error words, threads, edits, history
// with its lag, rate limits. It remembers all that people could have seen, and
// shows it on a page.
package fakeslack

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/lab/fault"
)

// Options of a workspace. The zero value accepts DefaultToken and has the
// channel C0PAGES.
type Options struct {
	Token    string   // the app's bot token; DefaultToken if ""
	Scopes   []string // of the token; nil means all that the fake knows
	Channels []Channel
	// Now is the clock of time stamps, lag and rate limits; time.Now if nil.
	Now func() time.Time
	// ReadLag is how long a new message stays out of conversations.history and
	// conversations.replies.
	ReadLag time.Duration
	// NoRateLimits lets the app post as fast as it likes. Else:
	// chat.postMessage 1/s per channel with a burst of 5, other methods 50/min.
	NoRateLimits bool
	Seed         uint64 // of probabilities in faults
}

// DefaultToken is accepted when Options name none.
const DefaultToken = "xoxb-fake-0000000000-abcdefghij"

// Channel of the workspace. The app is a member unless NotMember is set.
type Channel struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Archived  bool   `json:"archived,omitempty"`
	NotMember bool   `json:"not_member,omitempty"`
	ReadOnly  bool   `json:"read_only,omitempty"` // posting is restricted to admins
}

// Fake is the workspace. It serves:
//
//	POST /api/<method>   chat.postMessage chat.update chat.delete conversations.history conversations.replies auth.test
//	GET  /               the channels as people see them
//	GET  /_ledger        Ledger as JSON
//	*    /_fault         faults, see fault.Injector
//	POST /_reset         Reset
type Fake struct {
	Faults *fault.Injector

	opts    Options
	mux     *http.ServeMux
	started time.Time

	mu       sync.Mutex
	revoked  bool
	scopes   []string
	channels map[string]*channel
	requests map[string]int
	spent    map[string][]time.Time // rate limits: accepted calls by bucket
}

type channel struct {
	Channel
	messages []*message // by ts
	lastTS   int64      // microseconds
}

type message struct {
	ts, thread int64 // microseconds; thread is 0 for a root
	broadcast  bool
	bot        string
	deleted    bool
	metadata   json.RawMessage
	versions   []version
}

// New returns a workspace.
func New(o Options) *Fake {
	o.Token = cmp.Or(o.Token, DefaultToken)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Scopes == nil {
		o.Scopes = []string{"chat:write", "channels:history", "groups:history"}
	}
	if o.Channels == nil {
		o.Channels = []Channel{{ID: "C0PAGES", Name: "pages"}}
	}
	f := &Fake{Faults: fault.New(o.Seed), opts: o, mux: http.NewServeMux(), started: o.Now()}
	f.Faults.Throttled = `{"ok":false,"error":"ratelimited"}`
	f.Reset()
	f.mux.Handle("/api/", f.Faults.Wrap(http.HandlerFunc(f.serveAPI)))
	f.mux.Handle("/_fault", f.Faults)
	f.mux.HandleFunc("GET /_ledger", f.serveLedger)
	f.mux.HandleFunc("POST /_reset", func(http.ResponseWriter, *http.Request) { f.Reset() })
	f.mux.HandleFunc("GET /{$}", f.servePage)
	f.mux.HandleFunc("GET /_style.css", serveStyle)
	return f
}

// ServeHTTP serves what Fake lists.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// Reset forgets messages, faults and spent rate limits, and restores the
// token, its scopes and the channels as Options had them.
func (f *Fake) Reset() {
	f.Faults.Clear()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = false
	f.scopes = slices.Clone(f.opts.Scopes)
	f.channels = map[string]*channel{}
	for _, c := range f.opts.Channels {
		f.channels[c.ID] = &channel{Channel: c}
	}
	f.requests = map[string]int{}
	f.spent = map[string][]time.Time{}
}

// Revoke makes the token answer token_revoked.
func (f *Fake) Revoke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = true
}

// SetScopes replaces the scopes of the token.
func (f *Fake) SetScopes(scopes ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scopes = scopes
}

// SetChannel adds a channel, or changes the state of the one with its ID.
func (f *Fake) SetChannel(c Channel) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, ok := f.channels[c.ID]; ok {
		old.Channel = c
		return
	}
	f.channels[c.ID] = &channel{Channel: c}
}

// Delete removes a message, as a person would; it reports whether it was there.
func (f *Fake) Delete(channelID, ts string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.find(channelID, ts)
	if m == nil {
		return false
	}
	m.deleted = true
	return true
}

// find returns a message that is not deleted, nil if there is none.
func (f *Fake) find(channelID, ts string) *message {
	c, at := f.channels[channelID], parseTS(ts)
	if c == nil || at == 0 {
		return nil
	}
	for _, m := range c.messages {
		if m.ts == at && !m.deleted {
			return m
		}
	}
	return nil
}

// reply is what a method answers; a nil error word means ok.
type reply map[string]any

func fail(word string, messages ...string) reply {
	r := reply{"ok": false, "error": word}
	if len(messages) > 0 {
		r["response_metadata"] = reply{"messages": messages}
	}
	return r
}

func (f *Fake) serveAPI(w http.ResponseWriter, r *http.Request) {
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	a, bad := readArgs(w, r)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests[method]++
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if bad == nil {
		bad = f.authorize(method, a)
	}
	if bad == nil {
		if wait := f.limit(method, a["channel"]); wait > 0 {
			w.Header().Set("Retry-After", seconds(wait))
			w.WriteHeader(http.StatusTooManyRequests)
			bad = fail("ratelimited")
		}
	}
	out := bad
	if out == nil {
		out = f.dispatch(method, a)
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (f *Fake) dispatch(method string, a args) reply {
	switch method {
	case "auth.test":
		return reply{
			"ok": true, "url": "https://fake.slack.example/", "team": "Fake", "user": "tocsin",
			"team_id": "T0FAKE", "user_id": "U0TOCSIN", "bot_id": botID,
		}
	case "chat.postMessage":
		return f.post(a)
	case "chat.update":
		return f.update(a)
	case "chat.delete":
		return f.remove(a)
	case "conversations.history":
		return f.history(a)
	case "conversations.replies":
		return f.replies(a)
	}
	return fail("unknown_method")
}

const botID = "B0TOCSIN"

func (f *Fake) authorize(method string, a args) reply {
	switch {
	case a["token"] == "":
		return fail("not_authed")
	case a["token"] != f.opts.Token:
		return fail("invalid_auth")
	case f.revoked:
		return fail("token_revoked")
	}
	needed := ""
	switch {
	case strings.HasPrefix(method, "chat."):
		needed = "chat:write"
	case strings.HasPrefix(method, "conversations."):
		needed = "channels:history"
	}
	if needed != "" && !slices.Contains(f.scopes, needed) {
		r := fail("missing_scope")
		r["needed"], r["provided"] = needed, strings.Join(f.scopes, ",")
		return r
	}
	return nil
}

// limit returns how long the caller has to wait, 0 if it may go on.
func (f *Fake) limit(method, channelID string) time.Duration {
	if f.opts.NoRateLimits || method == "auth.test" {
		return 0
	}
	bucket, burst, window := method, 50, time.Minute
	if method == "chat.postMessage" {
		bucket, burst, window = method+" "+channelID, 5, 5*time.Second
	}
	now := f.opts.Now()
	spent := slices.DeleteFunc(f.spent[bucket], func(t time.Time) bool { return now.Sub(t) >= window })
	if len(spent) >= burst {
		f.spent[bucket] = spent
		return window - now.Sub(spent[0])
	}
	f.spent[bucket] = append(spent, now)
	return 0
}
