package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tocsin/tocsin/page"
)

// Door takes events, each ID once; see webhook.Door.
type Door interface {
	Once(ctx context.Context, e page.Event) error
}

// Acts hands in what people do on the page and by the API. All fields must be set.
type Acts struct {
	Archive *Archive
	Door    Door
	Now     func() time.Time
}

// Wish is what an operator wants done.
type Wish struct {
	Operator string // name of the token
	Problem  string
	Episode  int // 0: the latest
	Act      page.Act
	Key      string // an operator's same wish with the same key is one; "": every wish is its own
}

// Refusal is what cannot be done, with the HTTP status that says so.
type Refusal struct {
	Status int
	Text   string
}

// Error says why.
func (r *Refusal) Error() string { return r.Text }

func refuse(status int, format string, args ...any) error {
	return &Refusal{status, fmt.Sprintf(format, args...)}
}

// The bounds of what may be asked for.
const (
	minSilence = time.Minute
	maxSilence = 30 * 24 * time.Hour
	maxNote    = 2000 // runes
	maxKey     = 200  // bytes
)

// Put makes a wish durable as an event and returns the event's ID. What came of
// it is told by the page. A *Refusal says that it cannot be.
func (a *Acts) Put(ctx context.Context, w Wish) (event string, err error) {
	p, err := a.Archive.problem(ctx, w.Problem)
	if missing(err) {
		return "", refuse(http.StatusNotFound, "no page has this id")
	}
	if err != nil {
		return "", err
	}
	if err := a.check(p, w); err != nil {
		return "", err
	}
	actor := "operator/" + w.Operator
	key := w.Key
	if key == "" {
		key = rand.Text()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{actor, key, string(w.Act.Verb), w.Act.Silence, w.Act.Text, w.Act.Dispatch}, "\x00")))
	w.Act.By, w.Act.Via = "operator "+w.Operator, ""
	e := page.Event{
		Problem: p.ID, Kind: page.Acted, Actor: actor, At: a.Now(), Episode: p.Episode, Act: &w.Act,
		ID: "act/" + p.ID + "/" + hex.EncodeToString(sum[:16]),
	}
	if err := a.Door.Once(ctx, e); err != nil {
		return "", fmt.Errorf("hand in %s: %w", w.Act.Verb, err)
	}
	return e.ID, nil
}

// check refuses what the pipeline would refuse, while there is somebody to tell.
func (a *Acts) check(p page.Problem, w Wish) error {
	act := w.Act
	switch {
	case len(w.Key) > maxKey:
		return refuse(http.StatusBadRequest, "id: at most %d bytes", maxKey)
	case w.Episode != 0 && w.Episode != p.Episode:
		return refuse(http.StatusConflict, "episode %d is over: the page is at episode %d", w.Episode, p.Episode)
	}
	switch act.Verb {
	case page.Acknowledge, page.Unacknowledge, page.SilenceIt:
		if p.State != page.Open {
			return refuse(http.StatusConflict, "the problem is resolved: there is nothing to %s", act.Verb)
		}
	case page.UnsilenceIt:
		if !slices.ContainsFunc(p.Silences, func(s page.Silence) bool { return s.ID == act.Silence && s.ID != "" }) {
			return refuse(http.StatusNotFound, "silence %q was not made on this page", act.Silence)
		}
	case page.Remark:
		if strings.TrimSpace(act.Text) == "" || utf8.RuneCountInString(act.Text) > maxNote || !utf8.ValidString(act.Text) {
			return refuse(http.StatusBadRequest, "text: write a note of at most %d characters", maxNote)
		}
	case page.ApproveIt, page.DenyIt:
		at := slices.IndexFunc(p.Runs, func(r page.Run) bool { return r.Dispatch == act.Dispatch && r.Asks.After(a.Now()) })
		if at < 0 {
			return refuse(http.StatusConflict, "nobody is asked for this any more")
		}
		if r := p.Runs[at]; !r.Decided(act.Verb, page.RoleOperator) {
			return refuse(http.StatusForbidden, "its policy asks people who are %s", strings.Join(r.Roles, " or "))
		}
	case page.NotUseful:
	default:
		return refuse(http.StatusBadRequest, "verb: write ack, unack, silence, unsilence, useless, note, approve or deny")
	}
	if act.Verb != page.SilenceIt {
		return nil
	}
	if length := act.Until.Sub(a.Now()); length < minSilence-time.Second || length > maxSilence {
		return refuse(http.StatusBadRequest, "a silence lasts from 1m to 30d: write for (2h) or until (2026-03-01T08:00:00Z)")
	}
	if len(p.Group.GroupLabels.Matchers()) == 0 {
		return refuse(http.StatusConflict, "the route groups by no label: a silence would match every alert; make it in Alertmanager")
	}
	return nil
}

// Silencing returns what a silence of the problem would match, as it may be shown.
func (a *Acts) Silencing(ctx context.Context, problem string) ([]string, error) {
	p, err := a.Archive.problem(ctx, problem)
	if err != nil {
		return nil, err
	}
	return a.Archive.hide(p.View(), p.Group.GroupLabels.Matchers()), nil
}

// Morning is when people are at work again after now, in now's place: 8:00,
// today or tomorrow, and at least an hour away.
func Morning(now time.Time) time.Time {
	m := time.Date(now.Year(), now.Month(), now.Day(), 8, 0, 0, 0, now.Location())
	if m.Sub(now) < time.Hour {
		m = time.Date(now.Year(), now.Month(), now.Day()+1, 8, 0, 0, 0, now.Location())
	}
	return m
}
