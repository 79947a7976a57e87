package enrich

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

// Two zones a datacentre; all of ams fails. Users are told by the finest label.
func TestImpactCountsDatacentresNotZonesAndUsersNotTenants(t *testing.T) {
	table := &Table{
		Model: Ratio,
		Cols: []Column{
			{Name: "zone", Role: roleDatacentre, Dict: []string{"", "ams-a", "ams-b", "fra-a", "fra-b"}, Codes: []uint32{1, 2, 3, 4}},
			{Name: "dc", Role: roleDatacentre, Dict: []string{"", "ams", "fra"}, Codes: []uint32{1, 1, 2, 2}},
			{Name: "region", Role: roleDatacentre, Dict: []string{"", "eu"}, Codes: []uint32{1, 1, 1, 1}},
			{Name: "tenant", Role: roleUser, Dict: []string{"", "acme", "else"}, Codes: []uint32{1, 1, 2, 2}},
			{Name: "user", Role: roleUser, Dict: []string{"", "u1", "u2", "u3", "u4"}, Codes: []uint32{1, 2, 3, 4}},
		},
		Failing: []float64{50, 50, 0, 0}, Weight: []float64{100, 100, 100, 100},
		Value: []float64{.5, .5, 0, 0}, Bad: []bool{true, true, false, false}, Share: .1,
	}
	got := impactOf(table, page.Labels{"dc": "ams"})
	require.Equal(t, []string{"ams"}, got.Datacentres)
	require.Equal(t, page.Count{Matched: 1, Total: 2}, got.InDC)
	require.Equal(t, page.Count{Matched: 2, Total: 4}, got.Users)
	require.InDelta(t, .5, got.Inside, 1e-9)
}
