//go:build accuracy

package traits

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
)

type truth struct {
	file   string
	causes []map[string]string
}

func truths(t *testing.T, dir string) []truth {
	var out []truth
	if raw, err := os.ReadFile(filepath.Join(dir, "truth.jsonl")); err == nil {
		for line := range strings.Lines(string(raw)) {
			var c struct {
				Case   string
				Causes []map[string]string
			}
			require.NoError(t, json.Unmarshal([]byte(line), &c))
			out = append(out, truth{filepath.Join(dir, c.Case+".csv.gz"), c.Causes})
		}
		return out
	}
	infos, _ := filepath.Glob(filepath.Join(dir, "injection_info.csv"))
	more, _ := filepath.Glob(filepath.Join(dir, "*", "injection_info.csv"))
	for _, info := range append(infos, more...) {
		f, err := os.Open(info)
		require.NoError(t, err)
		lines, err := csv.NewReader(f).ReadAll()
		require.NoError(t, err)
		ts, set := slices.Index(lines[0], "timestamp"), slices.Index(lines[0], "set")
		for _, l := range lines[1:] {
			c := truth{file: filepath.Join(filepath.Dir(info), l[ts]+".csv.gz")}
			for _, one := range strings.Split(l[set], ";") {
				m := map[string]string{}
				for _, lit := range strings.Split(one, "&") {
					k, v, _ := strings.Cut(lit, "=")
					m[k] = v
				}
				c.causes = append(c.causes, m)
			}
			if _, err := os.Stat(c.file); err == nil {
				out = append(out, c)
			}
		}
	}
	return out
}

func covered(t *enrich.Table, m map[string]string) string {
	b := make([]byte, t.Rows())
	for i := range b {
		b[i] = '1'
		for _, c := range t.Cols {
			if v, ok := m[c.Name]; ok && c.Dict[c.Codes[i]] != v {
				b[i] = '0'
			}
		}
	}
	return string(b)
}

func TestAccuracy(t *testing.T) {
	data, verbose := os.Getenv("DATA"), os.Getenv("SHOW") != ""
	var dirs []string
	for _, d := range []string{"rs", "prom/ratio", "prom/counter", "prom/hist", "prom/state", "ratio", "counter", "hist", "state", "riskloc-S", "riskloc-L", "riskloc-H100k", "squeeze-B0", "squeeze-B0-noise0.15"} {
		if _, err := os.Stat(filepath.Join(data, d)); err == nil && strings.Contains(d, os.Getenv("ONLY")) {
			dirs = append(dirs, d)
		}
	}
	for _, d := range dirs {
		var tp, fp, fn, exact, neg, negRight, n int
		var took time.Duration
		for _, c := range truths(t, filepath.Join(data, d)) {
			f, err := os.Open(c.file)
			require.NoError(t, err)
			table, err := ReadCSV(f, "")
			require.NoError(t, err, c.file)
			f.Close()
			start := time.Now()
			s, found := explain(table)
			took += time.Since(start)
			n++
			id := func(m map[string]string) string { return fmt.Sprint(m) }
			if strings.Contains(c.file, "ratio/") || strings.Contains(c.file, "counter/") || strings.Contains(c.file, "hist/") || strings.Contains(c.file, "state/") {
				id = func(m map[string]string) string { return covered(table, m) }
			}
			want := map[string]map[string]string{}
			for _, m := range c.causes {
				want[id(m)] = m
			}
			hits := 0
			var wrong []string
			for _, g := range found {
				m := map[string]string{}
				for _, a := range g.attrs {
					col := table.Cols[s.attrs[a].col]
					m[col.Name] = col.Dict[s.attrs[a].codes[g.row]]
				}
				if _, ok := want[id(m)]; ok {
					hits++
					delete(want, id(m))
				} else {
					wrong = append(wrong, fmt.Sprintf("%v score %.1f llr %.1f in %.0f/%.0f/%.0f rows %.0f", m, g.score(), g.llr, g.in.x, g.in.e, g.in.n, g.in.rows))
				}
			}
			tp, fp, fn = tp+hits, fp+len(found)-hits, fn+len(want)
			if len(c.causes) == 0 {
				neg++
				if len(found) == 0 {
					negRight++
				}
			}
			if len(want) == 0 && len(found) == hits {
				exact++
			} else if verbose {
				fmt.Printf("%s rows %d: hit %d of %d\n", c.file[len(data):], table.Rows(), hits, len(c.causes))
				for _, m := range slices.Collect(maps.Values(want)) {
					fmt.Printf("    missed %v %s\n", m, s.judgeOf(table, m))
				}
				for _, w := range wrong {
					fmt.Printf("    wrong %s\n", w)
				}
			}
		}
		if n == 0 {
			continue
		}
		pr, re := float64(tp)/float64(max(1, tp+fp)), float64(tp)/float64(max(1, tp+fn))
		fmt.Printf("%-22s n %3d F1 %.3f P %.3f R %.3f exact %.2f neg %d/%d ms %.1f\n", d, n, 2*float64(tp)/float64(2*tp+fp+fn), pr, re, float64(exact)/float64(n), negRight, neg, float64(took.Microseconds())/1000/float64(n))
	}
}

// judgeOf says how a slice that was missed scores among all rows.
func (s *search) judgeOf(t *enrich.Table, m map[string]string) string {
	var in sums
	s.total = sums{}
	cost := 0.0
	for a := range s.attrs {
		if _, ok := m[t.Cols[s.attrs[a].col].Name]; ok {
			cost += s.attrs[a].cost
		}
	}
	cov := covered(t, m)
	for i := range s.row {
		if s.row[i].rows == 0 {
			continue
		}
		s.total.add(&s.row[i])
		if cov[i] == '1' {
			in.add(&s.row[i])
		}
	}
	return fmt.Sprintf("alone llr %.1f cost %.1f in %.0f/%.0f/%.0f rows %.0f total %.0f/%.0f/%.0f", s.llr(&in), cost, in.x, in.e, in.n, in.rows, s.total.x, s.total.e, s.total.n)
}
