package exporters

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// Gather makes an Exposer of a Collector. What the Collector sends is checked as
// a Registry checks it: an inconsistent metric is left out, said in the error,
// and takes no other with it.
func Gather(c Collector) Exposer { return gathered{c} }

type gathered struct{ Collector }

// Expose gathers from the one Collector, and writes the families out.
func (g gathered) Expose(ctx context.Context, out *Text) error {
	reg := prometheus.NewRegistry()
	once := &within{Collector: g.Collector, ctx: ctx}
	if err := reg.Register(once); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	families, err := reg.Gather()
	err = errors.Join(once.err, err)
	var buf bytes.Buffer
	for _, mf := range families {
		buf.Reset()
		if _, e := expfmt.MetricFamilyToText(&buf, mf); e != nil {
			err = errors.Join(err, e)
			continue
		}
		out.block(mf.GetName(), buf.Bytes())
	}
	return err
}

// within gives a Collector the context that prometheus.Collector has no place for.
type within struct {
	Collector
	ctx context.Context
	err error
}

// Collect is called once by Gather, which returns after it.
func (w *within) Collect(ch chan<- prometheus.Metric) {
	w.err = w.Collector.Collect(w.ctx, ch)
}
