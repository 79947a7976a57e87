package enrich_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

// A source that knows no PromQL answers beside one that does, and alone where
// nobody knows the alert's expression: what only logs say is a trait.
func TestASourceOverTerms(t *testing.T) {
	var buckets []enrichtest.Bucket
	for i := range 40 {
		b := enrichtest.Bucket{All: 200, Errors: 1, Terms: page.Labels{
			"service": "checkout", "container_id": fmt.Sprintf("c%d", i), "deploy": "v41", "user": fmt.Sprintf("u%d", i%8),
		}}
		if i%5 == 0 {
			b.Terms["deploy"], b.Errors = "v42", 80
		}
		buckets = append(buckets, b, enrichtest.Bucket{Terms: page.Labels{"service": "search"}, All: 500, Errors: 500})
	}
	metrics := &source{table: func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
		if q.Expr == "" {
			return nil, enrich.ErrNoRule
		}
		return at(q), nil
	}}
	ask := func(p page.Problem, redact ...string) page.Context {
		all := enrich.Roles{"deploy": {"deploy"}, "host": {"container_id"}, "user": {"user"}}
		e := enrich.New(enrich.Options{
			Sources:   []enrich.Named{{Name: "main", Source: metrics}, {Name: "logs", Source: &enrichtest.Terms{Name: "logs", Roles: all, Buckets: buckets}}},
			Explainer: traits.New(all), Roles: all, Redact: redact,
		})
		return e.Context(t.Context(), p)
	}
	for name, text := range map[string]string{"beside metrics": `up == 0`, "alone": ""} {
		got := ask(problem(alert("A", "critical", text, "service", "checkout")))
		require.Len(t, got.Traits, 1, "%s: %v", name, got.Notes)
		tr := got.Traits[0]
		require.Equal(t, page.Labels{"deploy": "v42"}, tr.Labels)
		require.Equal(t, "logs", tr.Source)
		require.Equal(t, `deploy:"v42" AND service:"checkout"`, tr.Query)
		require.Equal(t, []page.Share{{Value: "v42", Bad: .4}, {Value: "v41", Bad: .005}}, tr.Versions)
		require.Equal(t, "service:\"checkout\"", got.Queries[len(got.Queries)-1].Text)
		require.InDelta(t, 672, got.Impact.Bad, 0)
		require.Nil(t, tr.Course, "it has no course: nobody asks since when")
	}
	p := problem(alert("A", "critical", "", "service", "checkout", "user", "u5"))
	got := ask(p, "user", "deploy")
	raw := fmt.Sprintf("%+v", got)
	require.NotContains(t, raw, "u5")
	require.Contains(t, got.Queries[len(got.Queries)-1].Text, `service:"checkout" AND user:"<redacted>"`)
}
