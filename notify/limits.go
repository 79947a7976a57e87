package notify

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limited is a Notifier whose service counts requests. Who says nothing is
// limited by the service's answers alone (429, Retry-After).
type Limited interface {
	Limits() Limits
}

// Limits is what a service takes, by what a message does. A verb that is not in
// it costs nothing.
type Limits map[Verb]Rate

// Rate is one of a service's limits: a token bucket.
type Rate struct {
	Key   string        // names the bucket: verbs, and targets of one kind, that name the same share it; no secret
	Every time.Duration // from one token to the next; positive
	Burst int           // tokens it holds at the most
}

// bucket is one method of a service as all share it who call it. Half of its
// tokens are kept for what is urgent.
type bucket struct {
	limit *rate.Limiter // nil: as many as the service takes
	every time.Duration

	mu    sync.Mutex
	quiet time.Time    // the service asked to be left alone until then
	next  [2]time.Time // where the line of those who wait ends, of the urgent ones and of the others
}

func newBucket(r Rate) *bucket {
	return &bucket{limit: rate.NewLimiter(rate.Every(r.Every), max(1, r.Burst)), every: r.Every}
}

// take takes a token, or returns how long there will be none. What is of the
// highest rank keeps the service's rate, but does not wait out the silence that
// it asked for: whether it lets somebody in again is found out by asking.
func (b *bucket) take(now time.Time, urgent bool, r rank) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := b.quiet.Sub(now); left > 0 && (r < rankUrgent || b.limit == nil) {
		return left
	}
	if b.limit == nil {
		return 0
	}
	need := 1.0
	if !urgent {
		need += float64(b.limit.Burst() / 2)
	}
	if have := b.limit.TokensAt(now); have < need {
		return max(time.Millisecond, time.Duration((need-have)*float64(b.every)))
	}
	b.limit.AllowN(now, 1)
	return 0
}

// place is when somebody who got no token should come again: behind those who
// wait already, or all of them would come at once for one token.
func (b *bucket) place(now time.Time, wait time.Duration, urgent bool) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := &b.next[0]
	if urgent {
		end = &b.next[1]
	}
	at := now.Add(wait)
	if end.After(at) {
		at = *end
	}
	*end = at.Add(b.every)
	return at
}

// hush leaves the service alone until then: it asked for that.
func (b *bucket) hush(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.quiet) {
		b.quiet = until
	}
}

func (b *bucket) quietUntil() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.quiet
}

// buckets are those of one worker's targets, by name.
type buckets map[string]*bucket

// of returns the buckets of a target. Services that say nothing of their limits
// count by method all the same: one that has had enough edits takes what is new.
func (bs buckets) of(t Target) map[Verb]*bucket {
	limits := Limits{}
	if l, ok := t.Notifier.(Limited); ok {
		limits = l.Limits()
	}
	out := map[Verb]*bucket{}
	for _, v := range []Verb{VerbOpen, VerbUpdate, VerbResolve, VerbFollow, VerbChart} {
		r, limited := limits[v]
		name := t.Kind + " " + r.Key
		if !limited {
			name = t.String() + "/" + map[bool]string{true: "new", false: "edits"}[v == VerbOpen]
		}
		if bs[name] == nil {
			bs[name] = &bucket{}
			if limited {
				bs[name] = newBucket(r)
			}
		}
		out[v] = bs[name]
	}
	return out
}
