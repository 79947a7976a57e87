package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// follow says beside the message what changed since, until nothing is left to
// say. Whatever becomes of it, the message keeps its receipt.
func (d *delivery) follow(ctx context.Context) error {
	for {
		updates := d.unsaid(d.receipt)
		if len(updates) == 0 && d.receipt.Marker != "" {
			d.receipt.Marker = "" // what it said is on the page no more
			continue
		}
		if len(updates) == 0 {
			d.note(d.lease.ID, "")
			return d.Store.Apply(ctx, store.Done(d.lease))
		}
		if in, err := d.admitted(ctx); err != nil || !in {
			return err
		}
		if !d.leave(VerbFollow) {
			return nil
		}
		if d.receipt.Marker != "" {
			if clear, err := d.findFollow(ctx, updates); err != nil || !clear {
				return err
			}
			continue
		}
		d.fresh = true
		done, err := d.say(ctx, updates)
		if err != nil || done {
			return err
		}
	}
}

// unsaid is what a follow has to say: all that was not said yet or, while the
// outcome of a follow is unknown, exactly what that one said, for a service
// knows it by its marker.
func (d *delivery) unsaid(r page.Receipt) []page.Update {
	if _, ok := d.target.Notifier.(Follower); !ok || r.Ref == "" {
		return nil
	}
	upTo := markerEnd(r.Marker)
	return slices.DeleteFunc(slices.Clone(d.page.Updates), func(u page.Update) bool {
		return u.N <= r.Followed || upTo > 0 && u.N > upTo
	})
}

// say makes one follow: its intent, the call, what came of it. done means that
// the item is settled.
func (d *delivery) say(ctx context.Context, updates []page.Update) (done bool, err error) {
	now, last := d.Now(), updates[len(updates)-1].N
	r := d.receipt
	r.Verb, r.State, r.At = string(VerbFollow), page.Intent, now
	r.Marker = followMarker(r.Delivery, last)
	r.Attempt++
	if !d.fresh {
		r.Attempt = max(r.Attempt, 2) // an edit in between has counted from the start
	}
	if err := d.intent(ctx, r); err != nil {
		return true, err
	}
	if err := d.loadReceipt(ctx); err != nil {
		return true, err
	}
	answer, err := d.tell(ctx, updates, false)
	if err != nil && remote.ClassOf(err) == remote.Content {
		d.log.Warn("update was refused: it is said in plain form", "page", d.work.Problem, "err", err)
		answer, err = d.tell(ctx, updates, true)
	}
	d.further(answer)
	switch {
	case errors.Is(err, store.ErrFenced):
		return true, err
	case err == nil:
		return d.followed(ctx, max(answer.Followed, d.receipt.Followed), last, "")
	case remote.ClassOf(err) == remote.Gone:
		d.forget(err)
		d.receipt.Revision = 0
		return true, d.putBackNow(ctx)
	case remote.ClassOf(err) == remote.Content, d.Now().Sub(time.UnixMilli(d.work.At)) > d.timing.Expire:
		d.log.Error("update cannot be said and is given up", "page", d.work.Problem, "episode", d.work.Episode, "up_to", last, "err", err)
		return d.followed(ctx, last, last, Clean(err.Error(), maxError))
	default:
		return true, d.fail(ctx, err, d.afterFollow(err))
	}
}

// afterFollow is the state of a receipt whose follow failed. What surely is not
// there begins anew, unless an earlier try of the same may be.
func (d *delivery) afterFollow(err error) page.DeliveryState {
	if class := remote.ClassOf(err); class == remote.Unknown || !d.fresh {
		return page.Ambiguous
	}
	d.receipt.Marker = ""
	return page.Waiting
}

// tell makes the call.
func (d *delivery) tell(ctx context.Context, updates []page.Update, plain bool) (page.Receipt, error) {
	m := d.message(VerbFollow, plain)
	m.Updates, m.Repeat = updates, d.again
	f, ok := d.target.Notifier.(Follower)
	if !ok {
		return m.Receipt, nil
	}
	r, err := d.call(ctx, m, f.Follow)
	d.receipt.Parts = r.Parts
	return r, err
}

// findFollow asks what became of a follow of unknown outcome, and says it again
// where it is not there, or where nobody can be asked.
func (d *delivery) findFollow(ctx context.Context, updates []page.Update) (clear bool, err error) {
	last := updates[len(updates)-1].N
	f, ok := d.target.Notifier.(Finder)
	if !ok {
		return d.sayAgain(ctx, updates, true)
	}
	m := d.message(VerbFollow, false)
	m.Updates = updates
	found, there, err := d.ask(ctx, f, m)
	switch {
	case err == nil && there:
		d.log.Info("update found: its first answer was lost", "page", d.work.Problem, "up_to", last)
		d.further(found)
		done, err := d.followed(ctx, last, last, "")
		return err == nil && !done, err
	case err == nil:
		return d.sayAgain(ctx, updates, false)
	case remote.ClassOf(err) == remote.Config || d.Now().Sub(time.UnixMilli(d.work.At)) >= d.timing.RepeatAfter:
		d.log.Warn("target cannot be asked: the update is said again", "page", d.work.Problem, "err", err)
		return d.sayAgain(ctx, updates, true)
	default:
		return false, d.fail(ctx, err, page.Ambiguous)
	}
}

func (d *delivery) sayAgain(ctx context.Context, updates []page.Update, marked bool) (clear bool, err error) {
	d.fresh, d.again = false, marked
	done, err := d.say(ctx, updates)
	return err == nil && !done, err
}

// followed writes down that updates were said up to said, of those up to last.
// refused says why they were given up, if they were.
func (d *delivery) followed(ctx context.Context, said, last int, refused string) (done bool, err error) {
	r := d.receipt
	if said <= r.Followed {
		said = last // a kind that does not say how far it came has said all
	}
	d.again = false
	r.State, r.At, r.Attempt, r.Marker, r.Followed, r.Error = page.Sent, d.Now(), 0, "", said, refused
	text := fmt.Sprintf("was told what changed, up to update %d", said)
	if refused != "" {
		text = fmt.Sprintf("was not told what changed up to update %d, given up: %s", said, refused)
	}
	d.line(VerbFollow, refused != "", text)
	if err := d.settle(ctx, r, d.onward(r, r.At)); err != nil {
		return true, err
	}
	if refused == "" {
		d.log.Info("page followed", "page", d.work.Problem, "episode", d.work.Episode, "receiver", d.work.Receiver, "up_to", said)
	}
	return d.done, nil
}

// onward is what becomes of the item once the message stands as in r: it is
// done, or there is something to say beside it.
func (d *delivery) onward(r page.Receipt, now time.Time) store.Op {
	if len(d.unsaid(r)) == 0 {
		return store.Done(d.lease)
	}
	return store.Extend(d.lease, now.Add(d.leaseFor()))
}

// further takes over what was opened since because it got worse.
func (d *delivery) further(r page.Receipt) {
	for _, ref := range r.Further {
		if !slices.Contains(d.receipt.Further, ref) {
			d.receipt.Further = append(slices.Clip(d.receipt.Further), ref)
		}
	}
}

// forget drops the message that is gone from the receipt: it is posted anew.
func (d *delivery) forget(err error) {
	d.log.Warn("message is gone: it is posted anew", "page", d.work.Problem, "err", err)
	d.line(VerbOpen, true, "message is gone and is posted anew: "+err.Error())
	r := &d.receipt
	r.Ref, r.Channel, r.Link, r.Marker, r.Since = "", "", "", "", time.Time{}
}

// putBackNow writes the receipt down and has the item taken again at once.
func (d *delivery) putBackNow(ctx context.Context) error {
	r := d.receipt
	r.State, r.At = page.Waiting, d.Now()
	return d.settle(ctx, r, store.Retry(d.lease, r.At))
}

// lastUpdate is the number of the last update on a page, 0 if there is none.
func lastUpdate(p page.Page) int {
	if n := len(p.Updates); n > 0 {
		return p.Updates[n-1].N
	}
	return 0
}

const followInfix = "/f"

// followMarker names a follow by its delivery and the last update it says.
func followMarker(delivery string, last int) string {
	return delivery + followInfix + strconv.Itoa(last)
}

// markerEnd is the last update of the follow that a marker names, 0 if it names none.
func markerEnd(marker string) int {
	_, n, _ := strings.Cut(marker, followInfix)
	last, err := strconv.Atoi(n)
	if err != nil {
		return 0
	}
	return last
}
