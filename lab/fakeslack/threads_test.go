package fakeslack_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
)

func TestABroadcastReplyShowsInTheChannelToo(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true})
	root := w.post("text", "root")
	w.post("text", "quiet", "thread_ts", root.TS)
	loud := w.post("text", "loud", "thread_ts", root.TS, "reply_broadcast", "true")
	history := w.call("conversations.history", "channel", "C0PAGES").Messages
	require.Len(t, history, 2)
	require.Equal(t, loud.TS, history[0].TS)
	require.Equal(t, root.TS, history[1].ThreadTS, "a root with replies names itself")
	l := w.Ledger()
	require.Len(t, l.Roots(), 1)
	require.Len(t, l.Replies(root.TS), 2)
	require.True(t, l.Replies(root.TS)[1].Broadcast)
}

func TestChannelsWithRulesOfThreads(t *testing.T) {
	for _, tc := range []struct {
		channel     fakeslack.Channel
		root, reply string
	}{
		{fakeslack.Channel{NoThreads: true}, "", "restricted_action_non_threadable_channel"},
		{fakeslack.Channel{ThreadsLocked: true}, "", "restricted_action_thread_locked"},
		{fakeslack.Channel{ThreadsOnly: true}, "restricted_action_thread_only_channel", ""},
	} {
		w := open(t, fakeslack.Options{NoRateLimits: true})
		root := w.post("text", "root")
		tc.channel.ID = "C0PAGES"
		w.SetChannel(tc.channel)
		require.Equal(t, tc.root, w.post("text", "x").Error)
		require.Equal(t, tc.reply, w.post("text", "x", "thread_ts", root.TS).Error)
		require.Equal(t, "C0PAGES", w.Ledger().Messages[0].Channel)
	}
}

func TestWhatMayBeEdited(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true, EditWindow: time.Minute})
	person := w.Say("C0PAGES", "U0BOB", "hello", "")
	update := func(ts string, kv ...string) answer {
		return w.call("chat.update", append([]string{"channel", "C0PAGES", "ts", ts}, kv...)...)
	}
	require.Equal(t, "cant_update_message", update(person, "text", "x").Error)
	require.Equal(t, "cant_delete_message", w.call("chat.delete", "channel", "C0PAGES", "ts", person).Error)
	own := w.post("text", "x", "attachments", `[{"text":"kept"}]`)
	require.True(t, update(own.TS, "text", "y", "blocks", "["+section(3)+"]").OK)
	require.Contains(t, w.Ledger().Messages[1].Current.Visible, "kept", "attachments that are not named stay")
	require.True(t, update(own.TS, "text", "y", "attachments", "[]").OK)
	require.Equal(t, "y", w.Ledger().Messages[1].Current.Visible)
	w.now = w.now.Add(2 * time.Minute)
	require.Equal(t, "edit_window_closed", update(own.TS, "text", "z").Error)
}

func TestButtons(t *testing.T) {
	w := open(t, fakeslack.Options{NoRateLimits: true})
	button := func(id, text, more string) string {
		return `{"type":"button","action_id":"` + id + `","text":{"type":"plain_text","text":"` + text + `"}` + more + `}`
	}
	confirm := func(title, text, yes string) string {
		o := func(s string) string { return `{"type":"plain_text","text":"` + s + `"}` }
		return `,"confirm":{"title":` + o(title) + `,"text":` + o(text) + `,"confirm":` + o(yes) + `,"deny":` + o("no") + `}`
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	many := strings.Repeat(button("", "x", "")+",", 25)
	for _, tc := range []struct {
		want     string
		elements string
	}{
		{"", button("a", "x", confirm("t", long(300), "yes")) + "," + button("b", long(75), `,"style":"primary","value":"`+long(2000)+`"`)},
		{"", strings.TrimSuffix(many, ",")},
		{"elements", many + button("", "x", "")},
		{"elements", ""},
		{"action_id already exists", button("a", "x", "") + "," + button("a", "y", "")},
		{"must be less than 76 characters", button("a", long(76), "")},
		{"must be less than 256 characters", button(long(256), "x", "")},
		{"must be less than 2001 characters", button("a", "x", `,"value":"`+long(2001)+`"`)},
		{"invalid style", button("a", "x", `,"style":"loud"`)},
		{"must be less than 101 characters", button("a", "x", confirm(long(101), "t", "y"))},
		{"must be less than 301 characters", button("a", "x", confirm("t", long(301), "y"))},
		{"must be less than 31 characters", button("a", "x", confirm("t", "t", long(31)))},
		{"missing required field", button("a", "x", `,"confirm":{"title":{"type":"plain_text","text":"t"}}`)},
		{"unsupported type", `{"type":"knob"}`},
	} {
		a := w.post("text", "x", "blocks", `[{"type":"actions","elements":[`+tc.elements+`]}]`)
		require.Equal(t, tc.want == "", a.OK, tc)
		require.Contains(t, strings.Join(a.Metadata.Messages, "\n"), tc.want)
	}
	seen := w.Ledger().Messages[0].Current.Buttons
	require.Len(t, seen, 2)
	require.Equal(t, long(300), seen[0].Confirm)
	require.Equal(t, "primary", seen[1].Style)
}
