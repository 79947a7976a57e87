package enrichtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// maxPoints is how many points of one series Prometheus evaluates.
const maxPoints = 11_000

// queryRange answers POST and GET /api/v1/query_range with PromQL's own engine.
func (f *Fake) queryRange(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	how := f.take(r.Form.Get("query"), r.Form)
	if !f.pause(r.Context(), how) || f.misbehaved(w, how) {
		return
	}
	var span [3]float64
	for i, name := range []string{"start", "end", "step"} {
		v, err := strconv.ParseFloat(r.Form.Get(name), 64)
		if err != nil {
			http.Error(w, name, http.StatusBadRequest)
			return
		}
		span[i] = v
	}
	if span[2] <= 0 || span[1] < span[0] || (span[1]-span[0])/span[2] > maxPoints {
		http.Error(w, `{"status":"error","errorType":"bad_data","error":"range"}`, http.StatusBadRequest)
		return
	}
	m, err := f.evaluateRange(r.Context(), r.Form.Get("query"), span)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "bad_data", "error": err.Error()})
		return
	}
	var answer struct { // in Prometheus' own order
		Status string `json:"status"`
		Data   struct {
			ResultType string           `json:"resultType"`
			Result     []map[string]any `json:"result"`
		} `json:"data"`
		Warnings []string `json:"warnings,omitempty"`
	}
	answer.Status, answer.Data.ResultType, answer.Data.Result = "success", "matrix", m
	if how.Warning != "" {
		answer.Warnings = []string{how.Warning}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

func (f *Fake) evaluateRange(ctx context.Context, query string, span [3]float64) ([]map[string]any, error) {
	f.mu.Lock()
	s := storageOf(f.series)
	f.mu.Unlock()
	at := func(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }
	q, err := f.engine.NewRangeQuery(ctx, s, nil, query, at(span[0]), at(span[1]), time.Duration(span[2]*float64(time.Second)))
	if err != nil {
		return nil, errors.Join(errUnknownQuery, err)
	}
	defer q.Close()
	m, err := q.Exec(ctx).Matrix()
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, one := range m {
		var values [][2]any
		for _, p := range one.Floats {
			values = append(values, [2]any{float64(p.T) / 1000, formatted(p)})
		}
		out = append(out, map[string]any{"metric": one.Metric.Map(), "values": values})
	}
	return out, nil
}

func formatted(p promql.FPoint) any {
	return vectorJSON(promql.Vector{{T: p.T, F: p.F}})[0]["value"].([]any)[1]
}
