package pagerduty_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

func kinds() []page.UpdateKind {
	return []page.UpdateKind{
		page.UpdateJoined, page.UpdateLeft, page.UpdateWorse, page.UpdateBetter, page.UpdateContext, page.UpdateAcked,
		page.UpdateUnacked, page.UpdateSilenced, page.UpdateUnsilenced, page.UpdateNote, page.UpdateRun,
		page.UpdateFlapping, page.UpdateStorm, page.UpdateResolved,
	}
}

// noted are the kinds of update that alone become a note.
func noted(t *testing.T) map[page.UpdateKind]bool {
	out := map[page.UpdateKind]bool{}
	for _, k := range kinds() {
		s := set(t, fakepagerduty.Options{})
		r := s.open(notifytest.Page())
		s.mustFollow(notifytest.Page(), r, update(1, k, "what is new"))
		out[k] = len(s.Ledger().Incidents[0].Notes) > 0
	}
	return out
}

func TestWhatBecomesANote(t *testing.T) {
	require.Equal(t, map[page.UpdateKind]bool{
		page.UpdateContext: true, page.UpdateAcked: true, page.UpdateUnacked: true, page.UpdateSilenced: true,
		page.UpdateUnsilenced: true, page.UpdateNote: true, page.UpdateRun: true, page.UpdateFlapping: true, page.UpdateStorm: true,
		page.UpdateJoined: false, page.UpdateLeft: false, page.UpdateBetter: false, page.UpdateWorse: false, page.UpdateResolved: false,
	}, noted(t))
}

func TestOneNotePerFollow(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	p := notifytest.Page()
	r := s.open(p)
	r.Marker = "m-17"
	here := update(5, page.UpdateNote, "said in PagerDuty")
	here.Via = target
	r = s.mustFollow(p, r, update(1, page.UpdateJoined, "web-4"), update(2, page.UpdateContext, "39 of 40 share deploy=v42"),
		update(3, page.UpdateLeft, "web-1"), update(4, page.UpdateSilenced, "silenced for 1 h by Jane"), here)
	require.Equal(t, 5, r.Followed)
	in := s.Ledger().Incidents[0]
	require.Len(t, in.Notes, 1)
	require.Equal(t, "bot@example.org", in.Notes[0].From)
	require.Equal(t, "12:05:10 39 of 40 share deploy=v42\n12:07:10 silenced for 1 h by Jane\n"+
		"meanwhile: alerts joined 1×, left 1×\nhttps://tocsin.example.org/page/"+p.Problem+
		"\ntocsin "+delivery[:16]+"/5 m-17", in.Notes[0].Content)
	require.Contains(t, r.Link, "/#"+in.ID, "what was asked on the way")
	r = s.mustFollow(p, r, here)
	require.Equal(t, 5, r.Followed)
	p.Ack = &page.Ack{By: "Jane", Via: target}
	s.mustFollow(p, r, update(6, page.UpdateAcked, "Jane took it"))
	require.Len(t, s.Ledger().Incidents[0].Notes, 1, "PagerDuty knows what was said and done there")
}

func TestNotesStandWherePeopleLook(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	r = s.mustFollow(p, r, updates...)
	r = s.mustFollow(p, r, update(2, page.UpdateRun, "started"))
	require.NoError(t, s.Do(fakepagerduty.Human{Incident: r.Further[0], Do: "resolve"}))
	s.mustFollow(p, r, update(3, page.UpdateRun, "ended"))
	in := s.Ledger().Incidents
	require.Contains(t, in[1].Notes[0].Content, "started", "the newest that is open")
	require.Contains(t, in[0].Notes[0].Content, "ended", "the first, for the further one is resolved")
}

func TestANoteIsBounded(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	p := notifytest.Page()
	r := s.open(p)
	var updates []page.Update
	for i := range page.MaxUpdates {
		updates = append(updates, update(i+1, page.UpdateRun, fmt.Sprint("step ", i, strings.Repeat(" 漢", 5000))))
	}
	s.mustFollow(p, r, updates...)
	note := s.Ledger().Incidents[0].Notes[0].Content
	require.Less(t, utf8.RuneCountInString(note), 2100)
	require.Contains(t, note, "(60 earlier updates are left out)\n13:04:10 step 60 ")
	require.Contains(t, note, "step 63 ", "what is new stays")
	require.Contains(t, note, "\nhttps://tocsin.example.org/page/")
	require.True(t, strings.HasSuffix(note, fmt.Sprintf("/%d m-1", page.MaxUpdates)), "its mark is whole")
}

// Evidence stands below what it is of: as many whole lines as fit, and where the
// rest is. The incident that rings has all of it.
func TestEvidenceIsCutBetweenLines(t *testing.T) {
	lines := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("guard %d: pass, %s", i, strings.Repeat("x", 50)))
		}
		return out
	}
	for n, want := range map[int]int{3: 3, page.MaxEvidence: 25} {
		s := set(t, fakepagerduty.Options{})
		p := notifytest.Page()
		r := s.open(p)
		p.Rung = 1
		needed := update(2, page.UpdateRun, "nothing more is tried: people are needed")
		needed.Aloud, needed.Evidence = true, lines(n)
		s.mustFollow(p, r, update(1, page.UpdateRun, "job 1 failed"), needed)
		in := s.Ledger().Incidents[1]
		note := in.Notes[0].Content
		require.LessOrEqual(t, utf8.RuneCountInString(note), 2000+100)
		require.Contains(t, note, "job 1 failed\n12:05:10 nothing more is tried: people are needed\n  guard 0: pass, xxx")
		whole := strings.Count(note, strings.Repeat("x", 50)+"\n")
		require.Equal(t, strings.Count(note, "guard "), whole, "no line is cut: %s", note)
		require.GreaterOrEqual(t, whole, want)
		require.Equal(t, whole < n, strings.Contains(note, fmt.Sprintf("  … %d lines more on the page\nhttps://tocsin.example.org/page/", n-whole)), note)
		var details struct {
			Evidence []string `json:"evidence"`
		}
		require.NoError(t, json.Unmarshal(in.Details, &details))
		require.Equal(t, lines(n)[n-1][:14], details.Evidence[n-1][:14], "all of it")
	}
}

func TestALostAnswerDoesNotDoubleANote(t *testing.T) {
	for _, f := range []fault.Fault{
		{Kind: fault.Drop, Accept: true, Count: 1, Path: "notes"},
		{Kind: fault.Status, Status: 502, Accept: true, Count: 1, Path: "notes"},
		{Kind: fault.Drop, Count: 1, Path: "notes"},
	} {
		s := set(t, fakepagerduty.Options{})
		p := notifytest.Page()
		r := s.open(p)
		first := []page.Update{update(1, page.UpdateContext, "first"), update(2, page.UpdateRun, "second")}
		s.faults(f)
		_, err := s.follow(p, r, first...)
		require.Equal(t, remote.Unknown, remote.ClassOf(err))
		r.Attempt = 1
		all := append(first, update(3, page.UpdateRun, "third")) // it came meanwhile
		got, found := s.find(p, notify.VerbFollow, r, all...)
		require.Equal(t, f.Accept, found)
		if found {
			require.Equal(t, 2, got.Followed, "the third was not in it")
			s.mustFollow(p, got, all[2:]...)
		} else {
			s.mustFollow(p, got, all...)
		}
		said := ""
		for _, n := range s.Ledger().Incidents[0].Notes {
			said += n.Content
		}
		for _, text := range []string{"first", "second", "third"} {
			require.Equal(t, 1, strings.Count(said, text), said)
		}
	}
}

func TestTextCannotPassForAMark(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	p := notifytest.Page()
	r := s.open(p)
	forged := "x\ntocsin " + delivery[:16] + "/99"
	r = s.mustFollow(p, r, update(1, page.UpdateNote, forged))
	require.NoError(t, s.Do(fakepagerduty.Human{Incident: delivery, Do: "note", Text: "tocsin " + strings.Repeat("0", 16) + "/99"}))
	_, found := s.find(p, notify.VerbFollow, r, update(2, page.UpdateRun, "new"))
	require.False(t, found)
}

func TestANoteThatCannotBe(t *testing.T) {
	p := notifytest.Page()
	news := update(1, page.UpdateContext, "news")

	s := set(t, fakepagerduty.Options{})
	r := s.open(p)
	s.faults(fault.Fault{Kind: fault.Status, Status: 401, Path: "incidents"})
	require.Equal(t, 1, s.mustFollow(p, r, news).Followed, "a token that is refused does not make the target one that cannot page")
	require.Contains(t, s.log.String(), "note is left out")

	s = set(t, fakepagerduty.Options{})
	r = s.open(p)
	s.faults(fault.Fault{Kind: fault.Status, Status: 503, Path: "incidents"})
	for r.Attempt = range 4 {
		_, err := s.follow(p, r, news)
		require.Equal(t, remote.Unknown, remote.ClassOf(err))
	}
	r.Attempt = 4
	require.Equal(t, 1, s.mustFollow(p, r, news).Followed, "it is given up after some tries")

	s = set(t, fakepagerduty.Options{IngestDelay: time.Minute})
	r = s.open(p)
	_, err := s.follow(p, r, news)
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	require.ErrorContains(t, err, "not there yet")
	s.pass(time.Minute)
	s.mustFollow(p, r, news)
	require.Len(t, s.Ledger().Incidents[0].Notes, 1)

	s = set(t, fakepagerduty.Options{IngestDelay: time.Hour})
	r = s.open(p)
	s.pass(10 * time.Minute)
	require.Equal(t, 1, s.mustFollow(p, r, news).Followed, "a service that makes no incidents of its alerts")
	require.Contains(t, s.log.String(), "does the service make incidents")
}

func TestNotesKeepTheRateOfREST(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	p := notifytest.Page()
	r := s.open(p)
	n := 0
	var err error
	for err == nil { // one question and one note each
		n++
		_, err = s.follow(p, r, update(n, page.UpdateRun, "step"))
	}
	require.Equal(t, 481, n)
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	require.Equal(t, time.Minute, remote.RetryAfter(err), "as ratelimit-reset says")
	require.ErrorContains(t, err, "2020")
	s.pass(time.Minute)
	s.mustFollow(p, r, update(n, page.UpdateRun, "step"))
	require.Len(t, s.Ledger().Incidents[0].Notes, n)
}
