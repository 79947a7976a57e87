package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/expressions"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
)

type matrixCmd struct {
	worldFlags
	Only          []scenario.Kind `placeholder:"FAULT" help:"Only these kinds of fault."`
	Expr          []string        `placeholder:"NAME" help:"Only these expressions of lab/expressions/catalogue."`
	Stagger       time.Duration   `default:"75s" help:"Between one fault and the next."`
	Warm          time.Duration   `default:"90s" help:"How long the healthy fleet is scraped first."`
	Patience      time.Duration   `default:"120s" help:"How long pages and their dates are waited for, from the fault on."`
	Replicas      int             `default:"1" enum:"1,2" help:"Prometheus replicas."`
	Alertmanagers int             `default:"1" enum:"1,2" help:"Alertmanagers in the cluster."`
	Bar           float64         `default:"95" help:"Least share of first messages that must be right, in per cent."`
	Output        string          `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

// Help shows examples under the flags.
func (matrixCmd) Help() string {
	return `Every kind of fault strikes a service of its own, and all that can be wrong is wrong there, so
that alert expressions of all shapes fire. Each has its page; the first message must name the
fault's trait, or rightly say that there is none. Exit 0 only if 95 % do (--bar): on a machine that other work
starves, some come too late for their deadline.

  tocsin-lab matrix
  tocsin-lab matrix --only noisy-user --expr ErrorRatio --expr TenantQueue`
}

// Run is the command.
func (c *matrixCmd) Run(ctx context.Context, out *screen) error {
	say := out
	if c.Output == "json" {
		say = &screen{out: quiet{}}
	}
	o, err := c.options("matrix", say)
	if err != nil {
		return err
	}
	if o.Expressions, err = expressions.Named(c.Expr...); err != nil {
		return err
	}
	o.Services = []string{"checkout", "cart", "payments", "search", "catalog", "orders"}
	o.Unlimited = true // what is measured is the answer, not how fast Slack lets so many pages in
	o.Thanos, o.Replicas, o.Alertmanagers, o.PerHost = true, c.Replicas, c.Alertmanagers, 3
	o.Targets = expressions.Members * len(o.Services)
	w, err := begin(ctx, o, say, c.Warm)
	if err != nil {
		return err
	}
	defer w.Stop()
	kinds := c.Only
	if len(kinds) == 0 {
		kinds = scenario.Kinds()
	}
	say.title("%d expressions, %d faults, %s apart", len(o.Expressions), len(kinds), c.Stagger)
	scenes, err := drill.New(w).Matrix(ctx, drill.Matrix{Kinds: kinds, Stagger: c.Stagger, Patience: c.Patience, Tell: say.scene})
	if err != nil {
		return err
	}
	sums := summed(scenes, o.Settings.Scrape)
	if c.Output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(map[string]any{"settings": o.Settings.Name, "seed": c.Seed, "sums": sums, "scenes": scenes})
	} else {
		out.matrix(scenes, sums, o.Settings.Scrape)
	}
	return errors.Join(err, sums[len(sums)-1].verdict(c.Bar))
}

// sum is what a scene, or all of them, came to.
type sum struct {
	Name     string        `json:"fault"`
	Cells    int           `json:"expressions"`
	Paged    int           `json:"paged"`
	Right    int           `json:"right"`
	Queries  float64       `json:"queries_per_page"`
	Series   float64       `json:"series_per_page"`
	Bytes    float64       `json:"bytes_per_page"`
	After50  time.Duration `json:"after_fault_p50_ns"`
	After95  time.Duration `json:"after_fault_p95_ns"`
	Answer50 time.Duration `json:"answered_p50_ns"`
	Answer95 time.Duration `json:"answered_p95_ns"`
	Onset    onsets        `json:"onset"`
}

// onsets is how well dates were told.
type onsets struct {
	Of       int           `json:"of"` // pages
	Dated    int           `json:"dated"`
	Within   int           `json:"within"` // one scrape interval
	Inside   int           `json:"inside"` // the interval that the page gives
	Off50    time.Duration `json:"off_p50_ns"`
	Off95    time.Duration `json:"off_p95_ns"`
	Innocent int           `json:"innocent_blamed"`
	Deploys  int           `json:"deploys"` // pages about a deploy that went wrong
	Named    int           `json:"deploys_named"`

	off []time.Duration
}

func (o *onsets) add(f scenario.Fault, d drill.Dating, scrape time.Duration) {
	o.Of++
	if f.Trait["version"] != "" {
		o.Deploys++
	}
	if !d.Known {
		return
	}
	o.Dated++
	o.off = append(o.off, d.Off.Abs())
	for n, is := range map[*int]bool{&o.Within: d.Off.Abs() <= scrape, &o.Inside: d.Inside, &o.Innocent: d.Innocent, &o.Named: d.Named} {
		if is {
			*n++
		}
	}
	o.Off50, o.Off95 = ttn.Quantile(o.off, 0.5), ttn.Quantile(o.off, 0.95)
}

// summed returns a line for each scene and one for all.
func summed(scenes []drill.Scene, scrape time.Duration) []sum {
	all := make([]sum, len(scenes)+1)
	total := &all[len(scenes)]
	total.Name = "all"
	var cells []drill.Cell
	for i, s := range scenes {
		all[i] = sumOf(string(s.Fault.Kind), s.Cells)
		cells = append(cells, s.Cells...)
	}
	*total = sumOf("all", cells)
	for i, s := range scenes {
		for _, c := range s.Cells {
			if c.Paged {
				all[i].Onset.add(s.Fault, c.Dating, scrape)
				all[len(scenes)].Onset.add(s.Fault, c.Dating, scrape)
			}
		}
	}
	return all
}

func sumOf(name string, cells []drill.Cell) sum {
	out := sum{Name: name, Cells: len(cells)}
	var after, answer []time.Duration
	for _, c := range cells {
		if !c.Paged {
			continue
		}
		out.Paged++
		if c.Right {
			out.Right++
		}
		out.Queries, out.Series, out.Bytes = out.Queries+float64(c.Queries), out.Series+float64(c.Series), out.Bytes+float64(c.Bytes)
		after, answer = append(after, c.Delivered), append(answer, c.Answered)
	}
	n := float64(max(1, out.Paged))
	out.Queries, out.Series, out.Bytes = out.Queries/n, out.Series/n, out.Bytes/n
	out.After50, out.After95 = ttn.Quantile(after, 0.5), ttn.Quantile(after, 0.95)
	out.Answer50, out.Answer95 = ttn.Quantile(answer, 0.5), ttn.Quantile(answer, 0.95)
	return out
}

// verdict is an error where less than bar per cent was right. An expression that
// never paged was not right either.
func (s sum) verdict(bar float64) error {
	var errs []error
	if 100*float64(s.Right) < bar*float64(s.Cells) {
		errs = append(errs, fmt.Errorf("%d of %d first messages are right, below %g %%", s.Right, s.Cells, bar))
	}
	if s.Onset.Innocent > 0 {
		errs = append(errs, fmt.Errorf("%d pages blame the deploy of ten minutes before", s.Onset.Innocent))
	}
	return errors.Join(errs...)
}

// scene tells what became of one fault.
func (s *screen) scene(one drill.Scene) {
	sum := sumOf("", one.Cells)
	s.line("  %s on %s at %s: %d of %d paged, %s, expected %s", one.Fault.Kind, one.Fault.Service, one.Fault.At.Format(time.TimeOnly),
		sum.Paged, sum.Cells, s.verdict(sum.Right == sum.Cells, "all right", fmt.Sprintf("%d wrong", sum.Cells-sum.Right)), one.Fault.Expected())
	for _, c := range one.Cells {
		switch line, _, _ := strings.Cut(c.Said, "\n"); {
		case !c.Paged:
			s.line("      %s %s", s.paint("31", c.Expression), "never paged")
		case !c.Right:
			s.line("      %s said %q", s.paint("31", c.Expression), line)
		}
	}
}

// matrix prints the table.
func (s *screen) matrix(scenes []drill.Scene, sums []sum, scrape time.Duration) {
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "  fault\texpressions\tpaged\tright\tqueries\tseries\tkB a page\tfault to page p50\tp95\twebhook to page p50\tp95\t")
	for _, m := range sums {
		fmt.Fprintf(t, "  %s\t%d\t%d\t%d\t%.1f\t%.0f\t%.0f\t%s\t%s\t%s\t%s\t\n", m.Name, m.Cells, m.Paged, m.Right,
			m.Queries, m.Series, m.Bytes/1000, seconds(m.After50), seconds(m.After95), seconds(m.Answer50), seconds(m.Answer95))
	}
	_ = t.Flush() // the screen is all there is to write to
	t = tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "  onset\tpages\tdated\twithin a scrape\tinside its interval\toff by p50\tp95\tinnocent blamed\tdeploy named\t")
	for _, m := range sums {
		s.onset(t, m.Name, m.Onset)
	}
	_ = t.Flush()
	for _, one := range scenes {
		for _, c := range one.Cells {
			if d := c.Dating; c.Paged && (!d.Known || d.Off.Abs() > scrape || d.Innocent) {
				s.line("  %s %s: %s", c.Kind, c.Expression, d)
			}
		}
	}
}

func (s *screen) onset(t *tabwriter.Writer, name string, o onsets) {
	named := ""
	if o.Deploys > 0 {
		named = fmt.Sprintf("%d/%d", o.Named, o.Deploys)
	}
	fmt.Fprintf(t, "  %s\t%d\t%d\t%d\t%d\t%s\t%s\t%d\t%s\t\n", name, o.Of, o.Dated, o.Within, o.Inside, seconds(o.Off50), seconds(o.Off95), o.Innocent, named)
}
