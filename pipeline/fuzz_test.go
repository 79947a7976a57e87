package pipeline_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
)

// Whatever people, labels and Alertmanager say: each line is one line of bounded
// length, and the hidden value is in none.
func FuzzTextsOfALife(f *testing.F) {
	f.Add("ack", "Jane", "looking into it", "web-3", "s1", int64(3600))
	f.Add("note", "<!channel>\n*Bob*", "a\x00b\xff\u202e", `"} or vector(1)`, "", int64(-1))
	f.Add("silence", "", "", "<redacted>", "", int64(1<<40))
	f.Add("unsilence", "x", strings.Repeat("ä", 5000), "e", "s1", int64(0))
	f.Add("useless", "Jane", "", "", "", int64(0))
	f.Fuzz(func(t *testing.T, verb, by, text, label, silence string, until int64) {
		const secret = "T0P-S3CRET-VALUE"
		rules := pipeline.Rules{Redact: []string{"user"}, SilenceMax: time.Hour}
		first := group(0, "Slow/warning/web-1")
		a := first.Notification.Alerts[0].Labels
		a["pod"], a["user"], a["path"] = label, secret, "/home/"+secret+label
		first.Notification.Alerts[0].ID = a.ID()
		first.Notification.GroupLabels = page.Labels{"user": secret, "pod": label}
		var p page.Problem
		for i, e := range []page.Event{
			first, group(1, "Slow/warning/web-1", "Down/critical/"+strings.ReplaceAll(label, "/", "")),
			{Kind: page.Acted, Episode: 1, Actor: by, Act: &page.Act{Verb: page.Verb(verb), By: by, Text: text + secret, Silence: silence, Until: at(0).Add(time.Duration(until) * time.Second)}},
			{Kind: page.Silenced, Episode: 1, Actor: by, Silence: &page.Silence{ID: silence, By: by, Until: at(60)}},
			{Kind: page.Silenced, Episode: 1, Actor: by, Silence: &page.Silence{By: by, Error: text}},
			{Kind: page.Told, Episode: 1, Text: text},
		} {
			e.At = at(i)
			s := rules.Advance(p, e)
			p = s.Problem
			require.NotContains(t, s.Why, secret)
		}
		for _, u := range p.Updates {
			require.True(t, utf8.ValidString(u.Text))
			require.LessOrEqual(t, utf8.RuneCountInString(u.Text), 400)
			require.False(t, strings.ContainsAny(u.Text, "\n\r\x00"), "%q", u.Text)
			require.NotContains(t, u.Text, secret)
		}
	})
}
