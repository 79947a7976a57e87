package app

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/remediate"
)

// backends finds out whether backends answer, and whether every step of every
// policy that a receiver names could be launched as it is meant.
func (b *parts) backends(ctx context.Context) []Finding {
	if b.remedies == nil {
		return nil
	}
	var out []Finding
	add := func(what string, err error) {
		f := Finding{What: what, OK: err == nil}
		if err != nil {
			f.Error = err.Error()
		}
		out = append(out, f)
	}
	for _, name := range slices.Sorted(maps.Keys(b.remedies.backends)) {
		if c, ok := b.remedies.backends[name].(remediate.Checker); ok {
			ask, cancel := context.WithTimeout(ctx, connectFor)
			add("backend "+name, c.Check(ask))
			cancel()
		}
	}
	e := &remediate.Engine{
		Policies: b.remedies.policies, Backends: b.remedies.backends, Log: slog.New(slog.DiscardHandler),
		Now: time.Now, Metrics: remediate.NewMetrics(nil),
	}
	for _, r := range e.CheckPolicies(ctx) {
		err := r.Err
		if _, known := errors.AsType[*remediate.NotReady](err); err != nil && !known {
			err = errors.Join(errors.New("it is not known whether it is ready"), err)
		}
		add("policy "+r.Policy+", step "+r.Step, err)
	}
	return out
}
