package traits_test

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/traits"
	"github.com/tocsin/tocsin/page"
)

func explained(t *testing.T, csv string) enrich.Finding {
	t.Helper()
	table, err := traits.ReadCSV(strings.NewReader(csv), "")
	require.NoError(t, err)
	for c, col := range table.Cols {
		table.Cols[c].Role = roles().Of(col.Name)
	}
	return traits.New(roles()).Explain(table)
}

// Half of the failing members are scattered: no trait is their cause.
func TestMuchIsInNoTrait(t *testing.T) {
	s := newService(4, 1500)
	got := explained(t, s.csv("state", func(by map[string]string) float64 {
		if by["version"] == "v1" && by["endpoint"] == "/e2" {
			return .9
		}
		return .1
	}))
	require.Len(t, got.Traits, 1, brief(got))
	require.Equal(t, []string{page.Percent(1-got.Traits[0].Share) + " of what is bad is in no trait: its cause may be one that no label names"}, got.Notes)

	got = explained(t, s.csv("state", func(by map[string]string) float64 {
		if by["version"] == "v1" {
			return .9
		}
		return 0
	}))
	require.Len(t, got.Traits, 1, brief(got))
	require.Empty(t, got.Notes)
}

func TestSpreadEvenly(t *testing.T) {
	for _, kind := range []string{"state", "ratio", "counter", "hist", "additive"} {
		s := newService(6, 1500)
		got := explained(t, s.csv(kind, func(map[string]string) float64 { return .3 }))
		require.Empty(t, got.Traits, kind)
		if kind == "state" || kind == "hist" {
			require.True(t, got.None, kind)
			require.Len(t, got.Notes, 1, kind)
			require.Regexp(t, `^spread evenly over version \(2 values\)(, |$)`, got.Notes[0], kind)
		}
		for _, n := range got.Notes {
			require.NotContains(t, n, "user", kind) // too many, and too few members of each
		}
	}
}

// All but two small members of a zone run one version, and it alone: nobody can
// tell which of the two it was, whatever is counted.
func TestRivalOfChanges(t *testing.T) {
	for kind, lines := range map[string][4]string{ // head; failing, healthy, small and failing
		"counter": {"base,now", "100,200", "100,100", "4,8"},
		"hist":    {"base_le_1,base_le_inf,now_le_1,now_le_inf", "95,5,50,50", "95,5,95,5", "29,2,22,9"},
	} {
		var b strings.Builder
		fmt.Fprintln(&b, "zone,version,n,"+lines[0])
		for i := range 90 {
			where, what := "z0,v0", lines[2]
			switch {
			case i < 2:
				where, what = "z1,v0", lines[3]
			case i < 32:
				where, what = "z1,v1", lines[1]
			}
			fmt.Fprintf(&b, "%s,%d,%s\n", where, i%7, what)
		}
		got := explained(t, b.String())
		require.Len(t, got.Traits, 1, "%s: %s", kind, brief(got))
		top := got.Traits[0]
		names := []string{top.Labels.String(), top.Rival.String()}
		slices.Sort(names)
		require.Equal(t, []string{"version=v1", "zone=z1"}, names, kind)
		require.Equal(t, page.Count{Matched: 1, Total: 1}, top.Agree, kind)
		require.Equal(t, "likely", top.Strength, kind)
	}
}

// A cause that only one of two earlier windows shows is not strong.
func TestAgreementOfCounters(t *testing.T) {
	s := newService(9, 1500)
	table, err := traits.ReadCSV(strings.NewReader(s.csv("counter", func(by map[string]string) float64 {
		if by["zone"] == "z1" {
			return .5
		}
		return 0
	})), "")
	require.NoError(t, err)
	weekly := make([]float64, table.Rows()) // it was so a week ago
	for i, n := range table.Weight {
		weekly[i] = math.Round(n * .9)
	}
	table.Past = append(table.Past, enrich.Past{Name: "1w", Weight: weekly})
	got := traits.New(roles()).Explain(table)
	require.Len(t, got.Traits, 1, brief(got))
	require.Equal(t, page.Labels{"zone": "z1"}, got.Traits[0].Labels)
	require.Equal(t, page.Count{Matched: 1, Total: 2}, got.Traits[0].Agree)
	require.Equal(t, "likely", got.Traits[0].Strength)
}

// What was read is held once, and to explain it takes no more than twice of that.
func TestMemory(t *testing.T) {
	var text bytes.Buffer
	wide := fleetWithPast(100_000)
	for _, c := range wide.Cols {
		fmt.Fprint(&text, c.Name, ",")
	}
	fmt.Fprintln(&text, "base_err,base_total,now_err,now_total")
	for i := range wide.Rows() {
		for _, c := range wide.Cols {
			fmt.Fprint(&text, c.Dict[c.Codes[i]], ",")
		}
		fmt.Fprintln(&text, wide.Past[0].Failing[i], ",", wide.Past[0].Weight[i], ",", wide.Failing[i], ",", wide.Weight[i])
	}
	encoded := float64(wide.Rows()) * float64(4*len(wide.Cols)+4*8)
	held := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := held()
	table, err := traits.ReadCSV(bytes.NewReader(text.Bytes()), "")
	require.NoError(t, err)
	require.Less(t, held()-before, 1.3*encoded)
	runtime.KeepAlive(&text)

	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	require.Len(t, traits.Causes(table).Causes, 2)
	runtime.ReadMemStats(&to)
	require.Less(t, float64(to.TotalAlloc-from.TotalAlloc), 2*encoded)
}
