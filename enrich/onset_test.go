package enrich_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
)

// ranger is a source that answers ranges as its function says.
type ranger struct {
	source
	ranges []string
	answer func(query string) ([]enrich.Series, error)
}

func (r *ranger) Range(_ context.Context, query string, from, to time.Time, step time.Duration) ([]enrich.Series, page.Query, error) {
	r.ranges = append(r.ranges, query)
	if to.Sub(from) != time.Hour || step < 5*time.Second {
		return nil, page.Query{}, errors.New("an odd span")
	}
	s, err := r.answer(query)
	return s, page.Query{Source: "main", Text: query, Series: len(s)}, err
}

// oracle is a dater that knows.
type oracle struct{ known []page.Change }

func (o *oracle) Date(_ page.Course, points []enrich.Point, seen []enrich.Series, own string) (page.Onset, []page.Change, bool) {
	if len(points) == 0 {
		return page.Onset{}, nil, false
	}
	return page.Onset{At: points[0].At}, []page.Change{{ID: own, Title: own, Labels: page.Labels{}}}, len(seen) == 1
}

func (o *oracle) Follows(_ page.Onset, _ page.Context, where page.Labels, known []page.Change) ([]page.Change, *page.Change) {
	o.known = known
	return known, &page.Change{Title: where["service"]}
}

func datable() page.Problem {
	p := problem(alert("A", "critical", "up == 0"))
	p.Group.CommonLabels = page.Labels{"service": "checkout"}
	tr := trait(9, "version", "v42")
	tr.Source, tr.Course = "main", &page.Course{Query: "course", Seen: "seen", By: "version"}
	p.Context = page.Context{Traits: []page.Trait{tr}, Queries: []page.Query{{Text: "first"}}}
	return p
}

func TestSince(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := &ranger{answer: func(string) ([]enrich.Series, error) {
		return []enrich.Series{{Points: []enrich.Point{{At: now, Value: 1}}}}, nil
	}}
	o := &oracle{}
	e := enrich.New(enrich.Options{Sources: []enrich.Named{{Name: "main", Source: r}}, Dater: o, Now: func() time.Time { return now }})
	p := datable()
	c, ok := e.Since(t.Context(), p, []page.Change{{ID: "reported"}})
	require.True(t, ok)
	require.Equal(t, []string{"course", "seen"}, r.ranges)
	require.Equal(t, now, c.Onset.At)
	require.Equal(t, "checkout", c.Onset.After.Title)
	require.Equal(t, []page.Change{{ID: "reported"}, {ID: "v42", Title: "v42", Source: "main", Labels: page.Labels{"service": "checkout"}}}, c.Changes)
	require.Len(t, c.Queries, 3)
	require.Nil(t, p.Context.Onset)
	require.Len(t, p.Context.Queries, 1, "the argument is left as it was")

	for name, change := range map[string]func(p *page.Problem){
		"hidden":         func(p *page.Problem) { p.Context.Traits[0].Course.Query = `up{user="<redacted>"}` },
		"another source": func(p *page.Problem) { p.Context.Traits[0].Source = "gone" },
		"no course":      func(p *page.Problem) { p.Context.Traits[0].Course = nil },
		"nothing known":  func(p *page.Problem) { p.Context = page.Context{} },
	} {
		r.ranges = nil
		p := datable()
		change(&p)
		_, ok := e.Since(t.Context(), p, nil)
		require.False(t, ok, name)
		require.Empty(t, r.ranges, name)
	}
	r.answer = func(string) ([]enrich.Series, error) { return nil, errors.New("down") }
	_, ok = e.Since(t.Context(), datable(), nil)
	require.False(t, ok)
}

func TestImpactAndVersionsComeFromTheTableAlone(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	src := &source{table: func(_ context.Context, q enrich.Question) (*enrich.Table, error) {
		t := at(q)
		t.Model, t.Share = enrich.Ratio, .05
		t.Cols = []enrich.Column{
			{Name: "deploy", Role: "deploy", Dict: []string{"", "v41", "v42"}, Codes: []uint32{1, 1, 2, 2}},
			{Name: "dc", Role: "datacentre", Dict: []string{"", "a", "b"}, Codes: []uint32{1, 2, 1, 1}},
			{Name: "user", Role: "user", Dict: []string{"", "ann", "bob", "cy"}, Codes: []uint32{1, 2, 2, 3}},
		}
		t.Failing, t.Weight = []float64{0, 1, 40, 40}, []float64{500, 300, 100, 100}
		t.Value, t.Bad = make([]float64, 4), make([]bool, 4)
		t.Course = func(by string, _ page.Labels) page.Course { return page.Course{Query: "course", By: by} }
		return t, nil
	}}
	roles := enrich.Roles{"deploy": {"deploy"}, "datacentre": {"dc"}, "user": {"user"}}
	finding := enrich.Finding{Traits: []page.Trait{trait(9, "deploy", "v42")}}
	ask := func(redact ...string) page.Context {
		e := enrich.New(enrich.Options{
			Sources: []enrich.Named{{Name: "main", Source: src}}, Explainer: explainer{"A": finding}, Roles: roles, Redact: redact, Now: func() time.Time { return now },
		})
		return e.Context(t.Context(), problem(alert("A", "critical", "up == 0")))
	}
	c := ask()
	require.Equal(t, &page.Impact{
		Unit: page.Events, Bad: 81, All: 1000, Inside: .2,
		Datacentres: []string{"a"}, InDC: page.Count{Matched: 1, Total: 2}, Users: page.Count{Matched: 2, Total: 3},
	}, c.Impact)
	require.Equal(t, []page.Share{{Value: "v42", Bad: .4}, {Value: "v41", Bad: 1.0 / 800}}, c.Traits[0].Versions)
	require.Equal(t, "deploy", c.Traits[0].Course.By)
	also := trait(9, "user", "bob")
	also.Also = []page.Label{{Name: "deploy", Value: "v42"}}
	finding.Traits = []page.Trait{also}
	require.Equal(t, []page.Share{{Value: "v42", Bad: .4}, {Value: "v41", Bad: 1.0 / 800}}, ask().Traits[0].Versions, "a version by another name")
	finding.Traits = []page.Trait{trait(9, "deploy", "v42", "dc", "a")}
	require.Equal(t, []page.Share{{Value: "v42", Bad: .4}, {Value: "v41"}}, ask().Traits[0].Versions, "among those in dc a")
	finding.Traits = []page.Trait{trait(9, "user", "bob", "dc", "a")}
	require.Nil(t, ask().Traits[0].Versions)
	finding.Traits = []page.Trait{trait(9, "deploy", "v42")}
	c = ask("datacentre", "deploy")
	require.Empty(t, c.Impact.Datacentres)
	require.Equal(t, 1, c.Impact.InDC.Matched)
	require.Nil(t, c.Traits[0].Versions)
	require.Empty(t, c.Traits[0].Course.By)
}
