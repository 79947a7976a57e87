package enrichtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/thanos-io/thanos/pkg/api/query/querypb"
	"github.com/thanos-io/thanos/pkg/store/storepb/prompb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
	answer.Status, answer.Data.ResultType, answer.Data.Result = "success", "matrix", matrixJSON(m)
	if how.Warning != "" {
		answer.Warnings = []string{how.Warning}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

func (f *Fake) evaluateRange(ctx context.Context, query string, span [3]float64) (promql.Matrix, error) {
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
	out := make(promql.Matrix, len(m))
	for i, one := range m { // the engine takes its own back
		out[i] = promql.Series{Metric: one.Metric, Floats: slices.Clone(one.Floats)}
	}
	return out, nil
}

func matrixJSON(m promql.Matrix) []map[string]any {
	out := []map[string]any{}
	for _, one := range m {
		var values [][2]any
		for _, p := range one.Floats {
			values = append(values, [2]any{float64(p.T) / 1000, formatted(p)})
		}
		out = append(out, map[string]any{"metric": one.Metric.Map(), "values": values})
	}
	return out
}

// QueryRange answers as Thanos does.
func (s *queryServer) QueryRange(r *querypb.QueryRangeRequest, stream querypb.Query_QueryRangeServer) error {
	how := s.f.take(r.Query, map[string][]string{
		"dedup": {strconv.FormatBool(r.EnableDedup)}, "partial_response": {strconv.FormatBool(r.EnablePartialResponse)},
		"replicaLabels[]": r.ReplicaLabels,
	})
	switch {
	case !s.f.pause(stream.Context(), how):
		return status.Error(codes.Canceled, "gone")
	case how.Status != 0:
		return status.Error(codes.Internal, `user="u7" is to blame`)
	case r.IntervalSeconds <= 0 || (r.EndTimeSeconds-r.StartTimeSeconds)/r.IntervalSeconds > maxPoints:
		return status.Error(codes.InvalidArgument, "range")
	}
	m, err := s.f.evaluateRange(stream.Context(), r.Query, [3]float64{float64(r.StartTimeSeconds), float64(r.EndTimeSeconds), float64(r.IntervalSeconds)})
	if err != nil {
		if r.EnablePartialResponse {
			return stream.Send(querypb.NewQueryRangeWarningsResponse(err))
		}
		return status.Error(codes.Aborted, err.Error())
	}
	if how.Warning != "" {
		if err := stream.Send(querypb.NewQueryRangeWarningsResponse(errors.New(how.Warning))); err != nil {
			return err
		}
	}
	for _, one := range m {
		series := timeSeries(one.Metric, 0)
		series.Samples = nil
		for _, p := range one.Floats {
			series.Samples = append(series.Samples, prompb.Sample{Timestamp: p.T, Value: p.F})
		}
		if err := stream.Send(querypb.NewQueryRangeResponse(series)); err != nil {
			return err
		}
	}
	return nil
}

func formatted(p promql.FPoint) any {
	return vectorJSON(promql.Vector{{T: p.T, F: p.F}})[0]["value"].([]any)[1]
}
