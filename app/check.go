package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/store/etcd"
)

// CheckOptions choose what `tocsin check` does.
type CheckOptions struct {
	ConfigFile string
	Connect    bool
	JSON       bool
}

// Finding is one line of a check.
type Finding struct {
	What  string `json:"what"` // "config", "source main", "target slack/payments", "alertmanager dc1"
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Note  string `json:"note,omitempty"` // why it was not asked
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
}

// connectFor bounds one connection that is tried.
const connectFor = 10 * time.Second

// ErrUnreachable says that the config is right and something in it does not answer.
var ErrUnreachable = errors.New("not everything could be reached")

// Check loads a config, builds every part of it, and with Connect asks each
// part that can be asked without telling anybody. It returns the config's
// mistakes as they are, and ErrUnreachable for the rest.
func Check(ctx context.Context, w io.Writer, o CheckOptions) error {
	b, err := buildOffline(o.ConfigFile, slog.New(slog.DiscardHandler))
	if err != nil {
		if o.JSON {
			return errors.Join(printFindings(w, o, mistakes(err)), err)
		}
		return err
	}
	found := []Finding{{What: "config " + o.ConfigFile, OK: true}}
	for _, name := range b.plan.shadowed() {
		found = append(found, Finding{What: "receiver " + name, OK: true, Note: "in shadow: nothing of it is sent"})
	}
	if o.Connect {
		found = append(found, b.connect(ctx)...)
	}
	if err := printFindings(w, o, found); err != nil {
		return err
	}
	for _, f := range found {
		if !f.OK {
			return ErrUnreachable
		}
	}
	return nil
}

// buildOffline loads and builds a config for a command that serves nobody.
func buildOffline(path string, log *slog.Logger) (*parts, error) {
	p, err := load(path)
	if err != nil {
		return nil, err
	}
	l := lent{transport: newTransport(), log: log, now: time.Now}
	return build(p, l, enrich.NewMetrics(nil), noop.NewTracerProvider().Tracer("tocsin"))
}

func (b *parts) connect(ctx context.Context) []Finding {
	var out []Finding
	try := func(what string, check func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, connectFor)
		defer cancel()
		f := Finding{What: what, OK: true}
		if err := check(ctx); err != nil {
			f.OK, f.Error = false, err.Error()
		}
		out = append(out, f)
	}
	if b.plan.shared() {
		try("store etcd", func(ctx context.Context) error { return etcd.Check(ctx, b.plan.Store.Etcd) })
	}
	for _, s := range b.sources {
		if c, ok := s.Source.(enrich.Checker); ok {
			try("source "+s.Name, c.Check)
		}
	}
	for _, am := range b.plan.Alertmanagers {
		if am.URL != "" {
			try("alertmanager "+am.Name, b.asker[am.Name].Status)
		}
	}
	out = append(out, b.backends(ctx)...)
	for _, t := range b.router.Targets() {
		if t.InShadow() {
			continue // the target itself is asked
		}
		if c, ok := t.Notifier.(notify.Checker); ok {
			try("target "+t.String(), c.Check)
		} else {
			out = append(out, Finding{What: "target " + t.String(), OK: true, Note: "cannot be asked without telling somebody; see `tocsin page test`"})
		}
	}
	return out
}

func printFindings(w io.Writer, o CheckOptions, found []Finding) error {
	if o.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(found)
	}
	for _, f := range found {
		mark := "ok  "
		if !f.OK {
			mark = "FAIL"
		}
		line := mark + "  " + f.What
		if f.Error != "" {
			line += ": " + f.Error
		}
		if f.Note != "" {
			line += " (" + f.Note + ")"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// mistakes lists the errors of a load for machines.
func mistakes(err error) []Finding {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []Finding
		for _, e := range j.Unwrap() {
			out = append(out, mistakes(e)...)
		}
		return out
	}
	f := Finding{What: "config", Error: err.Error()}
	if m, ok := errors.AsType[*config.Mistake](err); ok {
		f.File, f.Line, f.Error = m.File, m.Line, m.Text
	}
	return []Finding{f}
}
