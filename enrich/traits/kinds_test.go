package traits_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/traits"
)

// service is a made-up fleet with a past: pods on nodes in zones, an instance
// for each pod, versions, endpoints, users.
type service struct {
	r     *rand.Rand
	names []string
	rows  [][]string
	size  []float64
}

func newService(seed uint64, rows int) *service {
	s := &service{r: rand.New(rand.NewPCG(seed, 99)), names: []string{"job", "zone", "node", "pod", "instance", "version", "endpoint", "user"}}
	pods := 12 + s.r.IntN(20)
	node, version := make([]int, pods), make([]int, pods)
	for p := range pods {
		node[p], version[p] = s.r.IntN(8), s.r.IntN(2)
	}
	for range rows {
		p := s.r.IntN(pods)
		s.rows = append(s.rows, []string{
			"api", fmt.Sprint("z", node[p]%3), fmt.Sprint("n", node[p]), fmt.Sprint("p", p), fmt.Sprint("10.0.0.", p),
			fmt.Sprint("v", version[p]), fmt.Sprint("/e", s.r.IntN(6)), fmt.Sprint("u", int(40*s.r.Float64()*s.r.Float64())),
		})
		s.size = append(s.size, 20+300*s.r.ExpFloat64())
	}
	return s
}

func (s *service) poisson(mean float64) float64 {
	f := fleet{r: s.r}
	return f.poisson(mean)
}

// csv draws the measures of a kind; hit says how much worse a row is, 0 not at all.
func (s *service) csv(kind string, hit func(map[string]string) float64) string {
	var b strings.Builder
	measures := map[string]string{
		"ratio": "base_err,base_total,now_err,now_total", "counter": "base,now", "state": "firing", "additive": "real,predict",
		"hist": "base_le_0.1,base_le_1,base_le_+Inf,now_le_0.1,now_le_1,now_le_+Inf",
	}
	fmt.Fprintf(&b, "%s,%s\n", strings.Join(s.names, ","), measures[kind])
	for i, row := range s.rows {
		by := map[string]string{}
		for c, v := range row {
			by[s.names[c]] = v
		}
		h, n0, n1 := hit(by), s.poisson(s.size[i]), s.poisson(s.size[i]*1.2*math.Exp(.15*s.r.NormFloat64()))
		p := .01 * math.Exp(.5*s.r.NormFloat64())
		var m []float64
		switch kind {
		case "ratio":
			m = []float64{min(n0, s.poisson(n0*p)), n0, min(n1, s.poisson(n1*min(.9, p+h))), n1}
		case "counter":
			m = []float64{n0, s.poisson(n1 * (1 + 3*h))}
		case "state":
			m = []float64{0}
			if s.r.Float64() < .01+h {
				m[0] = 1
			}
		case "additive":
			m = []float64{s.size[i] * (1 + h), s.size[i] * (1 + .1*s.r.NormFloat64())}
		case "hist":
			m = []float64{s.poisson(n0 * .6), s.poisson(n0 * .37), s.poisson(n0 * .03), s.poisson(n1 * .6 * (1 - h)), s.poisson(n1 * .37), s.poisson(n1 * (.03 + .6*h))}
		}
		text := slices.Clone(row)
		for _, v := range m {
			text = append(text, fmt.Sprint(v))
		}
		fmt.Fprintln(&b, strings.Join(text, ","))
	}
	return b.String()
}

func report(t *testing.T, csv string) traits.Report {
	t.Helper()
	table, err := traits.ReadCSV(strings.NewReader(csv), "")
	require.NoError(t, err)
	return traits.Causes(table)
}

// sameRows says whether two conjunctions hold the same rows: pod and instance are one.
func sameRows(s *service, a, b map[string]string) bool {
	for _, row := range s.rows {
		in := [2]bool{true, true}
		for c, name := range s.names {
			for k, m := range []map[string]string{a, b} {
				if v, ok := m[name]; ok && v != row[c] {
					in[k] = false
				}
			}
		}
		if in[0] != in[1] {
			return false
		}
	}
	return true
}

func TestTheSameWindowTwiceSaysNone(t *testing.T) {
	s := newService(5, 2000)
	for kind, head := range map[string]string{"ratio": "base_err,base_total,now_err,now_total", "counter": "base,now", "additive": "real,predict"} {
		var b strings.Builder
		fmt.Fprintf(&b, "%s,%s\n", strings.Join(s.names, ","), head)
		for i, row := range s.rows {
			n := math.Round(s.size[i])
			m := fmt.Sprintf("%v,%v", n, n)
			if kind == "ratio" {
				bad := math.Round(n * s.r.Float64() * s.r.Float64())
				m = fmt.Sprintf("%v,%v,%v,%v", bad, n, bad, n)
			}
			fmt.Fprintf(&b, "%s,%s\n", strings.Join(row, ","), m)
		}
		require.True(t, report(t, b.String()).None, kind)
	}
}

func TestSeveralCausesAtOnce(t *testing.T) {
	right := 0
	for seed := range uint64(20) {
		s := newService(seed, 3000)
		r := report(t, s.csv("ratio", func(by map[string]string) float64 {
			switch {
			case by["zone"] == "z1":
				return .6
			case by["endpoint"] == "/e4":
				return .15
			}
			return 0
		}))
		got := map[string]bool{}
		for _, c := range r.Causes {
			got[c.Labels.String()] = true
		}
		if maps.Equal(got, map[string]bool{"zone=z1": true, "endpoint=/e4": true}) {
			right++
		} else {
			t.Log(seed, r)
		}
	}
	require.GreaterOrEqual(t, right, 18)
}

func TestOrderOfLinesDoesNotMatter(t *testing.T) {
	for _, kind := range traits.Kinds() {
		s := newService(11, 800)
		lines := strings.Split(strings.TrimSpace(s.csv(kind, func(by map[string]string) float64 {
			if by["version"] == "v1" {
				return .4
			}
			return 0
		})), "\n")
		want := report(t, strings.Join(lines, "\n"))
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(lines)-1, func(i, j int) { lines[i+1], lines[j+1] = lines[j+1], lines[i+1] })
		got := report(t, strings.Join(lines, "\n"))
		require.Len(t, got.Causes, len(want.Causes))
		for i := range got.Causes {
			require.Equal(t, want.Causes[i].Labels, got.Causes[i].Labels)
			require.InDelta(t, want.Causes[i].Score, got.Causes[i].Score, 1e-6)
			require.InDelta(t, want.Causes[i].Share, got.Causes[i].Share, 1e-9)
		}
	}
}

// Whatever the numbers, there is an answer and it is finite.
func TestHostileNumbers(t *testing.T) {
	for name, csv := range map[string]string{
		"no lines":      "a,base,now\n",
		"one line":      "a,base,now\nx,1,2\n",
		"no number":     "a,base,now\nx,NaN,2\ny,,3\nz,+Inf,4\n",
		"negative":      "a,real,predict\nx,-5,5\ny,-1,-1\nz,0,0\n",
		"huge":          "a,real,predict\nx,1e308,1\ny,1e14,1\nz,2,1e14\n",
		"all constant":  "a,firing\nx,1\nx,1\nx,1\n",
		"no base":       "a,base_err,base_total,now_err,now_total\nx,0,0,5,9\ny,0,0,1,9\n",
		"more than all": "a,base_err,base_total,now_err,now_total\nx,9,1,50,9\ny,0,0,1,9\n",
		"no events":     "a,base_le_1,base_le_inf,now_le_1,now_le_inf\nx,0,0,0,0\ny,0,0,0,0\n",
		"no label":      "firing\n0\n1\n",
	} {
		t.Run(name, func(t *testing.T) {
			table, err := traits.ReadCSV(strings.NewReader(csv), "")
			require.NoError(t, err)
			finite(t, traits.Causes(table))
			traits.New(nil).Explain(table)
		})
	}
}

func TestNothingToCompare(t *testing.T) {
	for csv, note := range map[string]string{
		"a,firing\n":                      "no member",
		"a,base,now\nx,NaN,2\ny,,3\n":     "no member has numbers to compare",
		"a,firing\nx,1\n":                 "one member only: nothing to compare it with",
		"a,firing\nx,1\nx,0\n":            "no label tells members apart",
		"a,b,firing\nx,y,1\nx,y,0\nx,,\n": "no label tells members apart",
	} {
		r := report(t, csv)
		require.Equal(t, note, r.Note, csv)
		require.False(t, r.None, csv)
		require.Empty(t, r.Causes, csv)
	}
}

func finite(t *testing.T, r traits.Report) {
	t.Helper()
	require.Equal(t, len(r.Causes) == 0, r.None || r.Note != "")
	for _, c := range r.Causes {
		require.False(t, math.IsNaN(c.Score) || math.IsInf(c.Score, 0), "score %v", c.Score)
		require.True(t, c.Share >= 0 && c.Share <= 1, "share %v", c.Share)
		require.NotEmpty(t, c.Labels)
	}
}

func TestReadCSV(t *testing.T) {
	for name, c := range map[string]struct{ csv, kind, err string }{
		"empty":          {"", "", "line 1: not a table of labels and measures: it is empty"},
		"no kind":        {"a,b\n1,2\n", "", "line 1: not a table of labels and measures: its columns are those of no kind: additive, ratio, counter, hist, state"},
		"unknown kind":   {"a,firing\n", "tree", `line 1: not a table of labels and measures: no kind is named "tree"; there are: additive, ratio, counter, hist, state`},
		"wrong kind":     {"a,firing\n", "ratio", `line 1: not a table of labels and measures: kind ratio wants a column "base_err"`},
		"twice":          {"a,a,firing\n", "", `line 1: not a table of labels and measures: two columns are named "a"`},
		"nameless":       {"a,,firing\n", "", "line 1: not a table of labels and measures: column 2 has no name"},
		"short line":     {"a,firing\nx,1\ny\n", "", "line 3: not a table of labels and measures: wrong number of fields"},
		"no number":      {"a,base,now\nx,1,2\ny,1,two\n", "", `line 3: not a table of labels and measures: column "now": "two" is no number`},
		"negative":       {"a,base,now\nx,1,2\ny,1,-2\n", "", `line 3: not a table of labels and measures: column "now": "-2" is less than nothing`},
		"no state":       {"a,firing\nx,0.5\n", "", `line 2: not a table of labels and measures: column "firing": "0.5" is neither 0 nor 1`},
		"lone bucket":    {"a,base_le_1,base_le_inf,now_le_1\n", "hist", `line 1: not a table of labels and measures: column "base_le_inf" has no now_le_inf beside it`},
		"no bound":       {"a,base_le_x,now_le_x\n", "hist", `line 1: not a table of labels and measures: column "base_le_x" names no upper bound`},
		"torn gzip":      {"\x1f\x8b\x08", "", "not a table of labels and measures: unexpected EOF"},
		"quote unclosed": {"a,firing\n\"x,1\n", "", `line 2: not a table of labels and measures: extraneous or missing " in quoted-field`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := traits.ReadCSV(strings.NewReader(c.csv), c.kind)
			require.EqualError(t, err, c.err)
			require.ErrorIs(t, err, traits.ErrCSV)
		})
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	fmt.Fprint(z, "\ufeffa,now,base\nx,2,1\n,3,4\n")
	require.NoError(t, z.Close())
	table, err := traits.ReadCSV(&zipped, "")
	require.NoError(t, err)
	require.Equal(t, enrich.Counter, table.Model)
	require.Equal(t, []float64{2, 3}, table.Weight)
	require.Equal(t, []float64{1, 4}, table.Past[0].Weight)
	require.Equal(t, []enrich.Column{{Name: "a", Dict: []string{"", "x"}, Codes: []uint32{1, 0}}}, table.Cols)
}

func FuzzReadCSV(f *testing.F) {
	for _, kind := range traits.Kinds() {
		f.Add(newService(3, 30).csv(kind, func(map[string]string) float64 { return .2 }))
	}
	f.Add("a,firing\nx,1\n\"y\nz\",0\n")
	f.Add("a,base,now\nx,NaN,1\ny,1e300,Inf\n")
	f.Add("a,real,predict\nx,-1,1\ny,-0,-3\n")
	f.Add("\x1f\x8b\x08\x00")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := traits.ReadCSV(strings.NewReader(text), "")
		if err != nil {
			require.ErrorIs(t, err, traits.ErrCSV)
			return
		}
		for _, c := range table.Cols {
			require.Len(t, c.Codes, table.Rows())
		}
		finite(t, traits.Causes(table))
		traits.New(nil).Explain(table)
	})
}
