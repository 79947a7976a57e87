package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/webhook"
)

// PreviewOptions choose what `tocsin preview` shows.
type PreviewOptions struct {
	ConfigFile string
	Payload    string // file, or - for standard input
	Cluster    string
	Target     string // kind/name; "": the first of the payload's receiver
	Output     string // text, json, or a kind of target
	Log        *slog.Logger
}

// Preview walks a webhook body through the code a real one takes, decoder,
// state machine, sources, words, layout, and shows the page it would become.
// Nothing is stored and nobody is told.
func Preview(ctx context.Context, in io.Reader, out io.Writer, o PreviewOptions) error {
	b, err := buildOffline(o.ConfigFile, o.Log)
	if err != nil {
		return err
	}
	body, err := readPayload(in, o.Payload)
	if err != nil {
		return err
	}
	cluster := cmp.Or(o.Cluster, b.plan.Alertmanagers[0].Name)
	if _, known := b.asker[cluster]; !known {
		return fmt.Errorf("no cluster is called %q in %s; there are: %s", cluster, o.ConfigFile,
			strings.Join(slices.Sorted(maps.Keys(b.asker)), ", "))
	}
	n, err := webhook.Decode(cluster, body, webhook.DefaultLimits())
	if err != nil {
		return fmt.Errorf("%s: %w", o.Payload, err)
	}
	p := b.walk(ctx, n)
	v := p.View().Redact(b.plan.redacted()...)
	if _, note := b.router.Route(v.Receiver, v.Self); note != "" {
		v.Notes = append(v.Notes, page.Note{Room: "notify", Text: note})
	}
	switch o.Output {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	case "text":
		_, err := io.WriteString(out, previewText(notify.Compose(notify.Message{Page: v}, time.Now()), v))
		return err
	default:
		return b.render(out, v, o)
	}
}

// walk applies a first notification as the pipeline would.
func (b *parts) walk(ctx context.Context, n page.Notification) page.Problem {
	now := time.Now()
	s := pipeline.Advance(page.Problem{}, page.Event{
		Problem: n.ProblemID(), Kind: page.Notified, ID: "preview", Actor: "preview", At: now, Notification: &n,
	})
	p := s.Problem
	if !s.Opened { // a resolve: shown as the last word on what it resolves
		p.Episode, p.Revision, p.Ended = 1, 1, now
		for _, a := range n.Alerts {
			if p.Clock.Started.IsZero() || a.StartsAt.Before(p.Clock.Started) {
				p.Clock.Started = a.StartsAt
			}
		}
		return p
	}
	p.Clock.Deadline = now.Add(b.plan.deadline().Of(p))
	ctx, cancel := context.WithDeadline(ctx, p.Clock.Deadline)
	defer cancel()
	p.Context = b.enricher.Context(ctx, p)
	if p.Context.Known() { // what follows are a page's first edits: the past and its exemplars, then the onset
		p.Context = b.enricher.Context(ctx, p)
		for i := range p.Context.Queries {
			p.Context.Queries[i].Cached = false // by this very preview, a moment ago
		}
	}
	p.Context, _ = b.enricher.Since(ctx, p, nil)
	p.Clock.Durable, p.Clock.Decided = now, time.Now()
	if p.Context.Known() {
		p.Clock.Enriched = p.Clock.Decided
	}
	return p
}

// render shows what would go over the wire to a target of the wanted kind.
func (b *parts) render(out io.Writer, v page.Page, o PreviewOptions) error {
	told, note := b.router.Route(v.Receiver, v.Self)
	if o.Target != "" || note != "" {
		told = b.router.Targets() // nothing of this receiver to show
	}
	var names []string
	for _, t := range told {
		t = t.Real()
		if slices.Contains(names, t.String()) {
			continue
		}
		names = append(names, t.String())
		if t.Kind != o.Output || o.Target != "" && t.String() != o.Target {
			continue
		}
		r, ok := t.Notifier.(notify.Renderer)
		if !ok {
			return fmt.Errorf("%s cannot show what it would send", t)
		}
		m := openMessage(v, t, b.plan.owners())
		if address := b.plan.pageURL(); address != nil {
			m.PageURL = address(v.Problem)
		}
		raw, err := r.Render(m)
		if err != nil {
			return fmt.Errorf("render for %s: %w", t, err)
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, raw, "", "  "); err != nil {
			return fmt.Errorf("render for %s: %w", t, err)
		}
		pretty.WriteByte('\n')
		_, err = pretty.WriteTo(out)
		return err
	}
	if o.Target != "" {
		return fmt.Errorf("no target of kind %s is called %s in %s; there are: %s", o.Output, o.Target, o.ConfigFile, strings.Join(names, ", "))
	}
	return fmt.Errorf("receiver %q has no target of kind %s in %s: it tells %s", v.Receiver, o.Output, o.ConfigFile, strings.Join(names, ", "))
}

func openMessage(v page.Page, t notify.Target, owners notify.Owners) notify.Message {
	now := time.Now()
	verb := notify.VerbOpen
	if v.State == page.Closed {
		verb = notify.VerbResolve
	}
	m := notify.Message{Verb: verb, Page: v, Receipt: page.Receipt{
		Delivery: notify.DeliveryID(v.Problem, v.Episode, t.String()),
		Problem:  v.Problem, Episode: v.Episode, Receiver: v.Receiver, Target: t.String(), Since: now,
	}}
	m.Owner = owners.Of(v)
	m.Text = notify.Compose(m, now)
	return m
}

func readPayload(in io.Reader, path string) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	limit := webhook.DefaultLimits().Body
	body, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("%s: body is over %d bytes", path, limit)
	}
	return body, err
}
