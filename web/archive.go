package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Archive reads pages, and what belongs to them, as they may be shown. All
// fields must be set.
type Archive struct {
	Store  store.Store
	Redact func() []string          // labels whose values are not shown
	Unsent func(target string) bool // a target in shadow: nobody was told by it
}

const (
	maxReceipts = 200 // of one episode
	maxEntries  = 3 * store.TimelineLines
	batch       = 100 // records that are read at once
)

// Page returns a page with its receipts: of the episode, or of the latest where
// that is 0. store.ErrNotFound where there is none.
func (a *Archive) Page(ctx context.Context, problem string, episode int) (page.Page, error) {
	v, err := a.whole(ctx, problem, episode)
	if err != nil {
		return page.Page{}, err
	}
	v = v.Redact(a.Redact()...)
	return v, a.receipts(ctx, &v)
}

// View is the page that a problem is now, with the receipts of its episode.
func (a *Archive) View(ctx context.Context, p page.Problem) (page.Page, error) {
	v := p.View().Redact(a.Redact()...)
	return v, a.receipts(ctx, &v)
}

// whole returns a page with all that may not be shown.
func (a *Archive) whole(ctx context.Context, problem string, episode int) (page.Page, error) {
	p, err := a.problem(ctx, problem)
	if err != nil {
		return page.Page{}, err
	}
	if episode == 0 || episode == p.Episode {
		return p.View(), nil
	}
	return a.record(ctx, store.PageKey(problem, episode))
}

func (a *Archive) record(ctx context.Context, key string) (page.Page, error) {
	var v page.Page
	rec, err := a.Store.Get(ctx, key)
	if err != nil {
		return v, fmt.Errorf("read page: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &v); err != nil {
		return v, fmt.Errorf("read page %s: %w", key, err)
	}
	return v, nil
}

func (a *Archive) problem(ctx context.Context, id string) (page.Problem, error) {
	var p page.Problem
	rec, err := a.Store.Get(ctx, store.ProblemKey(id))
	if err != nil {
		return p, fmt.Errorf("read problem: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &p); err != nil {
		return p, fmt.Errorf("read problem %s: %w", id, err)
	}
	return p, nil
}

// receipts adds what came of the page's deliveries, and sets its clock by the
// first of them that told somebody.
func (a *Archive) receipts(ctx context.Context, v *page.Page) error {
	recs, err := a.Store.Scan(ctx, store.ReceiptPrefix(v.Problem, v.Episode), "", maxReceipts)
	if err != nil {
		return fmt.Errorf("read receipts: %w", err)
	}
	v.Receipts = nil
	for _, rec := range recs {
		var r page.Receipt
		if err := store.Unmarshal(rec.Value, &r); err != nil {
			return fmt.Errorf("read receipt %s: %w", rec.Key, err)
		}
		v.Receipts = append(v.Receipts, r)
		if a.Unsent(r.Target) {
			continue
		}
		if !r.First.IsZero() && (v.Clock.Sent.IsZero() || r.First.Before(v.Clock.Sent)) {
			v.Clock.Sent = r.First
		}
	}
	return nil
}

// Timeline returns what every room wrote down about an episode, or about the
// latest where that is 0, oldest first.
func (a *Archive) Timeline(ctx context.Context, problem string, episode int) ([]page.Entry, error) {
	v, err := a.whole(ctx, problem, episode)
	if err != nil {
		return nil, err
	}
	out, prefix := []page.Entry{}, store.TimelineOf(v.Problem, v.Episode)
	for after := ""; len(out) < maxEntries; {
		recs, err := a.Store.Scan(ctx, prefix, after, batch)
		if err != nil {
			return nil, fmt.Errorf("read timeline: %w", err)
		}
		for _, rec := range recs {
			var e page.Entry
			if err := store.Unmarshal(rec.Value, &e); err != nil {
				return nil, fmt.Errorf("read timeline %s: %w", rec.Key, err)
			}
			out, after = append(out, e), rec.Key
		}
		if len(recs) < batch {
			break
		}
	}
	slices.SortStableFunc(out, func(x, y page.Entry) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Revision, y.Revision))
	})
	var texts []string
	for _, e := range out {
		texts = append(append(texts, e.Text), e.Evidence...)
	}
	texts = a.hide(v, texts)
	for i, e := range out {
		out[i].Text, texts = texts[0], texts[1:]
		out[i].Evidence, texts = texts[:len(e.Evidence):len(e.Evidence)], texts[len(e.Evidence):]
	}
	return out, nil
}

// Chart returns the chart of an episode, or of the latest where that is 0;
// store.ErrNotFound where none was made.
func (a *Archive) Chart(ctx context.Context, problem string, episode int) (page.Chart, error) {
	var c page.Chart
	v, err := a.whole(ctx, problem, episode)
	if err != nil {
		return c, err
	}
	rec, err := a.Store.Get(ctx, store.ChartKey(v.Problem, v.Episode))
	if err != nil {
		return c, fmt.Errorf("read chart: %w", err)
	}
	if err := store.Unmarshal(rec.Value, &c); err != nil {
		return c, fmt.Errorf("read chart %s: %w", rec.Key, err)
	}
	texts := []*string{&c.Title, &c.Expr}
	for i := range c.Failing {
		texts = append(texts, &c.Failing[i].Name)
	}
	for i := range c.Marks {
		texts = append(texts, &c.Marks[i].Text)
	}
	said := make([]string, len(texts))
	for i, t := range texts {
		said[i] = *t
	}
	for i, text := range a.hide(v, said) {
		*texts[i] = text
	}
	return c, nil
}

// hide hides in texts what the whole page they belong to must hide: they are
// taken for its notes.
func (a *Archive) hide(v page.Page, texts []string) []string {
	labels := a.Redact()
	if len(labels) == 0 || len(texts) == 0 {
		return texts
	}
	v.Notes = make([]page.Note, len(texts))
	for i, t := range texts {
		v.Notes[i].Text = t
	}
	out := make([]string, len(texts))
	for i, n := range v.Redact(labels...).Notes {
		out[i] = n.Text
	}
	return out
}

func missing(err error) bool { return errors.Is(err, store.ErrNotFound) }
