package fakeslack

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Ledger is all that people could see by now, and how often.
type Ledger struct {
	Messages   []Message      `json:"messages"`   // by channel, then ts; deleted ones too
	Deliveries map[string]int `json:"deliveries"` // delivery id (metadata payload "id") → undeleted roots that carry it
	Requests   map[string]int `json:"requests"`   // calls per method, refused ones too
	Pressed    []Pressed      `json:"pressed"`    // interactions, oldest first
	Whispers   []Whisper      `json:"whispers"`   // what came by response_urls
}

// Roots returns the messages that stand in the channels themselves.
func (l Ledger) Roots() []Message {
	return slices.DeleteFunc(slices.Clone(l.Messages), func(m Message) bool { return m.ThreadTS != "" })
}

// Replies returns the replies under a root, oldest first.
func (l Ledger) Replies(rootTS string) []Message {
	return slices.DeleteFunc(slices.Clone(l.Messages), func(m Message) bool { return m.ThreadTS != rootTS })
}

// Message is one message, with what it said first and what it says now.
type Message struct {
	Channel   string    `json:"channel"`
	TS        string    `json:"ts"`
	ThreadTS  string    `json:"thread_ts,omitempty"`
	Broadcast bool      `json:"broadcast,omitempty"` // a reply that shows in the channel too
	User      string    `json:"user"`
	Files     []File    `json:"files,omitempty"`
	Delivery  string    `json:"delivery,omitempty"`
	Accepted  time.Time `json:"accepted"`
	Deleted   bool      `json:"deleted,omitempty"`
	First     Version   `json:"first"`
	Current   Version   `json:"current"`
	Versions  []Version `json:"versions"` // all, first to current
}

// Version is what a message said at one time.
type Version struct {
	At       time.Time       `json:"at"`
	Text     string          `json:"text"`    // the notification on a phone
	Visible  string          `json:"visible"` // what a reader of the channel sees, one line per part
	Mentions []string        `json:"mentions"`
	Links    []string        `json:"links"`
	Buttons  []Button        `json:"buttons,omitempty"`
	Blocks   json.RawMessage `json:"blocks,omitempty"`
	Bars     json.RawMessage `json:"attachments,omitempty"`
}

// Ledger returns the ledger.
func (f *Fake) Ledger() Ledger {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := Ledger{Messages: []Message{}, Deliveries: map[string]int{}, Requests: maps.Clone(f.requests), Pressed: slices.Clone(f.pressed), Whispers: slices.Clone(f.whispers)}
	for _, id := range slices.Sorted(maps.Keys(f.channels)) {
		for _, m := range f.channels[id].messages {
			seen := m.ledger(id)
			out.Messages = append(out.Messages, seen)
			if seen.Delivery != "" && !m.deleted && m.thread == 0 {
				out.Deliveries[seen.Delivery]++
			}
		}
	}
	return out
}

func (m *message) ledger(channelID string) Message {
	var meta struct {
		Payload struct {
			ID string `json:"id"`
		} `json:"event_payload"`
	}
	_ = json.Unmarshal(m.metadata, &meta)
	out := Message{
		Channel: channelID, TS: formatTS(m.ts), Delivery: meta.Payload.ID,
		Accepted: m.versions[0].at, Deleted: m.deleted, Broadcast: m.broadcast, User: m.user,
	}
	for _, x := range m.files {
		out.Files = append(out.Files, x.ledger())
	}
	if m.thread != 0 {
		out.ThreadTS = formatTS(m.thread)
	}
	for _, v := range m.versions {
		out.Versions = append(out.Versions, v.seen())
	}
	out.First, out.Current = out.Versions[0], out.Versions[len(out.Versions)-1]
	return out
}

func (v version) seen() Version {
	out := Version{At: v.at, Text: v.text, Mentions: []string{}, Links: []string{}, Buttons: v.buttons()}
	parts := v.parts()
	for _, a := range v.attachments {
		parts = append(parts, a.parts()...)
	}
	var lines []string
	for _, p := range parts {
		var b strings.Builder
		for _, s := range p.Spans {
			b.WriteString(s.Text)
		}
		lines = append(lines, b.String())
	}
	// The notification text is interpreted too, whether blocks hide it or not.
	for _, p := range append(parts, Part{Spans: mrkdwn(v.text, v.autolink, v.autolink)}) {
		for _, s := range p.Spans {
			if s.Mention && !slices.Contains(out.Mentions, s.Text) {
				out.Mentions = append(out.Mentions, s.Text)
			}
			if s.URL != "" && !slices.Contains(out.Links, s.URL) {
				out.Links = append(out.Links, s.URL)
			}
		}
	}
	out.Visible = strings.Join(lines, "\n")
	if len(v.blocks) > 0 {
		out.Blocks, _ = json.Marshal(v.blocks)
	}
	if len(v.attachments) > 0 {
		out.Bars, _ = json.Marshal(v.attachments)
	}
	return out
}

func (f *Fake) serveLedger(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(f.Ledger())
}
