package enrich

import (
	"fmt"
	"slices"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// hides reports whether the values of a label stay in the house: any role that
// names the label is enough.
func (e *Enricher) hides(label string) bool {
	return slices.ContainsFunc(e.Redact, func(role string) bool { return slices.Contains(e.Roles[role], label) })
}

// redactor replaces hidden values. Within one context a value has one number,
// so that a reader sees what is the same.
type redactor struct {
	hides func(label string) bool
	any   bool // something is to be hidden at all
	seen  []string
}

func (r *redactor) value(label, v string) string {
	if !r.hides(label) || v == "" {
		return v
	}
	for i, s := range r.seen {
		if s == v {
			return fmt.Sprintf("<redacted %d>", i+1)
		}
	}
	r.seen = append(r.seen, v)
	return fmt.Sprintf("<redacted %d>", len(r.seen))
}

func (r *redactor) labels(ls page.Labels) page.Labels {
	if ls == nil {
		return nil
	}
	out := make(page.Labels, len(ls))
	for _, name := range ls.Names() {
		out[name] = r.value(name, ls[name])
	}
	return out
}

// visible returns the labels that may be shown, and whether any may not.
func (r *redactor) visible(ls page.Labels) (page.Labels, bool) {
	out := page.Labels{}
	for name, v := range ls {
		if !r.hides(name) {
			out[name] = v
		}
	}
	return out, len(out) < len(ls)
}

// query hides values in a query's text, and says whether it had to: such a
// query shows the reader what was asked, and can no longer be asked.
func (r *redactor) query(s Named, text string) (string, bool) {
	if !r.any {
		return text, false
	}
	if own, ok := s.Source.(Redactor); ok {
		return own.Redact(text, r.hides)
	}
	return expr.Redact(text, r.hides)
}
