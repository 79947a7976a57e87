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
	// FileLag is how much longer a file that was shared in a channel stays out of both.
	FileLag time.Duration
	// UploadFor is how long an upload address is good for; a minute if 0.
	UploadFor time.Duration
	// EditWindow is how long a message may be edited; for ever if 0.
	EditWindow time.Duration

	AppToken      string  // opens connections in Socket Mode; DefaultAppToken if ""
	SigningSecret string  // signs interactions over HTTP; DefaultSigningSecret if ""
	Interactivity string  // the app's request URL for interactions; may be set by POST /_app
	People        []User  // who can press buttons; Ann, Bob and Mallory if nil
	Groups        []Group // user groups; S0ONCALL with Ann if nil

	// NoRateLimits lets the app post as fast as it likes. Else:
	// chat.postMessage 1/s per channel with a burst of 5, other methods 50/min.
	NoRateLimits bool
	Seed         uint64 // of probabilities in faults
}

// The secrets of a workspace whose Options name none.
const (
	DefaultToken         = "xoxb-fake-0000000000-abcdefghij"
	DefaultAppToken      = "xapp-fake-0000000000-abcdefghij"
	DefaultSigningSecret = "8f742231b10e8888abcd99yyyzzz85a5"
)

// Channel of the workspace. The app is a member unless NotMember is set.
type Channel struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Archived  bool   `json:"archived,omitempty"`
	NotMember bool   `json:"not_member,omitempty"`
	ReadOnly  bool   `json:"read_only,omitempty"` // posting is restricted to admins

	NoThreads     bool `json:"no_threads,omitempty"`     // messages cannot be replied to
	ThreadsOnly   bool `json:"threads_only,omitempty"`   // the app may only reply
	ThreadsLocked bool `json:"threads_locked,omitempty"` // every thread is locked
}

// Fake is the workspace. It serves:
//
//	POST /api/<method>       chat.postMessage chat.update chat.delete conversations.history conversations.replies
//	                         files.getUploadURLExternal files.completeUploadExternal files.info auth.test users.info
//	                         usergroups.list usergroups.users.list apps.connections.open
//	POST /upload/v1/<id>     the bytes of a file
//	GET  /link/              Socket Mode
//	POST /actions/<id>       response_url of an interaction
//	GET  /                   the channels as people see them, with buttons to press
//	POST /_press             presses a button, see Press
//	POST /_app               {"interactivity": URL, "signing_secret": …} of the app
//	POST /_refresh           asks the connections of Socket Mode to come back
//	GET  /_ledger            Ledger as JSON
//	*    /_fault             faults, see fault.Injector
//	POST /_reset             Reset
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
	base     string                 // how callers reach the fake, as they last did
	app      app
	files    map[string]*file
	hooks    map[string]*hook // response_urls by id
	whispers []Whisper
	pressed  []Pressed
	sockets  map[*socket]bool
	tickets  map[string]bool
	serial   int // of files, hooks, tickets and envelopes
}

type channel struct {
	Channel
	messages []*message // by ts
	lastTS   int64      // microseconds
}

type message struct {
	ts, thread int64 // microseconds; thread is 0 for a root
	broadcast  bool
	bot        string // "" for a person's
	user       string
	replies    int
	deleted    bool
	files      []*file
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
		o.Scopes = []string{"chat:write", "channels:history", "groups:history", "files:write", "files:read", "users:read", "usergroups:read"}
	}
	if o.Channels == nil {
		o.Channels = []Channel{{ID: "C0PAGES", Name: "pages"}}
	}
	o.AppToken = cmp.Or(o.AppToken, DefaultAppToken)
	o.SigningSecret = cmp.Or(o.SigningSecret, DefaultSigningSecret)
	o.UploadFor = cmp.Or(o.UploadFor, time.Minute)
	if o.People == nil {
		o.People = []User{{ID: "U0ANN", Name: "ann"}, {ID: "U0BOB", Name: "bob"}, {ID: "U0MALLORY", Name: "mallory"}}
	}
	if o.Groups == nil {
		o.Groups = []Group{{ID: "S0ONCALL", Handle: "oncall", Users: []string{"U0ANN"}}}
	}
	f := &Fake{Faults: fault.New(o.Seed), opts: o, mux: http.NewServeMux(), started: o.Now()}
	f.Faults.Throttled = `{"ok":false,"error":"ratelimited"}`
	f.Reset()
	f.mux.Handle("/api/", f.Faults.Wrap(http.HandlerFunc(f.serveAPI)))
	f.mux.Handle("POST /upload/v1/{id}", f.Faults.Wrap(http.HandlerFunc(f.serveUpload)))
	f.mux.Handle("POST /actions/{id}", f.Faults.Wrap(http.HandlerFunc(f.serveHook)))
	f.mux.HandleFunc("GET /files/{id}", f.serveFile)
	f.mux.HandleFunc("GET /link/", f.serveSocket)
	f.mux.HandleFunc("POST /_press", f.servePress)
	f.mux.HandleFunc("POST /_app", f.serveApp)
	f.mux.HandleFunc("POST /_refresh", func(http.ResponseWriter, *http.Request) { f.Refresh() })
	f.mux.Handle("/_fault", f.Faults)
	f.mux.HandleFunc("GET /_ledger", f.serveLedger)
	f.mux.HandleFunc("POST /_reset", func(http.ResponseWriter, *http.Request) { f.Reset() })
	f.mux.HandleFunc("GET /{$}", f.servePage)
	f.mux.HandleFunc("GET /_style.css", serveStyle)
	return f
}

// ServeHTTP serves what Fake lists.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// Reset forgets messages, files, faults and spent rate limits, and restores the
// token, its scopes, the app and the channels as Options had them. Connections
// of Socket Mode are cut.
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
	f.app = app{Interactivity: f.opts.Interactivity, SigningSecret: f.opts.SigningSecret}
	f.files, f.hooks, f.tickets = map[string]*file{}, map[string]*hook{}, map[string]bool{}
	f.whispers, f.pressed = nil, nil
	for s := range f.sockets {
		_ = s.conn.Close()
	}
	f.sockets = map[*socket]bool{}
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
