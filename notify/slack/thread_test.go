package slack_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

func update(n int, kind page.UpdateKind, text string) page.Update {
	return page.Update{N: n, Kind: kind, At: time.Date(2026, 3, 1, 12, 5, 10, 0, time.UTC), Text: text}
}

// follow is the message of what changed since the receipt.
func (s *scene) follow(updates ...page.Update) notify.Message {
	r := s.sent
	r.Marker, r.At = fmt.Sprint("follow-", updates[0].N), time.Now().Add(-time.Minute)
	m := notifytest.Message(s.desk.page, notify.VerbFollow, r)
	m.Updates, m.PageURL = updates, "https://tocsin.example.org/page/1"
	return m
}

func TestWhatChangedStandsInTheThread(t *testing.T) {
	s := play(t, true, nil)
	f := s.target.(notify.Follower)
	joined := update(1, page.UpdateJoined, "2 more alerts fire: instance=web-4, instance=web-5")
	acked := update(2, page.UpdateAcked, "acknowledged")
	acked.Actor = "Ann"
	r, err := f.Follow(t.Context(), s.follow(joined, acked))
	require.NoError(t, err)
	require.Equal(t, 2, r.Followed)
	s.sent = r
	worse := update(3, page.UpdateWorse, "critical now: it was a warning")
	worse.Aloud, worse.Link = true, "https://tocsin.example.org/page/1#worse"
	r, err = f.Follow(t.Context(), s.follow(worse))
	require.NoError(t, err)
	require.Equal(t, 3, r.Followed)
	require.Equal(t, s.sent.Ref, r.Ref)

	l := s.fake.Ledger()
	require.Len(t, l.Roots(), 1)
	replies := l.Replies(s.sent.Ref)
	require.Len(t, replies, 2, "one reply for all that is pending")
	require.False(t, replies[0].Broadcast)
	require.Equal(t, "➕ 2 more alerts fire: instance=web-4, instance=web-5 · 12:05:10 UTC\n👀 acknowledged · Ann · 12:05:10 UTC", replies[0].Current.Visible)
	require.Empty(t, replies[0].Current.Links)
	require.True(t, replies[1].Broadcast, "worse is heard in the channel")
	require.Equal(t, "CheckoutErrors · cluster=eu, service=checkout (3 alerts)\n🔺 critical now: it was a warning · 12:05:10 UTC · open", replies[1].Current.Visible)
	require.Equal(t, []string{worse.Link}, replies[1].Current.Links)
	require.Equal(t, "follow-3", replies[1].Delivery)
	require.Equal(t, map[string]int{s.sent.Delivery: 1}, l.Deliveries)

	again := s.follow(acked)
	again.Repeat = true
	_, err = f.Follow(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, "possible repeat\n👀 acknowledged · Ann · 12:05:10 UTC", s.fake.Ledger().Replies(s.sent.Ref)[2].Current.Visible)

	none := s.follow(worse)
	none.Updates = nil
	_, err = f.Follow(t.Context(), none)
	require.NoError(t, err)
	require.Len(t, s.fake.Ledger().Messages, 4)
}

func TestALostReplyIsFound(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		s := play(t, true, nil)
		m := s.follow(update(1, page.UpdateJoined, "one"), update(2, page.UpdateJoined, "two"))
		require.NoError(t, s.fake.Faults.Set(1, fault.Fault{Kind: fault.Drop, Accept: there, Count: 1}))
		_, err := s.target.(notify.Follower).Follow(t.Context(), m)
		require.Equal(t, remote.Unknown, remote.ClassOf(err))
		m.Updates = append(m.Updates, update(3, page.UpdateJoined, "came meanwhile"))
		r, found, err := s.target.(notify.Finder).Find(t.Context(), m)
		require.NoError(t, err)
		require.Equal(t, there, found)
		if found {
			require.Equal(t, 2, r.Followed, "what the reply says, not what is pending by now")
		}
		m.Receipt.Marker = "another"
		_, found, err = s.target.(notify.Finder).Find(t.Context(), m)
		require.NoError(t, err)
		require.False(t, found)
	}
}

// A root that somebody deleted takes no reply: Slack lets it stand in the
// channel by itself. It is taken back, and the room posts the page anew.
func TestAReplyWithoutItsRootIsTakenBack(t *testing.T) {
	t.Parallel()
	s := play(t, true, nil)
	require.True(t, s.fake.Delete("C0PAGES", s.sent.Ref))
	m := s.follow(update(1, page.UpdateWorse, "worse"))
	_, err := s.target.(notify.Follower).Follow(t.Context(), m)
	require.Equal(t, remote.Gone, remote.ClassOf(err), err)
	for _, msg := range s.fake.Ledger().Messages {
		require.True(t, msg.Deleted)
	}
	// If it cannot be taken back, it has been said: once is enough.
	require.NoError(t, s.fake.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 500, Path: "chat.delete"}))
	r, err := s.target.(notify.Follower).Follow(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, 1, r.Followed)
	s.fake.Faults.Clear()
	r, found, err := s.target.(notify.Finder).Find(t.Context(), m)
	require.NoError(t, err)
	require.True(t, found, "in the channel, for its thread is gone")
	require.Equal(t, 1, r.Followed)
}

// However much is pending, Slack takes it in one reply, and nothing that was
// worth a ring is folded away.
func TestManyChangesAreFolded(t *testing.T) {
	s := play(t, true, nil)
	var all []page.Update
	for n := 5; n < 5+page.MaxUpdates; n++ {
		u := update(n, page.UpdateJoined, fmt.Sprint("change ", n, strings.Repeat(" <漢&", 200)))
		u.Aloud = n == 7
		all = append(all, u)
	}
	s.sent.Followed = 2
	r, err := s.target.(notify.Follower).Follow(t.Context(), s.follow(all...))
	require.NoError(t, err)
	require.Equal(t, 4+page.MaxUpdates, r.Followed)
	reply := s.fake.Ledger().Replies(s.sent.Ref)[0]
	require.Contains(t, reply.Current.Visible, "change 7 ")
	require.Contains(t, reply.Current.Visible, "change 68 ")
	require.NotContains(t, reply.Current.Visible, "change 5 ")
	require.Regexp(t, `… and \d+ more changes · all of them`, reply.Current.Visible)
	shown := strings.Count(reply.Current.Visible, "➕")
	require.Contains(t, reply.Current.Visible, fmt.Sprintf("and %d more changes", page.MaxUpdates-shown+2), "those the page has forgotten count")
	require.Less(t, strings.Index(reply.Current.Visible, "change 7 "), strings.Index(reply.Current.Visible, "change 68 "))
}

// Slack counts characters too, and lines of plain letters reach that bound first.
func TestAReplyOfAnySizeFits(t *testing.T) {
	s := play(t, true, nil)
	var all []page.Update
	for n := range page.MaxUpdates {
		all = append(all, update(n+1, page.UpdateNote, strings.Repeat("x", 500)))
		_, err := s.target.(notify.Follower).Follow(t.Context(), s.follow(all...))
		require.NoError(t, err, "%d changes", n+1)
	}
}

// What was seen stands below what it is of, a line each, and no more than people
// read in a thread.
func TestEvidenceStandsInTheThread(t *testing.T) {
	s := play(t, true, nil)
	few, many := update(1, page.UpdateRun, "people are needed"), update(2, page.UpdateRun, "again")
	few.Aloud, few.Evidence = true, []string{"sessions: 7 before the launch, 9 now", "| fatal: <!channel> *no* such `host`"}
	for n := range page.MaxEvidence {
		many.Evidence = append(many.Evidence, fmt.Sprintf("line %d", n))
	}
	_, err := s.target.(notify.Follower).Follow(t.Context(), s.follow(few, many))
	require.NoError(t, err)
	said := s.fake.Ledger().Replies(s.sent.Ref)[0].Current.Visible
	require.Contains(t, said, "sessions: 7 before the launch, 9 now\n| fatal: <!channel> *no* such `host`\n")
	require.Contains(t, said, "line 19\n… 40 lines more on the page")
	require.NotContains(t, said, "line 20\n")
}

func TestFaultHostileChangesAreText(t *testing.T) {
	s := play(t, true, nil)
	for i, text := range notifytest.Hostile() {
		u := update(i+1, page.UpdateNote, text)
		u.Actor, u.Aloud, u.Evidence = text, i%2 == 0, []string{text, "x " + text}
		if !strings.Contains(text, "https://evil.example/") {
			u.Link = text
		}
		m := s.follow(u)
		m.Page = notifytest.Infect(m.Page, text)
		m.Text = notify.Compose(m, time.Now())
		m.PageURL = ""
		for _, plain := range []bool{false, true} {
			m.Plain = plain
			_, err := s.target.(notify.Follower).Follow(t.Context(), m)
			require.NoError(t, err, "%q", text)
		}
	}
	replies := s.fake.Ledger().Replies(s.sent.Ref)
	require.Len(t, replies, 2*len(notifytest.Hostile()))
	for _, r := range replies {
		require.Empty(t, r.Current.Mentions)
		require.Empty(t, r.Current.Links)
		for _, bad := range []string{"\u202e", "\u2066", "\u200b", "\x00"} {
			require.NotContains(t, r.Current.Visible, bad)
		}
	}
}
