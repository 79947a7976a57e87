package enrichtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/thanos-io/thanos/pkg/api/query/querypb"
	"github.com/thanos-io/thanos/pkg/store/storepb/prompb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// query answers POST and GET /api/v1/query.
func (f *Fake) query(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	how := f.take(r.Form.Get("query"), r.Form)
	if !f.pause(r.Context(), how) || f.misbehaved(w, how) {
		return
	}
	seconds, err := strconv.ParseFloat(r.Form.Get("time"), 64)
	if err != nil {
		http.Error(w, "time", http.StatusBadRequest)
		return
	}
	if timeout := r.Form.Get("timeout"); timeout != "" && !isDuration(timeout) {
		http.Error(w, `{"status":"error","errorType":"bad_data","error":"timeout"}`, http.StatusBadRequest)
		return
	}
	v, err := f.evaluate(r.Context(), r.Form.Get("query"), time.UnixMilli(int64(seconds*1000)))
	if err != nil {
		code := http.StatusUnprocessableEntity
		if errors.Is(err, errUnknownQuery) {
			code = http.StatusBadRequest
		}
		w.WriteHeader(code)
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
	answer.Status, answer.Data.ResultType, answer.Data.Result = "success", "vector", vectorJSON(v)
	if how.Warning != "" {
		answer.Warnings = []string{how.Warning}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

// misbehaved answers as the trouble says, and whether it did.
func (f *Fake) misbehaved(w http.ResponseWriter, how Trouble) bool {
	switch {
	case how.Status != 0:
		w.WriteHeader(how.Status)
		_, _ = io.WriteString(w, `{"status":"error","errorType":"internal","error":"user=\"u7\" is to blame"}`)
	case how.Body != "":
		_, _ = io.WriteString(w, how.Body)
	case how.Endless:
		f.endless(w)
	default:
		return false
	}
	return true
}

// isDuration reads a duration as Prometheus' API does (web/api/v1 parseDuration):
// a number of seconds, or whole numbers with units.
func isDuration(s string) bool {
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return true
	}
	_, err := model.ParseDuration(s)
	return err == nil
}

func vectorJSON(v promql.Vector) []map[string]any {
	out := []map[string]any{}
	for _, s := range v {
		value := strconv.FormatFloat(s.F, 'g', -1, 64)
		if math.IsInf(s.F, 0) {
			value = map[bool]string{true: "+Inf", false: "-Inf"}[s.F > 0]
		}
		out = append(out, map[string]any{"metric": s.Metric.Map(), "value": []any{float64(s.T) / 1000, value}})
	}
	return out
}

// endless writes series until the client has had enough.
func (f *Fake) endless(w http.ResponseWriter) {
	_, err := io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[`)
	for i := 0; err == nil; i++ {
		select {
		case <-f.stop:
			return
		default:
		}
		comma := ","
		if i == 0 {
			comma = ""
		}
		_, err = fmt.Fprintf(w, `%s{"metric":{"instance":"h%d","job":"api"},"value":[0,"1"]}`, comma, i)
	}
}

func (f *Fake) listRules(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	rules, how := f.rules, f.wrong
	f.mu.Unlock()
	if !f.pause(r.Context(), how) {
		return
	}
	if how.Status != 0 {
		w.WriteHeader(how.Status)
		return
	}
	list := []map[string]any{}
	for _, rule := range rules {
		kind, name := "alerting", rule.Name
		if rule.Record != "" {
			kind, name = "recording", rule.Record
		}
		if want := r.FormValue("type"); want != "" && !strings.HasPrefix(kind, want) {
			continue
		}
		list = append(list, map[string]any{"type": kind, "name": name, "query": rule.Expr, "duration": rule.For.Seconds(), "labels": rule.Labels})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{
		"groups": []any{map[string]any{"name": "g", "file": "f.yml", "interval": 15, "rules": list}},
	}})
}

// register offers Thanos' Query service.
func register(s *grpc.Server, f *Fake) { querypb.RegisterQueryServer(s, &queryServer{f: f}) }

type queryServer struct {
	querypb.UnimplementedQueryServer
	f *Fake
}

// Query answers as Thanos does: an error under partial response is a warning
// and nothing else, and so is every remark of the engine.
func (s *queryServer) Query(r *querypb.QueryRequest, stream querypb.Query_QueryServer) error {
	how := s.f.take(r.Query, map[string][]string{
		"dedup": {strconv.FormatBool(r.EnableDedup)}, "partial_response": {strconv.FormatBool(r.EnablePartialResponse)},
		"replicaLabels[]": r.ReplicaLabels,
	})
	if !s.f.pause(stream.Context(), how) {
		return status.Error(codes.Canceled, "gone")
	}
	if how.Status != 0 {
		return status.Error(codes.Internal, `user="u7" is to blame`)
	}
	for i := 0; how.Endless; i++ {
		one := timeSeries(labels.FromStrings("instance", "h"+strconv.Itoa(i), "job", "api"), 1)
		if err := stream.Send(querypb.NewQueryResponse(one)); err != nil {
			return err
		}
	}
	v, err := s.f.evaluate(stream.Context(), r.Query, time.Unix(r.TimeSeconds, 0))
	if err != nil {
		if r.EnablePartialResponse {
			return stream.Send(querypb.NewQueryWarningsResponse(err))
		}
		return status.Error(codes.Aborted, err.Error())
	}
	if how.Warning != "" {
		if err := stream.Send(querypb.NewQueryWarningsResponse(errors.New(how.Warning))); err != nil {
			return err
		}
	}
	var batch []*prompb.TimeSeries
	for _, p := range v {
		batch = append(batch, timeSeries(p.Metric, p.F))
		if int64(len(batch)) >= max(1, r.ResponseBatchSize) {
			if err := stream.Send(response(batch)); err != nil {
				return err
			}
			batch = nil
		}
	}
	if len(batch) > 0 {
		return stream.Send(response(batch))
	}
	return nil
}

func response(batch []*prompb.TimeSeries) *querypb.QueryResponse {
	if len(batch) == 1 {
		return querypb.NewQueryResponse(batch[0])
	}
	return querypb.NewQueryBatchResponse(batch)
}

func timeSeries(ls labels.Labels, v float64) *prompb.TimeSeries {
	s := &prompb.TimeSeries{Samples: []prompb.Sample{{Value: v}}}
	s.Labels = slices.Grow(s.Labels, ls.Len())[:ls.Len()]
	i := 0
	ls.Range(func(l labels.Label) {
		s.Labels[i].Name, s.Labels[i].Value = l.Name, l.Value
		i++
	})
	return s
}

// listAlerts answers /api/v1/alerts.
func (f *Fake) listAlerts(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	alerts, how := f.alerts, f.wrong
	f.mu.Unlock()
	if !f.pause(r.Context(), how) || f.misbehaved(w, how) {
		return
	}
	list := []map[string]any{}
	for _, a := range alerts {
		state := "pending"
		if a.Firing {
			state = "firing"
		}
		list = append(list, map[string]any{
			"labels": a.Labels, "annotations": map[string]string{}, "state": state, "value": "1e+00",
			"activeAt": a.ActiveAt.UTC().Format(time.RFC3339Nano),
		})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"alerts": list}})
}

// showConfig answers /api/v1/status/config.
func (f *Fake) showConfig(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	text := f.config
	f.mu.Unlock()
	if text == "" {
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]string{"yaml": text}})
}
