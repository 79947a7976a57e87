package fleet

import (
	"bytes"
	"fmt"
	"math"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The buckets of a native histogram: 4 to a factor of two, from 2^-7.5 s.
const (
	nativeSchema = 2
	nativeLow    = -30
	nativeCount  = 60
)

// exponential is a native histogram.
type exponential struct {
	counts [nativeCount]int64
	sum    float64
}

// observe counts one duration, in seconds.
func (e *exponential) observe(took float64) {
	i := int(math.Ceil(math.Log2(took)*(1<<nativeSchema))) - nativeLow
	e.counts[min(max(i, 0), nativeCount-1)]++
	e.sum += took
}

// native returns how long calls took, by user. Text formats cannot carry it.
func (s *signals) native(u users) *dto.MetricFamily {
	out := &dto.MetricFamily{
		Name: new("rpc_duration_seconds"), Help: new("How long calls took."), Type: new(dto.MetricType_HISTOGRAM),
	}
	for i, e := range s.calls {
		h := &dto.Histogram{
			SampleSum: new(e.sum), Schema: new(int32(nativeSchema)), ZeroThreshold: new(1e-9), ZeroCount: new(uint64(0)),
			PositiveSpan: []*dto.BucketSpan{{Offset: new(int32(nativeLow)), Length: new(uint32(nativeCount))}},
		}
		var n, before int64
		for _, c := range e.counts {
			n += c
			h.PositiveDelta = append(h.PositiveDelta, c-before)
			before = c
		}
		h.SampleCount = new(uint64(n))
		out.Metric = append(out.Metric, &dto.Metric{Label: []*dto.LabelPair{{Name: new("user"), Value: new(u.names[i])}}, Histogram: h})
	}
	return out
}

// writeProto answers in the one format that carries native histograms.
func writeProto(w http.ResponseWriter, text []byte, native *dto.MetricFamily) {
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		http.Error(w, fmt.Sprintf("read our own text: %v", err), http.StatusInternalServerError)
		return
	}
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	w.Header().Set("Content-Type", string(format))
	enc := expfmt.NewEncoder(w, format)
	families[native.GetName()] = native
	for _, f := range families {
		if enc.Encode(f) != nil {
			return // a scraper that went away is no trouble of ours
		}
	}
}
