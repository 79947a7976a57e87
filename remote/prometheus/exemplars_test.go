package prometheus_test

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

const twoExemplars = `{"status":"success","data":[
	{"seriesLabels":{"__name__":"x_total","job":"api"},"exemplars":[
		{"labels":{"user":"u5","trace_id":"4bf9"},"value":"6","timestamp":1600096945.479}]},
	{"seriesLabels":{},"exemplars":[{"labels":{},"value":"+Inf","timestamp":7}]}]}`

func exemplars(t *testing.T, h http.HandlerFunc, limits prometheus.Limits) ([]string, prometheus.Answer, error) {
	t.Helper()
	var out []string
	a, err := serve(t, h).Exemplars(t.Context(), "x_total", time.Unix(1000, 0), time.Unix(1300, 0), limits, func(ls []page.Label, e prometheus.Exemplar) {
		out = append(out, fmt.Sprint(ls, e.Labels, e.Value, e.At.UnixMilli()))
	})
	return out, a, err
}

func TestExemplars(t *testing.T) {
	var form map[string][]string
	got, a, err := exemplars(t, func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseForm())
		require.Equal(t, "query_exemplars", path.Base(r.URL.Path))
		form = r.Form
		_, _ = w.Write([]byte(twoExemplars))
	}, wide())
	require.NoError(t, err)
	require.Equal(t, []string{
		"[{__name__ x_total} {job api}] [{trace_id 4bf9} {user u5}] 6 1600096945479", "[] [] +Inf 7000",
	}, got)
	require.Equal(t, 2, a.Series)
	require.Equal(t, "x_total", form["query"][0])
	require.Equal(t, "1000", form["start"][0])
	require.Equal(t, "1300", form["end"][0])

	for name, text := range map[string]string{"an empty list": `[]`, "null": `null`} {
		got, a, err := exemplars(t, body(`{"status":"success","data":`+text+`}`), wide())
		require.NoError(t, err, name)
		require.Empty(t, got)
		require.Zero(t, a.Series)
	}
	got, _, err = exemplars(t, body(`{"status":"success"}`), wide())
	require.NoError(t, err, "a server that leaves an empty list out")
	require.Empty(t, got)
}

func TestExemplarsAreBounded(t *testing.T) {
	got, a, err := exemplars(t, body(twoExemplars), prometheus.Limits{Series: 1, Bytes: 1 << 20})
	require.NoError(t, err)
	require.True(t, a.Cut)
	require.Len(t, got, 1)
	_, a, err = exemplars(t, body(twoExemplars), prometheus.Limits{Series: 10, Bytes: 100})
	require.NoError(t, err)
	require.True(t, a.Cut)
}

func TestExemplarsOfHostileAnswers(t *testing.T) {
	for name, text := range map[string]string{
		"a number": `7`, "an object": `{"resultType":"vector","result":[]}`, "no value": `[{"exemplars":[{"labels":{}}]}]`,
		"far away": `[{"exemplars":[{"labels":{},"value":"1","timestamp":1e300}]}]`, "cut off": `[{"exemplars":[`,
	} {
		_, _, err := exemplars(t, body(`{"status":"success","data":`+text+`}`), wide())
		require.Error(t, err, name)
	}
	_, _, err := exemplars(t, body(`{"status":"success","data":[],"data":[]}`), wide())
	require.Error(t, err)
	_, _, err = exemplars(t, http.NotFound, wide())
	require.Error(t, err)
}

func FuzzExemplars(f *testing.F) {
	f.Add(twoExemplars)
	f.Add(`{"data":null,"status":"success"}`)
	f.Add(`{"status":"success","data":[{"exemplars":[{"value":"NaN","timestamp":-1e10}],"seriesLabels":null}]}`)
	var text string
	c := serve(f, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	f.Fuzz(func(t *testing.T, raw string) {
		text = raw
		series := 0
		a, err := c.Exemplars(t.Context(), "x", time.Unix(0, 0), time.Unix(1, 0), prometheus.Limits{Series: 3, Bytes: 4096}, func([]page.Label, prometheus.Exemplar) { series++ })
		require.LessOrEqual(t, a.Series, 3)
		require.LessOrEqual(t, a.Bytes, int64(4096))
		require.True(t, series == 0 || a.Series > 0)
		if err != nil {
			require.Less(t, len(err.Error()), 200, "an error quotes nothing")
		}
	})
}
