package pagerduty

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

const (
	maxWorse  = 50  // further incidents of one episode
	maxWhy    = 10  // updates that a further incident names
	maxUpdate = 400 // runes of an update, and of a line of its evidence: as long as the page's own
	// A note that does not come through after so many tries is left out: what
	// pages must not wait for it.
	maxTries = 5
	// settling is how long after its 202 an incident may take to be there.
	settling = 2 * time.Minute
)

// steps is what a follow does, in this order: what silences, what pages, what
// is only read.
type steps struct {
	acks    [][]byte
	further string // dedup key of the trigger, "" for none
	trigger []byte
	note    string // "" for none
}

// Follow opens one further incident if it got worse or a machine needs people, acknowledges what somebody
// took elsewhere, and writes the rest as one note on the incident. Where no REST
// token is configured, what would be a note counts as said.
func (t *target) Follow(ctx context.Context, m notify.Message) (page.Receipt, error) {
	r := m.Receipt
	if len(m.Updates) == 0 {
		return r, nil
	}
	s, err := t.stepsOf(m)
	if err != nil {
		return r, err
	}
	for _, body := range s.acks {
		if err := t.events.send(ctx, alertPath, body); err != nil {
			return r, err
		}
	}
	if s.further != "" && !slices.Contains(r.Further, s.further) {
		// A repeat would page again, had somebody resolved the first meanwhile.
		if r.Attempt < 2 || !t.opened(ctx, m, s.further) {
			if err := t.events.send(ctx, alertPath, s.trigger); err != nil {
				return r, err
			}
		}
		r.Further = append(slices.Clone(r.Further), s.further)
	}
	t.tellChanges(ctx, m)
	if s.note != "" && t.rest != nil {
		if r, err = t.say(ctx, m, r, s.note); err != nil && !t.dispensable(m, err) {
			return r, err
		}
	}
	r.Followed = m.Updates[len(m.Updates)-1].N
	return r, nil
}

// dispensable reports whether a note that failed is left out, and says so. A
// token that is refused does not make the target one that cannot page.
func (t *target) dispensable(m notify.Message, err error) bool {
	switch class := remote.ClassOf(err); {
	case class != remote.NotSent && class != remote.Unknown, m.Receipt.Attempt >= maxTries:
		t.log.Error("note is left out", "page", m.Page.Problem, "notifier", t.name, "attempt", m.Receipt.Attempt, "err", err)
		return true
	}
	return false
}

// followOf is what a follow sends, for who wants to see it.
func (t *target) followOf(m notify.Message) ([][]byte, error) {
	s, err := t.stepsOf(m)
	out := s.acks
	if s.trigger != nil {
		out = append(out, s.trigger)
	}
	if s.note != "" && t.rest != nil && err == nil {
		var b []byte
		b, err = noteBody(s.note)
		out = append(out, b)
	}
	return out, err
}

func (t *target) stepsOf(m notify.Message) (steps, error) {
	var s steps
	if len(m.Updates) == 0 {
		return s, nil
	}
	open := m.Page.State != page.Closed && !m.Receipt.Resolved
	if open && t.acks && t.takenElsewhere(m) {
		for _, key := range append([]string{m.Receipt.Delivery}, m.Receipt.Further...) {
			b, err := encode(t.plain("acknowledge", key))
			if err != nil {
				return s, &remote.Error{Op: "render event", Class: remote.Content, Err: err}
			}
			s.acks = append(s.acks, b)
		}
	}
	if why := reasons(m.Updates); open && why.any() {
		s.further = worseKey(m)
		b, err := t.fold(m, s.further, notify.Clean(why.words()+" · "+summary(m), maxSummary), why)
		if err != nil {
			return s, &remote.Error{Op: "render event", Class: remote.Content, Err: err}
		}
		s.trigger = b
	}
	s.note = t.noteOf(m)
	return s, nil
}

// takenElsewhere reports whether the updates say that somebody took the problem,
// who still has it, at another target or on its page.
func (t *target) takenElsewhere(m notify.Message) bool {
	a := m.Page.Ack
	return a != nil && a.Via != t.name && slices.ContainsFunc(m.Updates, func(u page.Update) bool { return u.Kind == page.UpdateAcked })
}

// cause is what a further incident is opened for.
type cause struct {
	worse []string // in which ways it got worse
	needs []string // what machines leave to people
	shows []string // with what evidence
}

func reasons(updates []page.Update) cause {
	var out cause
	for _, u := range updates {
		switch text := notify.Clean(u.Text, maxUpdate); {
		case !u.Rings() || len(out.worse)+len(out.needs) == maxWhy:
		case u.Kind == page.UpdateWorse:
			out.worse = append(out.worse, strings.TrimPrefix(text, markWorse))
		default:
			out.needs = append(out.needs, text)
			for _, e := range u.Evidence {
				out.shows = append(out.shows, notify.Clean(e, maxUpdate))
			}
		}
	}
	return out
}

func (c cause) any() bool { return len(c.worse)+len(c.needs) > 0 }

// words are what the incident is called first.
func (c cause) words() string {
	var out []string
	if len(c.needs) > 0 { // the title says so once, before all else
		needs := strings.Join(c.needs, " · ")
		for _, said := range []string{": people are needed", "people are needed: "} {
			needs = strings.ReplaceAll(needs, said, "")
		}
		out = append(out, markNeeds+needs)
	}
	if len(c.worse) > 0 {
		out = append(out, markWorse+strings.Join(c.worse, " · "))
	}
	return strings.Join(out, " · ")
}

// worseKey is the dedup_key of the further incident that says how bad it is by
// now: the same for every try.
func worseKey(m notify.Message) string {
	return nthKey(m.Receipt.Delivery, min(max(1, m.Page.Further()), maxWorse))
}

func nthKey(delivery string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/worse/%d", delivery, n))
	return hex.EncodeToString(sum[:])
}

// keys are the dedup keys of all incidents that an episode may have, the first
// one first: also of those whose answer was lost, lest one stay open for ever.
func keys(m notify.Message) []string {
	out := []string{m.Receipt.Delivery}
	for n := range min(m.Page.Further(), maxWorse) {
		out = append(out, nthKey(m.Receipt.Delivery, n+1))
	}
	for _, key := range m.Receipt.Further {
		if !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	return out
}

// maxAsked is for how many of an episode's incidents PagerDuty is asked.
const maxAsked = 5

// incidents returns what PagerDuty has of an episode, the newest first.
func (t *target) incidents(ctx context.Context, m notify.Message, refs []string) ([]incident, error) {
	var out []incident
	for i, key := range slices.Backward(refs) {
		if i > 0 && i < len(refs)-maxAsked {
			continue
		}
		in, found, err := t.rest.incident(ctx, key, m.Receipt.Since)
		if err != nil {
			return nil, err
		}
		if found {
			out = append(out, in)
		}
	}
	return out, nil
}

// say posts a note where people look: on the newest incident that is open, else
// on the newest.
func (t *target) say(ctx context.Context, m notify.Message, r page.Receipt, text string) (page.Receipt, error) {
	refs := append([]string{r.Delivery}, r.Further...)
	found, err := t.incidents(ctx, m, refs)
	if err != nil {
		return r, err
	}
	if len(found) == 0 {
		if since := cmp.Or(r.First, r.Since); t.now().Sub(since) < settling {
			return r, &remote.Error{Op: "post note", Class: remote.NotSent, Reason: "the incident is not there yet"}
		}
		return r, &remote.Error{Op: "post note", Class: remote.Gone, Reason: "PagerDuty has no incident of this key: does the service make incidents of its alerts?"}
	}
	r = linked(r, found)
	at := found[0]
	for _, in := range found {
		if in.Status != "resolved" {
			at = in
			break
		}
	}
	return r, t.rest.note(ctx, at.ID, text)
}

// linked takes over the address of the first incident.
func linked(r page.Receipt, found []incident) page.Receipt {
	for _, in := range found {
		if u, ok := page.WebURL(in.URL); ok && in.Key == r.Delivery {
			r.Link = u
		}
	}
	return r
}

// findFollow reads off PagerDuty how far a follow of unknown outcome came. Where
// it cannot be asked, a repeat opens nothing twice, for its key is the same.
func (t *target) findFollow(ctx context.Context, m notify.Message) (page.Receipt, bool, error) {
	r := m.Receipt
	if t.rest == nil || len(m.Updates) == 0 {
		return r, false, nil
	}
	s, err := t.stepsOf(m)
	if err != nil {
		return r, false, err
	}
	refs := append([]string{r.Delivery}, r.Further...)
	if s.further != "" && !slices.Contains(refs, s.further) {
		refs = append(refs, s.further)
	}
	found, err := t.incidents(ctx, m, refs)
	if err != nil {
		return r, false, err
	}
	paged := s.further == "" || slices.ContainsFunc(found, func(in incident) bool { return in.Key == s.further })
	if !paged {
		return r, false, nil
	}
	said := m.Updates[len(m.Updates)-1].N
	if s.note != "" {
		if said, err = t.said(ctx, found, r.Delivery); err != nil {
			return r, false, err
		}
	}
	if said < m.Updates[0].N {
		return r, false, nil
	}
	if s.further != "" && !slices.Contains(r.Further, s.further) {
		r.Further = append(slices.Clone(r.Further), s.further)
	}
	r = linked(r, found)
	r.Followed = min(said, m.Updates[len(m.Updates)-1].N)
	return r, true, nil
}

// said is the last update that a note of ours holds.
func (t *target) said(ctx context.Context, in []incident, delivery string) (int, error) {
	last := 0
	for _, i := range in {
		notes, err := t.rest.notes(ctx, i.ID)
		if err != nil {
			return 0, err
		}
		for _, n := range notes {
			if upTo, ours := signature(n, delivery); ours {
				last = max(last, upTo)
			}
		}
	}
	return last, nil
}
