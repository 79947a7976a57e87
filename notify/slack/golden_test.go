package slack_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
)

// moment is when the goldens were written, in the middle of an outage.
func moment() time.Time { return time.Date(2026, 3, 1, 12, 6, 0, 0, time.UTC) }

// TestGoldens holds, for each turn in the life of a problem, only what that turn
// is about: the fields of the call that are named.
func TestGoldens(t *testing.T) {
	for name, tc := range map[string]struct {
		verb    notify.Verb
		page    func(*page.Page)
		updates []page.Update
		fields  []string
	}{
		"buttons": {verb: notify.VerbOpen, fields: []string{"blocks"}},
		"acknowledged": {verb: notify.VerbUpdate, fields: []string{"blocks", "text"}, page: func(p *page.Page) {
			p.Ack = &page.Ack{By: "Jane Doe", Via: "slack/payments", At: moment()}
			p.Silences = []page.Silence{{ID: "0a1b", By: "Jane Doe", At: moment(), Until: moment().Add(time.Hour)}}
		}},
		"worse": {verb: notify.VerbFollow, fields: []string{"blocks", "text", "reply_broadcast"}, updates: []page.Update{
			{N: 3, Kind: page.UpdateJoined, At: moment(), Text: "joined: instance=web-4"},
			{N: 4, Kind: page.UpdateWorse, At: moment(), Text: "worse: critical now", Aloud: true},
		}},
		"better": {verb: notify.VerbFollow, fields: []string{"blocks", "text", "reply_broadcast"}, updates: []page.Update{
			{N: 1, Kind: page.UpdateBetter, At: moment(), Text: "better: 30 of 40 resolved"},
		}},
		"resolved_reply": {verb: notify.VerbFollow, fields: []string{"blocks", "reply_broadcast"}, updates: []page.Update{
			{N: 1, Kind: page.UpdateResolved, At: moment(), Text: "resolved after 4m 10s"},
		}},
		"storm": {verb: notify.VerbUpdate, fields: []string{"blocks", "attachments"}, page: func(p *page.Page) {
			*p = page.Page{
				Problem: p.Problem, Episode: 1, Revision: 9, State: page.Open, Severity: page.Critical, Receiver: "team-payments",
				Title: "Storm: 120 problems of team-payments", Headline: "120 problems in 60 s, 2 rules", Traits: []page.Trait{}, Notes: []page.Note{},
				Storm: &page.Storm{Total: 120, Open: 118, Rules: map[string]page.Tally{
					"HostDown":   {Severity: page.Critical, Total: 20, Open: 20, Sample: page.Labels{"alertname": "HostDown", "cluster": "eu"}},
					"DiskFull":   {Severity: page.Warning, Total: 99, Open: 98},
					"SlowChecks": {Severity: page.Critical, Total: 1},
				}},
			}
		}},
		"hostile": {verb: notify.VerbFollow, fields: []string{"blocks", "text"}, updates: []page.Update{
			{N: 1, Kind: page.UpdateNote, At: moment(), Actor: "<@U1>", Link: "javascript:alert(1)", Text: "<!channel> *b* `c` https://evil.example \u202egnp.exe <https://evil.example|ok>"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := section(t, "http://127.0.0.1:1", "xoxb-x")
			cfg.SigningSecretFiles = []config.SecretFile{secretFile(t, "s")}
			cfg.TimeZone = "Europe/Berlin"
			n, err := slack.Kind(nil).New(cfg, notify.Deps{Name: "test", Now: moment})
			require.NoError(t, err)
			p := grouped()
			if tc.page != nil {
				tc.page(&p)
			}
			m := notify.Message{
				Verb: tc.verb, Page: p, Updates: tc.updates, PageURL: "https://tocsin.example.org/page/1",
				Receipt: page.Receipt{Delivery: "d", Ref: "1.2", Channel: "C1", Followed: max(0, first(tc.updates)-1)},
			}
			m.Text = notify.Compose(m, moment())
			b, err := n.(notify.Renderer).Render(m)
			require.NoError(t, err)
			compare(t, name, b, tc.fields)
		})
	}
}

func first(updates []page.Update) int {
	if len(updates) == 0 {
		return 0
	}
	return updates[0].N
}

func compare(t *testing.T, name string, call []byte, fields []string) {
	t.Helper()
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(call, &all))
	about := map[string]json.RawMessage{}
	for _, f := range fields {
		if v, ok := all[f]; ok {
			about[f] = v
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	require.NoError(t, enc.Encode(about))
	file := filepath.Join("testdata", name+".json")
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(file, b.Bytes(), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "write it with UPDATE=1")
	require.Equal(t, string(want), b.String(), "%s: UPDATE=1 rewrites it", file)
}

// Whatever stands in labels, names and words of people, the message of a page
// with all that can be on it is taken, and nothing in it is interpreted.
func TestFaultHostileStandsAreText(t *testing.T) {
	s := play(t, true, nil)
	for i, text := range notifytest.Hostile() {
		p := notifytest.Infect(grouped(), text)
		p.Problem = strings.Repeat("c", 60) + string(rune('a'+i))
		p.GroupLabels = page.Labels{"alertname": text, "n" + text: text}
		p.Ack = &page.Ack{By: text, Via: text, At: time.Now()}
		p.Silences = []page.Silence{{ID: text, By: text, Until: time.Now().Add(time.Hour)}, {By: text, Error: text, Until: time.Now().Add(time.Hour)}}
		p.Worse, p.Flapping = 2, 3
		for _, storm := range []*page.Storm{nil, {Rules: map[string]page.Tally{text: {Sample: page.Labels{text: text}}, "": {}}}} {
			p.Storm = storm
			for _, silenced := range []bool{true, false} {
				if !silenced {
					p.Silences = nil
				}
				m := notifytest.Message(p, notify.VerbOpen, page.Receipt{})
				_, err := s.target.Notify(t.Context(), m)
				require.NoError(t, err, "%q", text)
			}
		}
	}
	for _, m := range s.fake.Ledger().Messages[1:] {
		require.Empty(t, m.Current.Mentions)
		require.Empty(t, m.Current.Links)
		for _, bad := range []string{"\u202e", "\u2066", "\u200b", "\x00"} {
			require.NotContains(t, m.Current.Visible, bad)
			for _, b := range m.Current.Buttons {
				require.NotContains(t, b.Text+b.Confirm, bad)
			}
		}
	}
}

// The largest page with all that can be on it stays within Slack's budgets.
func TestOversizeStandsFit(t *testing.T) {
	s := play(t, true, nil)
	for _, p := range notifytest.Oversize() {
		long := p.Title
		p.GroupLabels = page.Labels{"service": strings.Repeat("\x01", 60)}
		p.Ack = &page.Ack{By: long}
		p.Silences = []page.Silence{{ID: "s", Error: long}}
		p.Worse, p.Flapping = 1, 1
		p.Storm = &page.Storm{Rules: map[string]page.Tally{}}
		for i := range 100 {
			p.Storm.Rules[strings.Repeat("R", i)+long[:1000]] = page.Tally{Sample: page.Labels{"x": long}}
		}
		m := notifytest.Message(p, notify.VerbOpen, page.Receipt{})
		m.PageURL = "https://tocsin.example.org/page/" + strings.Repeat("1", 1900)
		_, err := s.target.Notify(t.Context(), m)
		require.NoError(t, err)
		p.Storm = nil
		_, err = s.target.Notify(t.Context(), notifytest.Message(p, notify.VerbOpen, page.Receipt{}))
		require.NoError(t, err)
	}
}
