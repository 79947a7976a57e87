package notify

import (
	"context"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
)

// rank is how much something matters to whom a target tells it.
type rank int

// The ranks. Of a target's workers one is left for what is of the highest, one
// for what is new, and pictures never take more than one.
const (
	rankChart  rank = iota
	rankEdit        // changes or follows a message that stands
	rankNew         // a new page
	rankUrgent      // a new critical page
)

// slots are the workers that each rank below the highest may keep busy, with
// those below it.
type slots [rankUrgent]chan struct{}

func newSlots(workers int) slots {
	var s slots
	for r := range s {
		s[r] = make(chan struct{}, max(1, workers-(int(rankUrgent)-r)))
	}
	s[rankChart] = make(chan struct{}, 1)
	return s
}

// patience is how long a worker waits for leave, before it looks for something
// that matters more; longest is how long, at the most, for what matters most.
const (
	patience = time.Second
	longest  = 10 * time.Second
)

func (d *delivery) rank(v Verb) rank {
	switch {
	case v == VerbChart:
		return rankChart
	case v != VerbOpen:
		return rankEdit
	case d.page.Severity == page.Critical:
		return rankUrgent
	default:
		return rankNew
	}
}

// urgent reports whether what a verb does may take the tokens that are kept
// back: it is about a critical page, and more than a line in a thread.
func (d *delivery) urgent(v Verb) bool {
	switch {
	case d.page.Severity != page.Critical || v == VerbChart:
		return false
	case v == VerbFollow:
		return slices.ContainsFunc(d.unsaid(d.receipt), func(u page.Update) bool { return u.Aloud })
	default:
		return true
	}
}

// leave waits for a worker that may do it, and for the service's token. Without
// them the item is put back and false returned.
func (d *delivery) leave(v Verb) bool {
	waiting, cancel := context.WithTimeout(d.closing, patience)
	defer cancel()
	if d.held == nil && !d.sit(waiting, d.rank(v)) {
		d.putBack(d.closing, d.lease, d.Now().Add(d.timing.backoff(d.lease.Attempt)))
		return false
	}
	return d.token(v)
}

// sit takes a slot of each rank from r on, in their order.
func (d *delivery) sit(ctx context.Context, r rank) bool {
	d.held = []chan struct{}{}
	for ; r < rankUrgent; r++ {
		select {
		case d.slots[r] <- struct{}{}:
			d.held = append(d.held, d.slots[r])
		case <-ctx.Done():
			d.rise()
			return false
		}
	}
	return true
}

func (d *delivery) rise() {
	for _, s := range d.held {
		<-s
	}
	d.held = nil
}

func (d *delivery) token(v Verb) bool {
	b, urgent, until := d.buckets[v], d.urgent(v), d.Now().Add(patience)
	if d.rank(v) == rankUrgent {
		until = d.Now().Add(longest)
	}
	for {
		now := d.Now()
		wait := b.take(now, urgent, d.rank(v))
		switch {
		case wait <= 0:
			return true
		case d.closing.Err() != nil:
			d.putBack(d.closing, d.lease, now)
			return false
		case now.Add(wait).After(until):
			due := now.Add(max(wait, d.timing.backoff(d.lease.Attempt)))
			if b.limit != nil {
				due = b.place(now, wait, urgent)
			}
			d.rise()
			d.putBack(d.closing, d.lease, due)
			return false
		}
		pause(d.closing, wait)
	}
}
