package drill

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin/tocsin/lab/expressions"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/page"
)

// Cell is what became of one expression under one fault.
type Cell struct {
	Kind       scenario.Kind `json:"fault"`
	Service    string        `json:"service"`
	Expression string        `json:"expression"`
	Expected   string        `json:"expected"`
	Said       string        `json:"said,omitempty"`      // the first Slack message, all of it
	PagerDuty  string        `json:"pagerduty,omitempty"` // the title of the incident as it was triggered
	Paged      bool          `json:"paged"`
	Right      bool          `json:"right"`        // both say it
	Delivered  time.Duration `json:"delivered_ns"` // from the fault to the message
	Answered   time.Duration `json:"answered_ns"`  // from the webhook to the message
	Queries    int           `json:"queries"`
	Series     int           `json:"series"`
	Bytes      int64         `json:"bytes"`
	Dating     Dating        `json:"dating"`
	Page       page.Page     `json:"-"`
}

// Scene is one fault and its cells.
type Scene struct {
	Fault scenario.Fault `json:"fault"`
	Cells []Cell         `json:"cells"`

	due   time.Time
	pages map[string]page.Page // by expression, as they were last seen
}

// Matrix says how faults are to strike.
type Matrix struct {
	Kinds    []scenario.Kind // one service each
	Stagger  time.Duration   // between them
	Patience time.Duration   // for pages and their dates, from the fault on
	Every    time.Duration   // between looks at the pages; 0 is 3 s
	Tell     func(Scene)     // is told of each scene when it is over
}

// Matrix strikes faults, each on a service of its own, and returns what the
// first message of every expression that they make fire said.
func (r *Runner) Matrix(ctx context.Context, m Matrix) ([]Scene, error) {
	services := r.World.Fleet.Services()
	if len(m.Kinds) > len(services) {
		return nil, fmt.Errorf("%d faults need a service each, and there are %d", len(m.Kinds), len(services))
	}
	begin := time.Now()
	scenes := make([]Scene, len(m.Kinds))
	for i := range scenes {
		scenes[i].due = begin.Add(time.Duration(i) * m.Stagger)
		scenes[i].pages = map[string]page.Page{}
	}
	tick := time.NewTicker(cmp.Or(m.Every, 3*time.Second))
	defer tick.Stop()
	for over := 0; over < len(scenes); {
		pages, err := r.Pages(ctx, "open")
		if err != nil {
			pages = nil // the next look may see them
		}
		for i := range scenes {
			done, err := r.turn(ctx, &scenes[i], m.Kinds[i], services[i], m.Patience, pages)
			if err != nil {
				return scenes, err
			}
			if done {
				over++
				m.Tell(scenes[i])
			}
		}
		select {
		case <-ctx.Done():
			return scenes, ctx.Err()
		case err := <-r.World.Failed():
			return scenes, err
		case <-tick.C:
		}
	}
	return scenes, nil
}

// turn strikes a scene's fault when it is due and ends the scene when all its
// pages are there and dated, or its time is over. done is true once.
func (r *Runner) turn(ctx context.Context, s *Scene, kind scenario.Kind, service string, patience time.Duration, pages []page.Page) (done bool, err error) {
	now := time.Now()
	switch {
	case s.Cells != nil || now.Before(s.due):
		return false, nil
	case s.Fault.ID == "":
		if s.Fault, err = r.World.Board.Sicken(kind, service); err != nil {
			return false, err
		}
		return false, r.announce(ctx, s.Fault)
	}
	cells := r.cells(s, pages)
	whole := !slices.ContainsFunc(cells, func(c Cell) bool { return c.Page.Clock.Sent.IsZero() || c.Page.Onset == nil })
	if !whole && now.Before(s.Fault.At.Add(patience)) {
		return false, nil
	}
	r.World.Board.Heal(s.Fault.ID)
	slack, pd := r.World.FakeSlack.Ledger().Roots(), r.World.FakePD.Ledger().Incidents
	for i := range cells {
		cells[i].read(s.Fault, slack, pd)
	}
	s.Cells = cells
	return true, nil
}

// cells are the expressions that a fault makes fire, with their pages.
func (r *Runner) cells(s *Scene, pages []page.Page) []Cell {
	f, out := s.Fault, []Cell{}
	for _, e := range r.World.Expressions {
		if !e.Fires(f.Kind) {
			continue
		}
		c := Cell{Kind: f.Kind, Service: f.Service, Expression: e.Name, Expected: f.Expected()}
		if p, ok := pageOf(f, e, pages); ok {
			s.pages[e.Name] = p
		}
		c.Page = s.pages[e.Name]
		out = append(out, c)
	}
	return out
}

// pageOf finds the page about an expression at the place of a fault.
func pageOf(f scenario.Fault, e expressions.Expression, pages []page.Page) (page.Page, bool) {
	for _, p := range pages {
		if p.Clock.Received.Before(f.At) {
			continue
		}
		for _, a := range p.Alerts {
			if a.Name() == e.Name && a.Labels["service"] == f.Service {
				return p, true
			}
		}
	}
	return page.Page{}, false
}

// read fills in what the page cost, and what its message said first.
func (c *Cell) read(f scenario.Fault, slack []fakeslack.Message, pd []fakepagerduty.Incident) {
	p := c.Page
	for _, q := range p.Queries {
		if q.Cached {
			continue
		}
		c.Queries, c.Series, c.Bytes = c.Queries+1, c.Series+q.Series, c.Bytes+q.Bytes
	}
	c.Dating = dated(f, p)
	stands := func(ref string) bool {
		return slices.ContainsFunc(p.Receipts, func(r page.Receipt) bool { return r.Ref == ref })
	}
	m := slices.IndexFunc(slack, func(m fakeslack.Message) bool { return stands(m.TS) })
	in := slices.IndexFunc(pd, func(in fakepagerduty.Incident) bool { return stands(in.DedupKey) })
	if m < 0 || in < 0 {
		return
	}
	accepted := later(slack[m].Accepted, pd[in].Accepted)
	c.Paged, c.Said, c.PagerDuty = true, slack[m].First.Visible, pd[in].Title
	c.Right = f.Says(said(slack[m].First)) && f.Says(triggered(pd[in]))
	c.Delivered, c.Answered = accepted.Sub(f.At), accepted.Sub(p.Clock.Received)
}
