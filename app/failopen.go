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

// openFailing is the vigil's: the state is shown by a metric while it lasts.
func (h *house) openFailing() { h.metrics.failing.Set(1) }

// storeWorks is the vigil's: people can be told by the usual way again. What
// Alertmanager had to keep is read from it at once. Its error is that the page
// which tells of the trouble could not be stored.
func (h *house) storeWorks(ctx context.Context, t webhook.Trouble) error {
	now := h.lent.now()
	severity, pages := page.Warning, "Webhooks were answered 503 meanwhile; Alertmanager kept them and sends them again."
	if t.Opened {
		severity = page.Error
		pages = fmt.Sprintf("%d critical problems were told past it, by PagerDuty or the last resort. Alertmanager kept all else, and it is read from there now.", t.Told)
	}
	e := webhook.Alarm("TocsinStoreFailed",
		fmt.Sprintf("Tocsin's store took no writes for %s: %v", now.Sub(t.Since).Round(100*time.Millisecond), t.Err),
		pages+" It works again: see what the disk, or etcd, has to say (docs/store.md).",
		page.Labels{"severity": string(severity)}, now)
	if err := (&webhook.Door{Store: h.store}).Put(ctx, e); err != nil {
		return fmt.Errorf("raise alarm: %w", err)
	}
	h.metrics.failing.Set(0)
	if t.Opened {
		h.reread()
	}
	return nil
}

// readiness says in words what /-/ready shows beside its status.
func (h *house) readiness(now time.Time) string {
	if since, open := h.vigil.Open(); open {
		return fmt.Sprintf("ready, failing open: the store has been unusable for %s", now.Sub(since).Round(time.Second))
	}
	return "ready"
}
