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

// What happened to a problem quotes labels too: what changed, silences, a storm.
func TestRedactedValuesStandNowhereInTheLifeOfAProblem(t *testing.T) {
	a := page.Alert{Labels: page.Labels{"alertname": "Slow", "user": `a."smith"@example.org`}}
	a.ID = a.Labels.ID()
	p := problem(page.Member{Alert: a, Open: true})
	p.Ack = &page.Ack{By: "Jane"}
	p.Updates = []page.Update{
		{N: 1, Kind: page.UpdateJoined, Text: `1 joined: user=a."smith"@example.org`, Link: "https://g.example.org/?q=a.%22smith%22%40example.org"},
		{N: 2, Kind: page.UpdateNote, Actor: "Jane", Text: "user=" + page.Redacted + " again"},
	}
	p.Silences = []page.Silence{{ID: "1", Matchers: []string{`alertname="Slow"`, `user="a.\"smith\"@example.org"`}, Error: `refused a."smith"@example.org`}}
	p.Storm = &page.Storm{Rules: map[string]page.Tally{"Slow": {Sample: page.Labels{"user": "b.smith@example.org", "path": "/b.smith@example.org"}}}}
	before := p.View()
	v := before.Redact("user")
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "smith")
	require.Equal(t, "Jane", v.Ack.By)
	require.Equal(t, "1 joined: user=<redacted>", v.Updates[0].Text)
	require.Equal(t, "user=<redacted> again", v.Updates[1].Text)
	require.Equal(t, []string{`alertname="Slow"`, "user=<redacted>"}, v.Silences[0].Matchers)
	require.Contains(t, before.Updates[0].Text, "smith", "the page it was made from is left as it was")
	require.Contains(t, before.Storm.Rules["Slow"].Sample["user"], "smith")

	gone := page.Page{Silences: []page.Silence{{Matchers: []string{`user="a"`}}}}
	require.Equal(t, "user=<redacted>", gone.Redact("user").Silences[0].Matchers[0], "although no alert has the label any more")
}

// A value that stands in the mark of what is hidden does not tear it apart.
func TestTheMarkOfWhatIsHiddenStays(t *testing.T) {
	p := problem(page.Member{Alert: page.Alert{ID: "x", Labels: page.Labels{"user": "e"}}, Open: true})
	p.Updates = []page.Update{{N: 1, Text: "user=<redacted> left"}}
	require.Equal(t, "us<redacted>r=<redacted> l<redacted>ft", p.View().Redact("user").Updates[0].Text)
}
