package dashboards

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Asked is what came of one query of a panel.
type Asked struct {
	Panel string `json:"panel"` // its title
	RefID string `json:"ref"`
	Query string `json:"query"` // as it was asked
	Data  bool   `json:"data"`
	Error string `json:"error,omitempty"`
}

// Name tells a query from the others of its dashboard.
func (a Asked) Name() string { return a.Panel + " " + a.RefID }

// limits of an answer: a panel that draws more is no panel.
func limits() prometheus.Limits { return prometheus.Limits{Series: 10_000, Bytes: 64 << 20} }

// Ask asks every query of a dashboard's panels as Grafana would: as the dashboard opens,
// and with all values of its variables chosen one by one; as a range query over
// the view, and as an instant query. A query has data if each of them
// does: a number, which NaN is not. A panel that shows a range is asked for an
// instant where its range last had a number.
func (d Dashboard) Ask(ctx context.Context, server *prometheus.Client, v View) ([]Asked, error) {
	c, err := d.Choose(ctx, server, v)
	if err != nil {
		return nil, err
	}
	var out []Asked
	for p := range d.Drawn() {
		for _, t := range p.Targets {
			if t.Hide || t.Expr == "" {
				continue
			}
			a := Asked{Panel: p.Title, RefID: t.RefID, Data: true}
			for _, chosen := range []Chosen{c.Opened, c.Picked} {
				if chosen == nil || !a.Data {
					continue
				}
				if err := a.ask(ctx, server, v, t, chosen); err != nil {
					a.Data, a.Error = false, err.Error()
				}
			}
			out = append(out, a)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, nil
}

func (a *Asked) ask(ctx context.Context, server *prometheus.Client, v View, t Target, chosen Chosen) (err error) {
	if a.Query, err = fill(t.Expr, chosen); err != nil {
		a.Query = t.Expr
		return err
	}
	a.Data, err = v.answers(ctx, server, a.Query, t.Instant)
	return err
}

// answers asks one query in both forms.
func (v View) answers(ctx context.Context, server *prometheus.Client, query string, instant bool) (data bool, err error) {
	from, to := v.grid()
	var last time.Time
	answer, err := server.Range(ctx, query, from, to, v.interval(), limits(), func(_ []page.Label, course []prometheus.Point) {
		for _, p := range course {
			if !math.IsNaN(p.Value) && p.At.After(last) {
				last = p.At
			}
		}
	})
	if err = whole(answer, err); err != nil {
		return false, fmt.Errorf("as a range: %w", err)
	}
	at := last
	if instant || last.IsZero() {
		at = v.To
	}
	answer, err = server.Query(ctx, query, at, limits(), func(_ []page.Label, value float64) {
		data = data || !math.IsNaN(value)
	})
	if err = whole(answer, err); err != nil {
		return false, fmt.Errorf("as an instant: %w", err)
	}
	return data && !last.IsZero(), nil
}

// whole is what is wrong with an answer that does not tell all, or not what the
// query seems to ask.
func whole(a prometheus.Answer, err error) error {
	switch {
	case err != nil:
		return err
	case a.Cut:
		return errors.New("more series than a panel can draw")
	case len(a.Warnings)+len(a.Doubts) > 0:
		return errors.New(strings.Join(append(a.Warnings, a.Doubts...), "; "))
	}
	return nil
}
