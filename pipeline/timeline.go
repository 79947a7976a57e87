package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// listed is how many targets one line of a timeline names.
const listed = 10

// entry returns the timeline's line of a step, and false for one that would only
// repeat the line before. It counts the line in s.Problem.
func entry(s *Step, e page.Event, work []store.Op) (line page.Entry, n int, ok bool) {
	p := &s.Problem
	if s.Again && p.Repeated {
		return line, 0, false
	}
	p.Repeated = s.Again
	n = p.Entries
	p.Entries++
	text := s.Why
	switch {
	case s.Changed && p.Folded == "":
		text += handed(work)
	case s.Again && e.Act == nil:
		text += "; further ones get no line"
	}
	return page.Entry{
		At: e.At, Room: "pipeline", Episode: p.Episode, Revision: p.Revision, Kind: string(e.Kind),
		Actor: e.Actor, Text: page.OneLine(text), Event: e.ID, Failed: s.Refused,
	}, n, true
}

// handed says in whose lanes there is work now.
func handed(work []store.Op) string {
	names := told(nil, work)
	switch n := len(names); {
	case n == 0:
		return "; no target is told"
	case n > listed:
		return fmt.Sprintf("; to %s and %d more", strings.Join(names[:listed], ", "), n-listed)
	default:
		return "; to " + strings.Join(names, ", ")
	}
}

// votes counts what was found not useful.
func (w *Worker) votes(ctx context.Context, s Step, e page.Event) ([]store.Op, error) {
	var ops []store.Op
	for _, name := range slices.Compact(s.votes) {
		v := page.Vote{Alert: name}
		rec, err := w.Store.Get(ctx, store.VoteKey(name))
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("read votes: %w", err)
		default:
			if err := store.Unmarshal(rec.Value, &v); err != nil {
				return nil, fmt.Errorf("read votes: %w", err)
			}
		}
		v.Useless, v.Last = v.Useless+1, e.At
		value, err := store.Marshal(v)
		if err != nil {
			return nil, err
		}
		ops = append(ops, store.Swap(store.VoteKey(name), rec.Rev, value))
	}
	return ops, nil
}
