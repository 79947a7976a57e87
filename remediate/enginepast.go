package remediate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/store"
)

// Ledger is the one record under store.PastKey, and the head of the switches' journal.
type Ledger struct {
	Past
	Lines int    `json:"lines"`
	Head  string `json:"head"`
}

// The scopes of switches.
const (
	ScopeGlobal = "global"
	scopeTeam   = "team/"
	scopePolicy = "policy/"
)

const (
	// remembered is how long a trace that has ended is kept: the longest rate and
	// cool-down windows are a day.
	remembered = 26 * time.Hour
	// stormy is how long a pool's storm is kept.
	stormy = 26 * time.Hour
)

// ReadLedger returns the record and its revision; the zero Ledger where there is none.
func ReadLedger(ctx context.Context, s store.Store) (Ledger, uint64, error) {
	var l Ledger
	rec, err := s.Get(ctx, store.PastKey)
	if errors.Is(err, store.ErrNotFound) {
		return l, 0, nil
	}
	if err != nil {
		return l, 0, fmt.Errorf("read past: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &l); err != nil {
		return l, 0, fmt.Errorf("read past: %w", err)
	}
	return l, rec.Rev, nil
}

// swap returns the operation that writes the ledger over revision rev.
func (l Ledger) swap(rev uint64, now time.Time) (store.Op, error) {
	l.Dispatches = slices.DeleteFunc(slices.Clone(l.Dispatches), func(t Trace) bool {
		return !t.Ended.IsZero() && now.Sub(t.Ended) > remembered
	})
	l.Storms = maps.Clone(l.Storms)
	maps.DeleteFunc(l.Storms, func(_ string, at time.Time) bool { return now.Sub(at) > stormy })
	l.Episodes = maps.Clone(l.Episodes)
	maps.DeleteFunc(l.Episodes, func(_ string, at []time.Time) bool { return now.Sub(at[len(at)-1]) > stormy })
	value, err := store.Marshal(l)
	return store.Swap(store.PastKey, rev, value), err
}

// frozen returns the switch that stops a policy, and its scope.
func (p Past) frozen(policy, team string) (string, Switch, bool) {
	scopes := []string{ScopeGlobal, scopePolicy + policy}
	if team != "" {
		scopes = append(scopes, scopeTeam+team)
	}
	for _, scope := range scopes {
		if s, ok := p.Switches[scope]; ok {
			return scope, s, true
		}
	}
	return "", Switch{}, false
}

// mostEpisodes is how many episodes of one target are remembered.
const mostEpisodes = 20

// meets notes that an episode about a target began; false where that is known.
func (l *Ledger) meets(t Target, at time.Time) bool {
	had := l.Episodes[t.ID()]
	if slices.ContainsFunc(had, at.Equal) {
		return false
	}
	l.Episodes = maps.Clone(l.Episodes)
	if l.Episodes == nil {
		l.Episodes = map[string][]time.Time{}
	}
	had = append(slices.Clone(had), at)
	slices.SortFunc(had, time.Time.Compare)
	l.Episodes[t.ID()] = had[max(0, len(had)-mostEpisodes):]
	return true
}

// begin notes a dispatch that has claimed its target.
func (l *Ledger) begin(d *Dispatch, danger Danger, now time.Time) {
	l.forget(d.ID)
	l.Dispatches = append(l.Dispatches, Trace{
		ID: d.ID, Policy: d.Policy, Team: d.Team, Target: d.Target.ID(), Pool: d.Target.Pool,
		Problem: d.Problem, Episode: d.Episode, Step: d.Rung, Danger: danger, At: now,
	})
}

// forget drops a dispatch that was claimed and launched nothing.
func (l *Ledger) forget(id string) {
	l.Dispatches = slices.DeleteFunc(slices.Clone(l.Dispatches), func(t Trace) bool { return t.ID == id })
}

// end notes what came of a dispatch.
func (l *Ledger) end(id string, now time.Time, cleared, failed bool) {
	l.Dispatches = slices.Clone(l.Dispatches)
	for i, t := range l.Dispatches {
		if t.ID == id {
			l.Dispatches[i].Ended, l.Dispatches[i].Cleared, l.Dispatches[i].Failed = now, cleared, failed
		}
	}
}

// failures counts those of a policy in a window.
func (l *Ledger) failures(policy string, since time.Time) int {
	n := 0
	for _, t := range l.Dispatches {
		if t.Policy == policy && t.Failed && !t.Ended.Before(since) {
			n++
		}
	}
	return n
}

// open opens the breaker of a policy, unless it is open.
func (l *Ledger) open(policy, why string, now time.Time) {
	if _, ok := l.Breakers[policy]; ok {
		return
	}
	l.Breakers = maps.Clone(l.Breakers)
	if l.Breakers == nil {
		l.Breakers = map[string]Breaker{}
	}
	l.Breakers[policy] = Breaker{At: now, Why: why}
}

// Flip is what a person does to a switch or a breaker.
type Flip struct {
	Do    string // freeze, thaw, reset
	Scope string // global, team/NAME, policy/NAME; reset: the policy's name
	By    string
	Why   string
}

// Throw does what a person wants and writes it into the switches' journal.
// It reports whether that changed anything.
func Throw(ctx context.Context, s store.Store, f Flip, now time.Time) (bool, error) {
	for {
		l, rev, err := ReadLedger(ctx, s)
		if err != nil {
			return false, err
		}
		changed, err := l.throw(f, now)
		if err != nil || !changed {
			return false, err
		}
		line := Line{Dispatch: SwitchJournal, N: l.Lines, At: now, Actor: f.By, Reason: f.Do + " " + f.Scope + ": " + f.Why}
		op, head, err := line.append(l.Head)
		if err != nil {
			return false, err
		}
		l.Lines, l.Head = l.Lines+1, head
		swap, err := l.swap(rev, now)
		if err != nil {
			return false, err
		}
		if err := s.Apply(ctx, swap, op); !errors.Is(err, store.ErrConflict) {
			return err == nil, err
		}
	}
}

func (l *Ledger) throw(f Flip, now time.Time) (bool, error) {
	l.Switches, l.Breakers = maps.Clone(l.Switches), maps.Clone(l.Breakers)
	switch f.Do {
	case "freeze":
		if l.Switches == nil {
			l.Switches = map[string]Switch{}
		}
		_, had := l.Switches[f.Scope]
		if !had {
			l.Switches[f.Scope] = Switch{By: f.By, At: now, Why: f.Why}
		}
		return !had, nil
	case "thaw":
		_, had := l.Switches[f.Scope]
		delete(l.Switches, f.Scope)
		return had, nil
	case "reset":
		_, had := l.Breakers[f.Scope]
		delete(l.Breakers, f.Scope)
		// what failed before counts no more: the breaker would open at once
		l.Dispatches = slices.Clone(l.Dispatches)
		for i, t := range l.Dispatches {
			if t.Policy == f.Scope {
				l.Dispatches[i].Failed = false
			}
		}
		return had, nil
	}
	return false, fmt.Errorf("%q is nothing that is done to a switch", f.Do)
}
