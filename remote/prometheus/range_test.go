package prometheus_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

type ranged struct {
	labels []page.Label
	points []prometheus.Point
}

// askRange asks a server that gives this answer.
func askRange(t *testing.T, body string, limits prometheus.Limits) ([]ranged, prometheus.Answer, map[string][]string, error) {
	t.Helper()
	var form map[string][]string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/query_range" && r.ParseForm() == nil {
			form = r.Form
		}
		_, _ = w.Write([]byte(body))
	}))
	defer s.Close()
	c, err := prometheus.New(prometheus.Options{URL: s.URL, Transport: http.DefaultTransport})
	require.NoError(t, err)
	var out []ranged
	a, err := c.Range(t.Context(), "up", time.Unix(1000, 0), time.Unix(1060, 0), 15*time.Second, limits, func(ls []page.Label, points []prometheus.Point) {
		out = append(out, ranged{slices.Clone(ls), slices.Clone(points)})
	})
	return out, a, form, err
}

func TestRange(t *testing.T) {
	const body = `{"status":"success","data":{"resultType":"matrix","result":[
		{"metric":{"b":"2","a":"1"},"values":[[1000,"0.5"],[1015.5,"NaN"],[1030,"+Inf"]]},
		{"metric":{"a":"3"},"histograms":[[1000,{"count":"1"}]]},
		{"metric":{},"values":[[1000,"7"]]}]}}`
	got, a, form, err := askRange(t, body, prometheus.Limits{Series: 10, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, 2, a.Series)
	require.Len(t, got, 2)
	require.Equal(t, []page.Label{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}, got[0].labels)
	require.Len(t, got[0].points, 3)
	require.Equal(t, prometheus.Point{At: time.Unix(1000, 0), Value: .5}, got[0].points[0])
	require.Equal(t, time.UnixMilli(1015500), got[0].points[1].At)
	require.Equal(t, []string{"1000"}, form["start"])
	require.Equal(t, []string{"1060"}, form["end"])
	require.Equal(t, []string{"15.000"}, form["step"])

	got, a, _, err = askRange(t, body, prometheus.Limits{Series: 1, Bytes: 1 << 20})
	require.NoError(t, err)
	require.True(t, a.Cut)
	require.Len(t, got, 1)
	_, a, _, err = askRange(t, body, prometheus.Limits{Series: 10, Bytes: 90})
	require.NoError(t, err)
	require.True(t, a.Cut)
}

func TestRangeOfHostileAnswers(t *testing.T) {
	for name, body := range map[string]string{
		"a vector":   `{"status":"success","data":{"resultType":"vector","result":[]}}`,
		"no time":    `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["x","1"]]}]}}`,
		"far away":   `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1e300,"1"]]}]}}`,
		"no value":   `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1]]}]}}`,
		"not a pair": `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[7]}]}}`,
		"an error":   `{"status":"error","errorType":"timeout"}`,
		"HTML":       `<html>`,
		"cut off":    strings.Repeat(" ", 10) + `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{}`,
	} {
		_, _, _, err := askRange(t, body, prometheus.Limits{Series: 10, Bytes: 1 << 20})
		require.Error(t, err, name)
	}
}
