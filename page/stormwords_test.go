package page_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

func TestAStormInWords(t *testing.T) {
	p := page.Problem{State: page.Open, Receiver: "team", Storm: &page.Storm{Total: 1, Open: 1, Rules: map[string]page.Tally{"Slow": {Severity: page.Warning, Total: 1, Open: 1}}}}
	v := p.View()
	require.Equal(t, "Storm at team: 1 new problem, 1 open", v.Title)
	require.Equal(t, "too many new problems to tell of each: 1 rule, worst Slow (warning)", v.Headline)

	p.Storm = &page.Storm{Total: 100, Open: 40, Rules: map[string]page.Tally{"": {Severity: page.Warning, Total: 5}}}
	for i := range 9 {
		p.Storm.Rules[fmt.Sprint("Critical", i)] = page.Tally{Severity: page.Critical, Total: 1, Open: i}
		p.Storm.Rules[fmt.Sprint("Warning", i)] = page.Tally{Severity: page.Warning, Total: 10 + i}
	}
	v = p.View()
	for i := range 9 {
		require.Contains(t, v.Summary, fmt.Sprintf("1 Critical%d (critical)", i), "every critical rule is named")
	}
	require.True(t, strings.HasPrefix(v.Summary, "1 Critical8 (critical)"), "those with the most open first")
	require.True(t, strings.HasSuffix(v.Summary, "14 Warning4 (warning), 51 of other rules"), v.Summary)

	a := page.Tally{Severity: page.Critical, Total: 12, Open: 10}.Alert("Slow", page.Labels{"dc": "dc1", "severity": "x"})
	require.Equal(t, page.Labels{"alertname": "Slow", "severity": "critical", "dc": "dc1"}, a.Labels)
	require.Equal(t, "10 of 12 problems open", a.Annotations["summary"])
	require.Equal(t, "other rules", page.Tally{}.Alert("", nil).Name())
	require.NotEqual(t, page.StormID("team"), page.StormID("other"))
}
