package pagerduty_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

func TestWorseOpensOneFurtherIncident(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	r := s.open(notifytest.Page())
	r.Link = "https://acme.pagerduty.com/incidents/Q1"
	p, updates := gotWorse(2)
	updates[0].Text = "worse: " + updates[0].Text // as the pipeline writes it: it is said once
	r = s.mustFollow(p, r, updates...)
	require.Equal(t, 2, r.Followed)
	require.Len(t, r.Further, 1, "one for all that got worse since")
	require.Len(t, r.Further[0], 64)
	in := s.Ledger().Incidents
	require.Len(t, in, 2)
	require.Equal(t, r.Further[0], in[1].DedupKey)
	require.True(t, strings.HasPrefix(in[1].Title, "worse: CheckoutDown is critical, 10 alerts more · CheckoutDown is critical, 20 alerts more · "), in[1].Title)
	require.Equal(t, fakepagerduty.Link{Href: r.Link, Text: "first incident"}, in[1].Links[0])
	require.Equal(t, "page in Tocsin", in[1].Links[1].Text)
	require.Equal(t, "critical", in[1].Severity)

	again := s.mustFollow(p, r, updates...)
	require.Equal(t, r.Further, again.Further)
	p, updates = gotWorse(3)
	r = s.mustFollow(p, r, updates[2:]...)
	require.Len(t, r.Further, 2, "worse again: another")
	require.Equal(t, 3, s.pages())
	s.resolve(p, r)
	require.Equal(t, []string{"resolved", "resolved", "resolved"}, s.statuses())
	require.Len(t, s.Ledger().Dropped, 1, "the first and the second time were one incident: PagerDuty drops the end of what never was")
}

// A machine that is at its end rings, for edits and notes ring nobody: once, with
// what it has to say, and until the problem is over.
func TestPeopleWhoAreNeededAreRung(t *testing.T) {
	for _, change := range [][]func(*pagerduty.Config){nil, {noToken}} {
		s := set(t, fakepagerduty.Options{}, change...)
		r := s.open(notifytest.Page())
		r.Link = "https://acme.pagerduty.com/incidents/Q1"
		p := notifytest.Page()
		quiet := update(1, page.UpdateRun, "restart-web, host web-3: launched job 7")
		r = s.mustFollow(p, r, quiet)
		require.Equal(t, 1, s.pages(), "what goes on rings nobody")
		p.Rung = 1
		needed := update(2, page.UpdateRun, "restart-web, host web-3: nothing more is tried: people are needed")
		needed.Aloud = true
		r = s.mustFollow(p, r, needed)
		require.Equal(t, 2, s.pages())
		in := s.Ledger().Incidents
		require.Len(t, in, 2)
		require.Equal(t, r.Further, []string{in[1].DedupKey}, "its own key: PagerDuty rings for no other")
		require.True(t, strings.HasPrefix(in[1].Title, "people are needed: restart-web, host web-3: nothing more is tried · "), in[1].Title)
		require.Contains(t, string(in[1].Details), `"people are needed":["restart-web, host web-3: nothing more is tried`)
		require.NotContains(t, string(in[1].Details), "got worse")
		require.Equal(t, fakepagerduty.Link{Href: r.Link, Text: "first incident"}, in[1].Links[0])

		r.Attempt = 1
		r = s.mustFollow(p, r, needed)
		r = s.mustFollow(p, r, update(3, page.UpdateContext, "an edit"), update(4, page.UpdateRun, "and a quiet step"))
		require.Equal(t, 2, s.pages(), "neither a repeat nor what is quiet rings again")
		p.Worse = 1
		r = s.mustFollow(p, r, update(5, page.UpdateWorse, "worse: 12 → 61 alerts"))
		require.Equal(t, 3, s.pages(), "what got worse has a key of its own")
		s.resolve(p, r)
		require.Equal(t, []string{"resolved", "resolved", "resolved"}, s.statuses())
	}
}

func TestOnlyWorsePages(t *testing.T) {
	for _, change := range [][]func(*pagerduty.Config){nil, {noToken}} {
		s := set(t, fakepagerduty.Options{}, change...)
		p := notifytest.Page()
		r := s.open(p)
		require.NoError(t, s.Do(fakepagerduty.Human{Incident: delivery, Do: "resolve"}))
		for i, k := range kinds() {
			if k != page.UpdateWorse {
				r = s.mustFollow(p, r, update(i+1, k, "text"))
				require.Equal(t, i+1, r.Followed, "%s counts as said", k)
			}
		}
		_, err := s.Notify(t.Context(), s.message(p, notify.VerbUpdate, r))
		require.NoError(t, err)
		require.Equal(t, 1, s.pages(), "somebody resolved it, and the problem goes on")
		p, updates := gotWorse(1)
		s.mustFollow(p, r, updates...)
		require.Equal(t, 2, s.pages())
	}
}

func TestNobodyIsPagedForWhatIsOver(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	p.State = page.Closed
	r = s.mustFollow(p, r, updates...)
	require.Equal(t, 1, r.Followed)
	require.Empty(t, r.Further)
	require.Equal(t, 1, s.pages())
}

func TestALostAnswerPagesOnce(t *testing.T) {
	for _, change := range [][]func(*pagerduty.Config){nil, {noToken}} {
		s := set(t, fakepagerduty.Options{}, change...)
		r := s.open(notifytest.Page())
		p, updates := gotWorse(1)
		s.faults(fault.Fault{Kind: fault.Drop, Accept: true, Count: 1, Path: "enqueue"})
		got, err := s.follow(p, r, updates...)
		require.Equal(t, remote.Unknown, remote.ClassOf(err))
		require.Zero(t, got.Followed)
		r.Attempt = 1
		found, ok := s.find(p, notify.VerbFollow, r, updates...)
		require.Equal(t, change == nil, ok, "where it can be asked")
		if !ok {
			found = s.mustFollow(p, r, updates...)
		}
		require.Len(t, found.Further, 1)
		require.Equal(t, 1, found.Followed)
		require.Equal(t, 2, s.pages())
		s.resolve(p, found)
		require.Equal(t, []string{"resolved", "resolved"}, s.statuses())
	}
}

func TestALostAnswerLeavesNoIncidentOpen(t *testing.T) {
	s := set(t, fakepagerduty.Options{}, noToken)
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	s.faults(fault.Fault{Kind: fault.Drop, Accept: true, Count: 1, Path: "enqueue"})
	_, err := s.follow(p, r, updates...)
	require.Error(t, err)
	require.Empty(t, r.Further)
	s.resolve(p, r)
	require.Equal(t, []string{"resolved", "resolved"}, s.statuses())
}

func TestAFollowComesInPart(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	updates = append(updates, update(2, page.UpdateContext, "38 of 40 share deploy=v42"))
	s.faults(fault.Fault{Kind: fault.Status, Status: 502, Path: "notes", Count: 1})
	r, err := s.follow(p, r, updates...)
	require.Equal(t, remote.Unknown, remote.ClassOf(err))
	require.Len(t, r.Further, 1, "it paged")
	require.Zero(t, r.Followed, "and has not said all")
	require.NoError(t, s.Do(fakepagerduty.Human{Incident: r.Further[0], Do: "resolve"}))
	_, found := s.find(p, notify.VerbFollow, r, updates...)
	require.False(t, found)
	r = s.mustFollow(p, r, updates...)
	require.Equal(t, 2, r.Followed)
	require.Equal(t, 2, s.pages(), "nor does it page again after somebody resolved that one")
}

// The crash came before the receipt was kept: the further incident is not on it.
func TestARepeatedFollowAsksFirst(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	s.mustFollow(p, r, updates...)
	require.NoError(t, s.Do(fakepagerduty.Human{Incident: s.Ledger().Incidents[1].ID, Do: "resolve"}))
	r.Attempt = 1
	r = s.mustFollow(p, r, updates...)
	require.Len(t, r.Further, 1)
	require.Equal(t, 2, s.pages())
}

func TestAFurtherIncidentThatIsRefusedIsSaidPlainly(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	s.faults(fault.Fault{Kind: fault.Status, Status: 400, Count: 1, Body: `{"status":"invalid event","errors":["'custom_details' is odd"]}`})
	_, err := s.follow(p, r, updates...)
	require.Equal(t, remote.Content, remote.ClassOf(err))
	m := s.message(p, notify.VerbFollow, r, updates...)
	m.Plain = true
	r, err = s.Notifier.(notify.Follower).Follow(t.Context(), m)
	require.NoError(t, err)
	in := s.Ledger().Incidents[1]
	require.Equal(t, r.Further[0], in.DedupKey)
	require.True(t, strings.HasPrefix(in.Title, "worse: "), in.Title)
	require.Empty(t, in.Details)
}

func TestThrottledIsNotSent(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	s.faults(fault.Fault{Kind: fault.RateLimit, RetryAfter: 9, Count: 1})
	_, err := s.follow(p, r, updates...)
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	require.Equal(t, 9*time.Second, remote.RetryAfter(err))
	require.Equal(t, 1, s.pages())
	s.mustFollow(p, r, updates...)
	require.Equal(t, 2, s.pages())
}

func TestTakenElsewhereStopsTheEscalation(t *testing.T) {
	ack := func(via string) (page.Page, page.Update) {
		p := notifytest.Page()
		p.Ack = &page.Ack{By: "Jane Doe", Via: via, At: began().Add(time.Minute)}
		return p, update(1, page.UpdateAcked, "Jane Doe took it")
	}
	for name, c := range map[string]struct {
		via    string
		change func(*pagerduty.Config)
		want   string
	}{
		"in Slack":           {"slack/payments", noToken, "acknowledged"},
		"on its page":        {"", noToken, "acknowledged"},
		"in PagerDuty":       {target, noToken, "triggered"},
		"acknowledge: false": {"slack/payments", func(c *pagerduty.Config) { c.Acknowledge = false }, "triggered"},
	} {
		s := set(t, fakepagerduty.Options{}, c.change)
		p, u := ack(c.via)
		r := s.open(notifytest.Page())
		r = s.mustFollow(p, r, u)
		require.Equal(t, []string{c.want}, s.statuses(), name)
		require.Equal(t, 1, r.Followed, name)
	}

	s := set(t, fakepagerduty.Options{})
	p, u := ack("slack/payments")
	r := s.open(notifytest.Page())
	p.Worse = 1
	r = s.mustFollow(p, r, u, update(2, page.UpdateWorse, "more of it"))
	require.Equal(t, []string{"acknowledged", "triggered"}, s.statuses(), "what got worse rings, whoever took it before")
	r = s.mustFollow(p, r, update(3, page.UpdateAcked, "Bob took it"))
	require.Equal(t, []string{"acknowledged", "acknowledged"}, s.statuses())
	require.NoError(t, s.Do(fakepagerduty.Human{Incident: delivery, Do: "resolve"}))
	s.mustFollow(p, r, update(4, page.UpdateAcked, "Bob took it"))
	require.Equal(t, 2, s.pages())
	require.Len(t, s.Ledger().Dropped, 1, "acknowledging what is resolved")
	p.Ack = nil
	s.mustFollow(p, r, update(5, page.UpdateAcked, "and gave it back"))
	require.Len(t, s.Ledger().Dropped, 1, "nobody has it")
}

func TestChangesAreToldOnce(t *testing.T) {
	s := set(t, fakepagerduty.Options{}, func(c *pagerduty.Config) { c.ChangeEvents = true })
	p := notifytest.Page()
	p.Onset.After.Link = "https://ci.example.org/42"
	p.Changes = []page.Change{
		*p.Onset.After,
		{ID: "7", Kind: "config", Title: "flags", At: began(), Source: "git"},
		{ID: "8", Kind: "deploy", Title: "v7 of cart", At: began(), Source: "git"},
	}
	s.faults(fault.Fault{Kind: fault.Status, Status: 500, Path: "change", Count: 1})
	r := s.open(p)
	require.Empty(t, s.Ledger().Changes)
	require.Equal(t, 1, s.pages(), "nothing depends on a change event")
	require.Contains(t, s.log.String(), "change event is not sent")
	r = s.mustFollow(p, r, update(1, page.UpdateRun, "restart checkout: job 12 started"))
	s.mustFollow(p, r, update(1, page.UpdateRun, "restart checkout: job 12 started"), update(2, page.UpdateRun, "job 12 ended"))
	p.Problem = "another"
	s.open(p)
	var says []string
	for _, c := range s.Ledger().Changes {
		says = append(says, c.Summary)
	}
	require.Equal(t, []string{
		"deploy v42 of checkout", "deploy v7 of cart", "remediation: restart checkout: job 12 started", "remediation: job 12 ended",
	}, says)
	require.Equal(t, "https://ci.example.org/42", s.Ledger().Changes[0].Links[0].Href)
	require.Equal(t, "2026-03-01T12:01:55Z", s.Ledger().Changes[0].Timestamp)

	s = set(t, fakepagerduty.Options{})
	s.open(p)
	require.Empty(t, s.Ledger().Changes, "off by default")
}

func TestGoldenFollow(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	p, updates := gotWorse(1)
	p.Ack = &page.Ack{By: "Jane Doe", Via: "slack/payments", At: began().Add(2 * time.Minute)}
	p.Flapping = 3
	p.Storm = &page.Storm{Total: 40, Open: 12, Rules: map[string]page.Tally{
		"DiskFull": {Severity: page.Warning, Total: 30}, "NodeDown": {Severity: page.Critical, Total: 10},
	}}
	r := page.Receipt{Delivery: delivery, Ref: delivery, Link: "https://acme.pagerduty.com/incidents/Q1", First: began(), Marker: "m-7"}
	note := []page.Update{
		update(2, page.UpdateJoined, "web-4 joined"), update(3, page.UpdateContext, "39 of 40 failing share deploy=v42"),
		update(4, page.UpdateAcked, "Jane Doe took it"), update(5, page.UpdateLeft, "web-1 left"),
		update(6, page.UpdateRun, "restart checkout: done"),
	}
	note[4].Link = "https://awx.example.org/#/jobs/12"
	hostile := notifytest.Infect(notifytest.Page(), notifytest.Hostile()[1])
	hostile.Worse = 1
	closed := p
	closed.State = page.Closed
	quiet := notifytest.Page()
	for name, m := range map[string]notify.Message{
		"worse":           s.message(p, notify.VerbFollow, r, updates...),
		"note":            s.message(quiet, notify.VerbFollow, r, note...),
		"hostile":         s.message(hostile, notify.VerbFollow, r, update(1, page.UpdateWorse, notifytest.Hostile()[1]), update(2, page.UpdateNote, "\u202ex\n"+notifytest.Hostile()[0])),
		"resolve_further": s.message(closed, notify.VerbResolve, r),
		"nothing_to_say":  s.message(quiet, notify.VerbFollow, r, update(1, page.UpdateJoined, "web-4 joined")),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Notifier.(notify.Renderer).Render(m)
			require.NoError(t, err)
			require.NotContains(t, string(got), fakepagerduty.DefaultKey)
			var b bytes.Buffer
			require.NoError(t, json.Indent(&b, got, "", "  "))
			b.WriteByte('\n')
			file := filepath.Join("testdata", "follow_"+name+".json")
			if os.Getenv("UPDATE") != "" {
				require.NoError(t, os.WriteFile(file, b.Bytes(), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "write it with UPDATE=1")
			require.Equal(t, string(want), b.String(), file)
		})
	}
	require.Empty(t, s.Ledger().Incidents, "to render sends nothing")
}
