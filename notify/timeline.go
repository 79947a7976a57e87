package notify

import (
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Delivery is the record under a store.DeliveryKey: which episode a service
// means by a delivery's id, or by a reference of its own.
type Delivery struct {
	Problem string `json:"problem"`
	Episode int    `json:"episode"`
	Target  string `json:"target"`
}

// deliveryFor is how long the records live that lead from a service's words to
// an episode. What goes on for longer renews them.
const (
	deliveryFor   = 35 * 24 * time.Hour
	deliveryRenew = 24 * time.Hour
)

// line adds a line to the timeline; it is written with the receipt.
func (d *delivery) line(verb Verb, failed bool, text string) {
	d.lines = append(d.lines, page.Entry{
		At: d.Now(), Room: "notify", Episode: d.work.Episode, Revision: d.page.Revision,
		Kind: string(verb), Actor: d.target.String(), Text: Clean(text, maxError), Target: d.target.String(), Failed: failed,
	})
}

// records are what is written with a receipt: lines of the timeline, and the way
// back from what the service calls the page. The timeline of a target is named
// by the target, and counted by its receipt: it has one writer.
func (d *delivery) records(r *page.Receipt) ([]store.Op, error) {
	var ops []store.Op
	for _, e := range d.lines {
		value, err := store.Marshal(e)
		if err != nil {
			return nil, err
		}
		ops = append(ops, store.Put(store.TimelineKey(r.Problem, r.Episode, "notify/"+r.Target, r.Entries), value))
		r.Entries++
	}
	if d.target.InShadow() || d.suffix != "" {
		return ops, nil
	}
	value, err := store.Marshal(Delivery{Problem: r.Problem, Episode: r.Episode, Target: d.target.String()})
	if err != nil {
		return nil, err
	}
	for _, ref := range d.unknown(*r) {
		ops = append(ops, store.Put(store.DeliveryKey(d.target.String(), ref), value).Until(r.At.Add(deliveryFor)))
	}
	return ops, nil
}

// unknown are the names of the page at the service that no record leads back
// from yet, or that are to be renewed.
func (d *delivery) unknown(r page.Receipt) []string {
	renew := r.At.Sub(d.stored.At) > deliveryRenew
	var refs []string
	add := func(ref string, known bool) {
		if ref != "" && (renew || !known) && !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	add(r.Delivery, d.rev != 0)
	add(r.Ref, r.Ref == d.stored.Ref || r.Ref == r.Delivery)
	for _, ref := range r.Further {
		add(ref, slices.Contains(d.stored.Further, ref))
	}
	return refs
}
