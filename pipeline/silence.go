package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// Silencer makes silences in the Alertmanager cluster a problem came from.
// Errors are *remote.Error: NotSent and Unknown ones are asked again.
type Silencer interface {
	// Silence asks for a silence of the alerts that have exactly these labels,
	// as s says by whom and until when, and returns its id. One that carries
	// the marker already is the answer to an earlier call.
	Silence(ctx context.Context, cluster string, labels page.Labels, s page.Silence, marker string) (id string, err error)
	// Unsilence ends a silence; one that is over already is no error.
	Unsilence(ctx context.Context, cluster, id string) error
}

const (
	// silenceFor bounds one call.
	silenceFor = 15 * time.Second
	// silenceTries bounds the calls for one press of a button: 2, 4, 8, 16 s
	// lie between them, then the page says that it did not work.
	silenceTries = 5
)

// silence asks Alertmanager for what a person asked for.
func (w *Worker) silence(ctx context.Context, l store.Lease, j job, p page.Problem, e page.Event) error {
	if j.Act == nil {
		return w.Store.Apply(ctx, store.Done(l))
	}
	a := *j.Act
	s := page.Silence{ID: a.Silence, By: a.By, At: j.At, Until: a.Until}
	var err error
	ask, cancel := context.WithTimeout(ctx, silenceFor)
	switch {
	case w.Silencer == nil:
		err = &remote.Error{Op: "silence", Class: remote.Config, Reason: "no Alertmanager can be asked"}
	case a.Verb == page.UnsilenceIt:
		err = w.Silencer.Unsilence(ask, p.Cluster, a.Silence)
		s.Ended = w.Now()
	default:
		s.Matchers = p.Group.GroupLabels.Matchers()
		s.ID, err = w.Silencer.Silence(ask, p.Cluster, p.Group.GroupLabels, s, j.Event)
	}
	cancel()
	if err != nil && passing(err) && l.Attempt+1 < silenceTries {
		w.Log.Warn("silence is asked for again", "page", p.ID, "attempt", l.Attempt, "err", err)
		return w.Store.Apply(ctx, store.Retry(l, w.Now().Add(2*time.Second<<l.Attempt)))
	}
	if err != nil {
		w.Log.Error("silence does not stand", "page", p.ID, "verb", a.Verb, "err", err)
		s.ID, s.Error, s.Ended = a.Silence, page.OneLine(err.Error()), time.Time{}
	}
	e.Kind, e.Silence, e.Actor = page.Silenced, &s, a.By
	e.Episode = p.Episode // a silence is the group's: it holds for an episode that began meanwhile, too
	return w.submit(ctx, l, p, e)
}

// passing reports whether the same call may go through later.
func passing(err error) bool {
	class := remote.ClassOf(err)
	return class == remote.NotSent || class == remote.Unknown || errors.Is(err, context.DeadlineExceeded)
}

const (
	// wakeAfter lets Alertmanager notice that a silence is over.
	wakeAfter = time.Minute
	// wakeTries bounds the questions, a minute apart, what fires after it.
	wakeTries = 10
)

// wake asks what still fires once a silence is over. Alertmanager says nothing of
// alerts that resolved while they were silenced: without asking, their page would
// stay open for ever.
func (w *Worker) wake(ctx context.Context, l store.Lease, p page.Problem, e page.Event) error {
	quiet := slices.ContainsFunc(p.Silences, func(x page.Silence) bool { return stands(x, w.Now()) })
	if p.State != page.Open || quiet {
		return w.Store.Apply(ctx, store.Done(l))
	}
	active, err := w.Asker.Active(ctx, p.Cluster, p.Firing())
	switch {
	case err == nil:
	case l.Attempt+1 < wakeTries:
		return w.Store.Apply(ctx, store.Retry(l, w.Now().Add(wakeAfter)))
	default:
		w.Log.Warn("page stays open after its silence: Alertmanager could not be asked", "page", p.ID, "err", err)
		return w.Store.Apply(ctx, store.Done(l))
	}
	n := p.Group
	n.Alerts, n.Truncated = active, 0
	e.Kind, e.Notification = page.Notified, &n
	return w.submit(ctx, l, p, e)
}
