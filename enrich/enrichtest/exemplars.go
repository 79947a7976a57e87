package enrichtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Exemplar is one event that a series counted.
type Exemplar struct {
	At     time.Time
	Value  float64
	Labels map[string]string
}

// queryExemplars answers POST and GET /api/v1/query_exemplars as Prometheus
// does: with what every series that the query selects keeps of that time.
func (f *Fake) queryExemplars(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	how := f.take(r.Form.Get("query"), r.Form)
	if !f.pause(r.Context(), how) || f.misbehaved(w, how) {
		return
	}
	from, errFrom := strconv.ParseFloat(r.Form.Get("start"), 64)
	to, errTo := strconv.ParseFloat(r.Form.Get("end"), 64)
	e, err := parser.NewParser(parser.Options{}).ParseExpr(r.Form.Get("query"))
	if err != nil || errFrom != nil || errTo != nil || to < from {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "bad_data"})
		return
	}
	type exemplar struct {
		Labels map[string]string `json:"labels"`
		Value  string            `json:"value"`
		At     float64           `json:"timestamp"`
	}
	type result struct {
		Series    map[string]string `json:"seriesLabels"`
		Exemplars []exemplar        `json:"exemplars"`
	}
	out := []result{}
	f.mu.Lock()
	list := f.series
	f.mu.Unlock()
	for _, s := range list {
		chosen := slices.ContainsFunc(parser.ExtractSelectors(e), func(ms []*labels.Matcher) bool {
			return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(s.Labels.Get(m.Name)) })
		})
		one := result{Series: s.Labels.Map()}
		for _, x := range s.Exemplars {
			if at := float64(x.At.UnixMilli()) / 1000; chosen && at >= from && at <= to {
				one.Exemplars = append(one.Exemplars, exemplar{x.Labels, strconv.FormatFloat(x.Value, 'g', -1, 64), at})
			}
		}
		if len(one.Exemplars) > 0 {
			out = append(out, one)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": out}) // the client may be gone
}

// traced gives every scrape of the buckets of one target an exemplar: an event
// with a trace and a user, as clients of OpenTelemetry do.
func (f Fleet) traced(target []string, edges []float64, out []Series) {
	r := rand.New(rand.NewPCG(f.Seed, 17+uint64(len(out))+hashed(target)))
	for _, at := range f.scrapes() {
		user := fmt.Sprintf("u%d", r.IntN(users))
		took := .06
		if f.hit(f.Fault.Slow, append(slices.Clone(target), "user", user), at) {
			took = .8
		}
		for i, edge := range edges {
			if took <= edge {
				out[i].Exemplars = append(out[i].Exemplars, Exemplar{At: at, Value: took, Labels: map[string]string{
					"trace_id": fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()), "user": user,
				}})
				break
			}
		}
	}
}

func hashed(target []string) uint64 { return labels.FromStrings(target...).Hash() }
