package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/web"
	"github.com/tocsin/tocsin/webhook"
)

// desk is where one target hands in what its service calls back with.
type desk struct {
	target   notify.Target
	siblings []string // the other targets of its kind
	config   *Config
	door     *webhook.Door
	archive  *web.Archive
	now      func() time.Time
}

var _ notify.Desk = (*desk)(nil)

// Put implements notify.Desk.
func (d *desk) Put(ctx context.Context, e page.Event) error {
	if e.At.IsZero() {
		e.At = d.now()
	}
	return d.door.Once(ctx, e)
}

// Lookup implements notify.Desk. A service has one address for all its call-backs,
// of all channels that are targets here: whichever of them the reference is of.
func (d *desk) Lookup(ctx context.Context, ref string) (page.Receipt, error) {
	r, err := d.lookup(ctx, d.target.String(), ref)
	for _, other := range d.siblings {
		if !errors.Is(err, store.ErrNotFound) {
			break
		}
		r, err = d.lookup(ctx, other, ref)
	}
	return r, err
}

func (d *desk) lookup(ctx context.Context, target, ref string) (page.Receipt, error) {
	var at notify.Delivery
	if err := d.read(ctx, store.DeliveryKey(target, ref), &at); err != nil {
		return page.Receipt{}, fmt.Errorf("look up delivery: %w", err)
	}
	var r page.Receipt
	if err := d.read(ctx, store.ReceiptKey(at.Problem, at.Episode, target), &r); err != nil {
		return page.Receipt{}, fmt.Errorf("look up receipt: %w", err)
	}
	return r, nil
}

func (d *desk) read(ctx context.Context, key string, v any) error {
	rec, err := d.door.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	return store.Unmarshal(rec.Value, v)
}

// Page implements notify.Desk.
func (d *desk) Page(ctx context.Context, problem string) (page.Page, error) {
	return d.archive.Page(ctx, problem, 0)
}

// May implements notify.Desk.
func (d *desk) May(ids []string, verb page.Verb, run page.Run) (name string, ok bool) {
	return d.config.may(d.target.Kind, ids, verb, run)
}

// The bounds of a call-back: services send a few kilobytes, and give up on an
// answer after 3 s (Slack) or 16 s (PagerDuty).
const (
	callbackBytes = 1 << 20
	callbackFor   = 15 * time.Second
)

// callbacks are the handlers of those targets whose services call back, by
// kind/name. A target in shadow told nobody: nobody calls back.
func (h *house) callbacks(b *parts) map[string]http.Handler {
	out := map[string]http.Handler{}
	for _, t := range b.router.Targets() {
		if c, ok := t.Notifier.(notify.Caller); ok && !t.InShadow() {
			out[t.String()] = http.MaxBytesHandler(c.Callback(h.desk(b, t)), callbackBytes)
		}
	}
	return out
}

func (h *house) desk(b *parts, t notify.Target) *desk {
	var siblings []string
	for _, o := range b.router.Targets() {
		if o.Kind == t.Kind && o.String() != t.String() {
			siblings = append(siblings, o.String())
		}
	}
	return &desk{target: t, siblings: siblings, config: b.plan.Config, door: &webhook.Door{Store: h.store}, archive: h.archive, now: h.lent.now}
}

// callback answers a service with the target of the generation that serves now.
// Who calls is for the kind to verify.
func (h *house) callback(w http.ResponseWriter, r *http.Request) {
	handler, ok := h.rooms.Load().callbacks[r.PathValue("kind")+"/"+r.PathValue("name")]
	if !ok {
		http.Error(w, "no target of this name takes call-backs", http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callbackFor)
	defer cancel()
	handler.ServeHTTP(w, r.WithContext(ctx))
}

// listener listens to one service as long as a generation lives.
type listener struct {
	target notify.Target
	listen func(context.Context) error
	log    *slog.Logger
}

func (h *house) listeners(b *parts) []listener {
	var out []listener
	for _, t := range b.router.Targets() {
		if l, ok := t.Notifier.(notify.Listener); ok && !t.InShadow() {
			d := h.desk(b, t)
			out = append(out, listener{t, func(ctx context.Context) error { return l.Listen(ctx, d) }, h.options.Log})
		}
	}
	return out
}

// The pauses before a service is listened to again. They begin anew after a
// connection that lasted.
const (
	listenAgain   = time.Second
	listenAtLast  = 5 * time.Minute
	listenedALong = 10 * time.Minute
)

// run listens until ctx ends. What a kind says cannot be mended by trying again
// (a token that was revoked) is tried again all the same, seldom: somebody may
// mend it at the service.
func (l listener) run(ctx context.Context) {
	wait := listenAgain
	for ctx.Err() == nil {
		began := time.Now()
		err := l.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > listenedALong {
			wait = listenAgain
		}
		l.log.Error("listen to service: tried again", "notifier", l.target.String(), "wait", wait, "err", err)
		pause(ctx, wait/2+rand.N(wait/2))
		wait = min(2*wait, listenAtLast)
	}
}

// once makes a panic in a kind an error like another.
func (l listener) once(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := l.listen(ctx); err != nil {
		return err
	}
	return errors.New("it ended by itself")
}
