package enrichtest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// Bucket is what a log store counts of one combination of terms: a composite
// terms aggregation of Elasticsearch with a filter on level inside, or Loki's
// count_over_time by labels, once for errors and once for all.
type Bucket struct {
	Terms       page.Labels
	Errors, All float64
}

// Terms is a source over the counts of a log store: the smallest there can be,
// to show what a source owes that knows no PromQL. It asks for what the alert's
// labels select, needs no expression, and shows its members in Lucene's words.
type Terms struct {
	Name    string
	Roles   enrich.Roles
	Buckets []Bucket
}

var (
	_ enrich.Source   = (*Terms)(nil)
	_ enrich.Redactor = (*Terms)(nil)
)

// Table has a row for each bucket that carries the alert's labels, as far as it
// has them.
func (s *Terms) Table(_ context.Context, q enrich.Question) (*enrich.Table, error) {
	scope := page.Labels{}
	var rows []Bucket
	for _, b := range s.Buckets {
		fits := true
		for name, v := range q.Labels {
			if have, ok := b.Terms[name]; ok {
				scope[name] = v
				fits = fits && have == v
			}
		}
		if fits {
			rows = append(rows, b)
		}
	}
	t := &enrich.Table{
		Model: enrich.Ratio, Source: s.Name, Alert: q.Alert,
		Query: func(ls page.Labels) string {
			all := scope.Clone()
			maps.Copy(all, ls)
			return lucene(all)
		},
	}
	at := map[string]int{}
	for i, b := range rows {
		for _, name := range b.Terms.Names() {
			if _, ok := at[name]; !ok {
				at[name] = len(t.Cols)
				t.Cols = append(t.Cols, enrich.Column{Name: name, Role: s.Roles.Of(name), Dict: []string{""}, Codes: make([]uint32, len(rows))})
			}
			col := &t.Cols[at[name]]
			code := slices.Index(col.Dict, b.Terms[name])
			if code < 0 {
				code = len(col.Dict)
				col.Dict = append(col.Dict, b.Terms[name])
			}
			col.Codes[i] = uint32(code)
		}
		t.Failing, t.Weight = append(t.Failing, b.Errors), append(t.Weight, b.All)
		t.Value, t.Bad = append(t.Value, b.Errors/math.Max(b.All, 1)), append(t.Bad, b.Errors > 0)
	}
	t.Queries = []page.Query{{Source: s.Name, Text: lucene(scope), At: q.At, Series: len(rows)}}
	return t, nil
}

func lucene(ls page.Labels) string {
	var parts []string
	for _, name := range ls.Names() {
		parts = append(parts, fmt.Sprintf("%s:%q", name, ls[name]))
	}
	return strings.Join(parts, " AND ")
}

// Redact hides the values of labels in a query of its own.
func (s *Terms) Redact(query string, hides func(label string) bool) (string, bool) {
	found := false
	out := regexp.MustCompile(`([A-Za-z_.]+):"(?:[^"\\]|\\.)*"`).ReplaceAllStringFunc(query, func(pair string) string {
		name, _, _ := strings.Cut(pair, ":")
		if !hides(name) {
			return pair
		}
		found = true
		return name + `:"` + page.Redacted + `"`
	})
	return out, found
}
