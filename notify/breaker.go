package notify

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

const (
	// breakerAfter is how many requests in a row must fail for a target to be
	// left alone.
	breakerAfter = 5
	// breakerMin is for how long at first; it doubles up to Timing.BackoffMax.
	breakerMin = 5 * time.Second
)

// breaker leaves a target alone that does not work. When its time is over one
// request tries whether it works again.
type breaker struct {
	mu       sync.Mutex
	failures int           // in a row
	wait     time.Duration // how long it was open last
	until    time.Time     // zero: closed
	trying   bool
	last     error // of a request
}

// pass reports whether a request may be made, and else when to ask again. try
// says that this one finds out: end or leave must be called for it.
func (b *breaker) pass(now time.Time) (try bool, again time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return false, time.Time{}
	case b.until.Sub(now) > b.wait: // the clock was set back: nobody is left alone for that
		b.until = now.Add(b.wait)
		return false, b.until
	case now.Before(b.until):
		return false, b.until
	case b.trying:
		return false, now.Add(time.Second)
	}
	b.trying = true
	return true, time.Time{}
}

// end takes in how a request ended, and reports whether the breaker is open.
func (b *breaker) end(now time.Time, err error, longest time.Duration) (open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = err
	switch {
	case !broken(err):
		b.failures, b.wait, b.until, b.trying = 0, 0, time.Time{}, false
	case b.until.IsZero() || b.trying:
		if b.failures++; b.failures >= breakerAfter {
			b.wait = min(max(2*b.wait, breakerMin), longest)
			b.until, b.trying = now.Add(b.wait), false
		}
	}
	return !b.until.IsZero()
}

// leave gives up trying without an outcome.
func (b *breaker) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
}

// opened returns until when the breaker is open and why, the zero time while it
// is not.
func (b *breaker) opened() (until time.Time, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until, b.last
}

// broken reports whether an error speaks against the target as a whole: it
// cannot be reached, does not answer sensibly, or refuses whoever asks. Limits
// (429) and refused content do not.
func broken(err error) bool {
	if err == nil {
		return false
	}
	switch remote.ClassOf(err) {
	case remote.Unknown, remote.Config:
		return true
	case remote.NotSent:
		e, ok := errors.AsType[*remote.Error](err)
		return ok && e.Status == 0 && e.RetryAfter == 0 && e.Op != keepLease // there was no answer
	default:
		return false
	}
}

// admitted reports whether the target is not left alone by its breaker. Else
// the item was put back, and whoever stands in is told.
func (d *delivery) admitted(ctx context.Context) (bool, error) {
	if d.through {
		return true, nil
	}
	try, again := d.breaker.pass(d.Now())
	if again.IsZero() {
		d.through, d.trying = true, try
		return true, nil
	}
	if d.verb() == VerbOpen && !d.work.Chart {
		if _, why := d.breaker.opened(); why != nil {
			if err := d.instead(ctx, why.Error()); err != nil {
				return false, err
			}
		}
	}
	return false, d.Store.Apply(ctx, store.Retry(d.lease, again))
}

// observe takes in how a request ended.
func (d *delivery) observe(err error) {
	d.trying = false
	open := d.breaker.end(d.Now(), err, d.timing.BackoffMax)
	d.Metrics.breaker.WithLabelValues(d.target.Kind, d.target.Name).Set(map[bool]float64{true: 1}[open])
	if until, _ := d.breaker.opened(); open && err != nil {
		d.log.Warn("target is left alone for a while", "until", until, "err", err)
	}
}
