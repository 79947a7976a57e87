package page_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

func TestRedactedValuesStandNowhereOnThePage(t *testing.T) {
	a := page.Alert{
		Labels:       page.Labels{"alertname": "Slow", "user": "a.smith@example.org", "instance": "web-3", "path": "/home/a.smith@example.org"},
		Annotations:  page.Labels{"summary": "requests of a.smith@example.org fail on web-3", "dashboard": "https://g.example.org/d/1?user=a.smith%40example.org"},
		GeneratorURL: "http://p.example.org/graph?g0.expr=x%7Buser%3D%22a.smith%40example.org%22%7D",
	}
	a.ID = a.Labels.ID()
	p := problem(page.Member{Alert: a, Open: true})
	p.Group.GroupLabels = page.Labels{"alertname": "Slow", "user": "a.smith@example.org"}
	p.Context = page.Context{
		Traits:  []page.Trait{{Labels: page.Labels{"instance": "web-3"}, Also: []page.Label{{Name: "user", Value: "a.smith@example.org"}}, Query: `x{user="a.smith@example.org"}`}},
		Notes:   []page.Note{{Text: "no answer about a.smith@example.org"}},
		Queries: []page.Query{{Text: `y{user="a.smith@example.org"}`}},
		Impact:  &page.Impact{Datacentres: []string{"a.smith@example.org"}},
		Onset:   &page.Onset{After: &page.Change{Kind: "block", Title: "a.smith@example.org", Labels: page.Labels{"user": "a.smith@example.org"}}},
		Changes: []page.Change{{ID: "x/a.smith@example.org", Labels: page.Labels{"user": "a.smith@example.org"}}},
	}
	p.Context.Traits[0].Course = &page.Course{Query: `x{user="a.smith@example.org"}`}
	p.Context.Traits[0].Versions = []page.Share{{Value: "a.smith@example.org"}}
	before := p.View()
	v := before.Redact("user")
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "smith")
	require.Contains(t, string(raw), "web-3", "other labels stay")
	require.Equal(t, "Slow · user=<redacted>", v.Title)
	require.Equal(t, a.ID, v.Alerts[0].ID)
	require.Contains(t, before.Title, "smith", "the page it was made from is left as it was")
	require.Equal(t, "a.smith@example.org", before.Alerts[0].Labels["user"])
	require.Equal(t, before, before.Redact())
}
