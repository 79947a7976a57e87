package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/webhook"
)

// What a page told past the store is given. Together with what the door does
// before it stays below the 5 s after which an Alertmanager's peer sends too.
const (
	contextPast = 1500 * time.Millisecond
	tellPast    = 2500 * time.Millisecond
)

// past tells people of a problem while the store is unusable. It composes what
// the pipeline and notify do one after the other, without anything kept between.
type past struct {
	parts    *parts
	direct   *notify.Direct
	episodes episodes
}

// episodes knows which episode of a problem is open, with the store or without.
type episodes interface {
	Open(ctx context.Context, problem string) (episode int, open bool)
}

// Tell implements webhook.Teller. The episode, and so PagerDuty's dedup_key, is
// that of the problem if it is known to be open, else the next one: an incident
// that stands there already takes the event in, and pages nobody again.
func (p *past) Tell(ctx context.Context, e page.Event) ([]page.Receipt, error) {
	s := pipeline.Advance(page.Problem{}, e)
	if !s.Opened {
		return nil, errors.New("nothing fires")
	}
	s.Problem.Episode, _ = p.episodes.Open(ctx, e.Problem)
	asking, cancel := context.WithTimeout(ctx, contextPast)
	s.Problem.Context = p.parts.enricher.Context(asking, s.Problem)
	cancel()
	v := s.Problem.View().Redact(p.parts.plan.redacted()...)
	v.Notes = append(v.Notes, page.Note{Room: "store", Text: "Tocsin cannot write to its store: this page was sent without it, and is edited and resolved when the store is back"})
	ctx, cancel = context.WithTimeout(ctx, tellPast)
	defer cancel()
	return p.direct.Tell(ctx, v)
}

// openFailing and closeFailing are the vigil's: the state is shown by a metric
// while it lasts, and told to people once they can be told by the usual way.
func (h *house) openFailing() { h.metrics.failing.Set(1) }

func (h *house) closeFailing(ctx context.Context, since time.Time, told int) {
	h.metrics.failing.Set(0)
	now := h.lent.now()
	e := webhook.Alarm("TocsinFailedOpen",
		fmt.Sprintf("Tocsin's store was unusable for %s: %d critical problems were told past it", now.Sub(since).Round(time.Second), told),
		"From "+since.UTC().Format(time.TimeOnly)+" to "+now.UTC().Format(time.TimeOnly)+" UTC nothing could be written. Critical pages went to PagerDuty (or the last resort) at once, all others were kept by Alertmanager and are sent now. Look at the disk, or at etcd.",
		page.Labels{"severity": string(page.Error)}, now)
	if err := (&webhook.Door{Store: h.store}).Put(ctx, e); err != nil {
		h.options.Log.Error("raise alarm", "err", err)
	}
	h.reread()
}

// readiness says in words what /-/ready shows beside its status.
func (h *house) readiness(now time.Time) string {
	if since, open := h.vigil.Open(); open {
		return fmt.Sprintf("ready, failing open: the store has been unusable for %s", now.Sub(since).Round(time.Second))
	}
	return "ready"
}
