package fakeslack

import (
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"
)

// version is one state of a message's content.
type version struct {
	at          time.Time
	text        string
	blocks      []block
	attachments []attachment
	autolink    bool // parse or link_names asked Slack to look for names and addresses
}

// open returns the channel if the app may write to it.
func (f *Fake) open(id string) (*channel, reply) {
	c := f.channels[id]
	switch {
	case c == nil:
		return nil, fail("channel_not_found")
	case c.NotMember:
		return nil, fail("not_in_channel")
	case c.Archived:
		return nil, fail("is_archived")
	case c.ReadOnly:
		return nil, fail("restricted_action_read_only_channel")
	}
	return c, nil
}

// content reads and checks what a message says.
func (f *Fake) content(a args, parse string) (version, reply) {
	v := version{at: f.opts.Now(), text: a["text"]}
	if a["parse"] != "" {
		parse = a["parse"]
	}
	v.autolink = parse != "none" || a.flag("link_names")
	if raw := a["blocks"]; raw != "" && json.Unmarshal([]byte(raw), &v.blocks) != nil {
		return v, fail("invalid_blocks_format")
	}
	if raw := a["attachments"]; raw != "" && json.Unmarshal([]byte(raw), &v.attachments) != nil {
		return v, fail("invalid_attachments")
	}
	if len(v.attachments) > maxAttachments {
		return v, fail("too_many_attachments")
	}
	if word, messages := checkContent(v, f.fileReady); word != "" {
		return v, fail(word, messages...)
	}
	if v.text == "" && len(v.blocks) == 0 && len(v.attachments) == 0 {
		return v, fail("no_text")
	}
	return v, nil
}

func checkMetadata(raw string) reply {
	if raw == "" {
		return nil
	}
	var m struct {
		EventType    string         `json:"event_type"`
		EventPayload map[string]any `json:"event_payload"`
	}
	switch {
	case json.Unmarshal([]byte(raw), &m) != nil || m.EventType == "" || m.EventPayload == nil:
		return fail("invalid_metadata_format")
	case len(raw) > maxMetadata:
		return fail("metadata_too_large")
	}
	return nil
}

func (f *Fake) post(a args) reply {
	c, bad := f.open(a["channel"])
	if bad != nil {
		return bad
	}
	v, bad := f.content(a, "none")
	if bad != nil {
		return bad
	}
	if bad := checkMetadata(a["metadata"]); bad != nil {
		return bad
	}
	root, bad := f.root(c, a["thread_ts"])
	if bad != nil {
		return bad
	}
	out := reply{"ok": true, "channel": c.ID}
	if utf8.RuneCountInString(v.text) > maxText {
		v.text = string([]rune(v.text)[:maxText])
		out["warning"] = "message_truncated"
	}
	var first *message
	for _, part := range splitText(v) {
		m := &message{ts: c.nextTS(v.at), bot: botID, user: botUser, versions: []version{part}}
		m.replyTo(root, a.flag("reply_broadcast"))
		if a["metadata"] != "" && first == nil {
			m.metadata = json.RawMessage(a["metadata"])
		}
		c.messages = append(c.messages, m)
		if first == nil {
			first = m
		}
	}
	out["ts"] = formatTS(first.ts)
	out["message"] = first.wire(false)
	return out
}

// root returns the message that a reply to a ts belongs under. A parent that is
// gone leaves the message un-threaded; a reply's ts means its root.
func (f *Fake) root(c *channel, ts string) (*message, reply) {
	switch {
	case ts == "" && c.ThreadsOnly:
		return nil, fail("restricted_action_thread_only_channel")
	case ts == "":
		return nil, nil
	case c.NoThreads:
		return nil, fail("restricted_action_non_threadable_channel")
	case c.ThreadsLocked:
		return nil, fail("restricted_action_thread_locked")
	case parseTS(ts) == 0:
		return nil, fail("invalid_thread_ts")
	}
	parent := f.find(c.ID, ts)
	if parent != nil && parent.thread != 0 {
		parent = f.find(c.ID, formatTS(parent.thread))
	}
	return parent, nil
}

func (m *message) replyTo(root *message, broadcast bool) {
	if root == nil {
		return
	}
	m.thread, m.broadcast = root.ts, broadcast
	root.replies++
}

// Say posts a message of a person, in the thread of a ts or in the channel if
// that is "". It returns the message's own ts.
func (f *Fake) Say(channelID, user, text, threadTS string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.channels[channelID]
	m := &message{ts: c.nextTS(f.opts.Now()), user: user, versions: []version{{at: f.opts.Now(), text: text}}}
	m.replyTo(f.find(channelID, threadTS), false)
	c.messages = append(c.messages, m)
	return formatTS(m.ts)
}

// splitText does what Slack does to a long text without blocks: several messages.
func splitText(v version) []version {
	runes := []rune(v.text)
	if len(v.blocks) > 0 || len(v.attachments) > 0 || len(runes) <= splitAt {
		return []version{v}
	}
	var out []version
	for part := range slices.Chunk(runes, splitAt) {
		p := v
		p.text = string(part)
		out = append(out, p)
	}
	return out
}

func (c *channel) nextTS(now time.Time) int64 {
	c.lastTS = max(c.lastTS+1, now.UnixMicro())
	return c.lastTS
}

func (f *Fake) update(a args) reply {
	c, bad := f.open(a["channel"])
	if bad != nil {
		return bad
	}
	m := f.find(c.ID, a["ts"])
	if m == nil {
		return fail("message_not_found")
	}
	switch window := f.opts.EditWindow; {
	case m.bot != botID:
		return fail("cant_update_message")
	case window > 0 && f.opts.Now().Sub(m.versions[0].at) > window:
		return fail("edit_window_closed")
	}
	v, bad := f.content(a, "client") // chat.update's own default
	if bad != nil {
		return bad
	}
	if bad := checkMetadata(a["metadata"]); bad != nil {
		return bad
	}
	if _, given := a["attachments"]; !given {
		v.attachments = m.current().attachments
	}
	if a["metadata"] != "" {
		m.metadata = json.RawMessage(a["metadata"])
	}
	m.versions = append(m.versions, v)
	return reply{"ok": true, "channel": c.ID, "ts": formatTS(m.ts), "text": v.text, "message": m.wire(false)}
}

func (f *Fake) remove(a args) reply {
	c, bad := f.open(a["channel"])
	if bad != nil {
		return bad
	}
	m := f.find(c.ID, a["ts"])
	if m == nil {
		return fail("message_not_found")
	}
	if m.bot != botID {
		return fail("cant_delete_message")
	}
	m.deleted = true
	return reply{"ok": true, "channel": c.ID, "ts": formatTS(m.ts)}
}

func (m *message) current() version { return m.versions[len(m.versions)-1] }

// wire is the message as Slack's methods return it.
func (m *message) wire(metadata bool) reply {
	v := m.current()
	out := reply{"type": "message", "user": m.user, "ts": formatTS(m.ts), "text": v.text}
	if m.bot != "" {
		out["bot_id"] = m.bot
	}
	if len(v.blocks) > 0 {
		out["blocks"] = v.blocks
	}
	if len(v.attachments) > 0 {
		out["attachments"] = v.attachments
	}
	switch {
	case m.thread != 0:
		out["thread_ts"] = formatTS(m.thread)
	case m.replies > 0:
		out["thread_ts"], out["reply_count"] = formatTS(m.ts), m.replies
	}
	if m.broadcast {
		out["subtype"] = "thread_broadcast"
	}
	if len(m.files) > 0 {
		files := make([]reply, 0, len(m.files))
		for _, file := range m.files {
			files = append(files, file.wire())
		}
		out["files"], out["upload"] = files, false
	}
	if len(m.versions) > 1 {
		out["edited"] = reply{"user": m.user, "ts": formatTS(v.at.UnixMicro())}
	}
	if metadata && m.metadata != nil {
		out["metadata"] = m.metadata
	}
	return out
}
