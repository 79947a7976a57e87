package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/webhook"
)

// first is the receiver that takes what is meant for nobody: one that sends, if
// there is one.
func (p *plan) first() string {
	for _, r := range p.Receivers {
		if !r.Shadow {
			return r.Name
		}
	}
	return p.Receivers[0].Name
}

// shadowed names the receivers that are in shadow.
func (p *plan) shadowed() []string {
	var out []string
	for _, r := range p.Receivers {
		if r.Shadow {
			out = append(out, r.Name)
		}
	}
	return out
}

// surface looks for problems that are open and were told in shadow only, although
// their receiver sends by now: after a reload, or a restart, that ended its
// shadow. It waits for the generation before, which may still open one.
func (h *house) surface(ctx context.Context, old, now *rooms) {
	for _, name := range now.parts.plan.shadowed() { // forgotten, it would be a pager that is silent
		h.options.Log.Warn("receiver is in shadow: nothing of it is sent", "receiver", name)
	}
	if old != nil {
		select {
		case <-old.done:
		case <-ctx.Done():
			return
		}
	}
	if err := surface(ctx, h.store, now.parts.router, h.lent.now); err != nil && ctx.Err() == nil {
		h.options.Log.Error("look for pages that left the shadow: they are told at their next change", "err", err)
	}
}

func surface(ctx context.Context, s store.Store, r *notify.Router, now func() time.Time) error {
	door := webhook.Door{Store: s}
	return eachProblem(ctx, s, func(p page.Problem) error {
		if p.State != page.Open || !untold(r, p) {
			return nil
		}
		return door.Put(ctx, page.Event{
			Problem: p.ID, Kind: page.Unshadowed, Actor: "tocsin", At: now(), Episode: p.Episode,
			ID: fmt.Sprintf("unshadowed/%s/%d/%d", p.ID, p.Episode, p.Revision),
		})
	})
}

// untold reports whether somebody whom the problem's receiver names was told in
// shadow only.
func untold(r *notify.Router, p page.Problem) bool {
	targets, _ := r.Route(p.Receiver, p.Self)
	for _, told := range p.Told {
		name, ok := notify.ShadowOf(told)
		if ok && !slices.Contains(p.Told, name) &&
			slices.ContainsFunc(targets, func(t notify.Target) bool { return t.String() == name }) {
			return true
		}
	}
	return false
}

func eachProblem(ctx context.Context, s store.Store, do func(page.Problem) error) error {
	return eachRecord(ctx, s, store.ProblemPrefix, func(r store.Record) error {
		var p page.Problem
		if err := store.Unmarshal(r.Value, &p); err != nil {
			return fmt.Errorf("read problem: %w", err)
		}
		return do(p)
	})
}

func eachRecord(ctx context.Context, s store.Store, prefix string, do func(store.Record) error) error {
	const batch = 100
	for after := ""; ; {
		recs, err := s.Scan(ctx, prefix, after, batch)
		if err != nil {
			return fmt.Errorf("scan %s: %w", prefix, err)
		}
		for _, r := range recs {
			if err := do(r); err != nil {
				return err
			}
			after = r.Key
		}
		if len(recs) < batch {
			return nil
		}
	}
}

// Unsent is one message that would have been sent, had its receiver not been in
// shadow: one episode of a problem at one target.
type Unsent struct {
	At       time.Time  `json:"at"`                      // when it would have been delivered
	Delay    float64    `json:"delay_seconds,omitempty"` // from the rule's firing until then
	Target   string     `json:"target"`                  // kind/name
	Channel  string     `json:"channel,omitempty"`
	Receiver string     `json:"receiver"`
	Line     string     `json:"line"` // its first line then
	Title    string     `json:"title,omitempty"`
	State    page.State `json:"state,omitempty"`
	Ended    bool       `json:"ended,omitempty"` // the target would have been told that it is over
	Problem  string     `json:"problem"`
	Episode  int        `json:"episode"`
	Error    string     `json:"error,omitempty"` // why it could not be rendered
}

// mostUnsent bounds one report, the latest kept.
const mostUnsent = 1000

// shadow answers with what would have been sent, oldest first.
func (a *api) shadow(w http.ResponseWriter, r *http.Request) {
	out := []Unsent{}
	err := eachRecord(r.Context(), a.store, store.LedgerPrefix, func(rec store.Record) error {
		var line page.Receipt
		if err := store.Unmarshal(rec.Value, &line); err != nil {
			return fmt.Errorf("read receipt: %w", err)
		}
		target, ok := notify.ShadowOf(line.Target)
		if !ok || line.First.IsZero() && line.Error == "" {
			return nil
		}
		u := Unsent{
			At: line.First, Target: target, Channel: line.Channel, Receiver: line.Receiver, Line: line.Said,
			Ended: line.Resolved, Problem: line.Problem, Episode: line.Episode, Error: line.Error,
		}
		if u.At.IsZero() {
			u.At = line.At
		}
		out = append(out, u)
		return nil
	})
	if err == nil {
		slices.SortStableFunc(out, func(x, y Unsent) int {
			if c := x.At.Compare(y.At); c != 0 {
				return c
			}
			return strings.Compare(x.Target, y.Target)
		})
		out = out[max(0, len(out)-mostUnsent):]
		err = a.titles(r.Context(), out)
	}
	if err != nil {
		a.fail(w, http.StatusServiceUnavailable, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// titles adds what the pages say by now.
func (a *api) titles(ctx context.Context, out []Unsent) error {
	for i, u := range out {
		rec, err := a.store.Get(ctx, store.PageKey(u.Problem, u.Episode))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var p page.Page
		if err := store.Unmarshal(rec.Value, &p); err != nil {
			return fmt.Errorf("read page: %w", err)
		}
		out[i].Title, out[i].State = p.Title, p.State
		if !p.Clock.Started.IsZero() {
			out[i].Delay = max(0, u.At.Sub(p.Clock.Started).Seconds())
		}
	}
	return nil
}
