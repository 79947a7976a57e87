package prometheus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/prometheus"
)

func serve(t testing.TB, h http.HandlerFunc) *prometheus.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := prometheus.New(prometheus.Options{URL: s.URL + "/prom/", Transport: http.DefaultTransport, Params: url.Values{"dedup": {"true"}}})
	require.NoError(t, err)
	return c
}

func body(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func wide() prometheus.Limits { return prometheus.Limits{Series: 1 << 20, Bytes: 1 << 30} }

type sample struct {
	labels []page.Label
	value  float64
}

func ask(ctx context.Context, c *prometheus.Client, limits prometheus.Limits) ([]sample, prometheus.Answer, error) {
	var got []sample
	a, err := c.Query(ctx, "up", time.Unix(1_700_000_000, 999), limits, func(ls []page.Label, v float64) {
		got = append(got, sample{append([]page.Label(nil), ls...), v})
	})
	return got, a, err
}

func TestQuery(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/prom/api/v1/query" || r.FormValue("query") != "up" || r.FormValue("time") != "1700000000" || r.FormValue("dedup") != "true" {
			http.Error(w, r.URL.String(), http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[
			{"metric":{"job":"api","host":"a\"\u00e9"},"value":[1700000000.001,"0.5"]},
			{"metric":{},"value":[1700000000,"NaN"]},{"metric":{"a":"b"},"value":[1700000000,"-Inf"]},
			{"metric":{"native":"h"},"histogram":[1700000000,{"count":"3"}]}]},
			"warnings":["store is down","PromQL warning: quantile value should be between 0 and 1"],"infos":["PromQL info: x"]}`)
	})
	got, a, err := ask(t.Context(), c, wide())
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, sample{[]page.Label{{Name: "host", Value: "a\"é"}, {Name: "job", Value: "api"}}, .5}, got[0])
	require.True(t, math.IsNaN(got[1].value))
	require.True(t, math.IsInf(got[2].value, -1))
	require.Equal(t, 3, a.Series)
	require.Equal(t, []string{"store is down"}, a.Warnings)
	require.Positive(t, a.Bytes)
	require.False(t, a.Cut)
}

func TestLimitsCut(t *testing.T) {
	c := serve(t, body(`{"status":"success","data":{"resultType":"vector","result":[`+
		strings.Repeat(`{"metric":{"a":"b"},"value":[1,"1"]},`, 9)+`{"metric":{"a":"b"},"value":[1,"1"]}]}}`))
	got, a, err := ask(t.Context(), c, prometheus.Limits{Series: 4, Bytes: 1 << 20})
	require.NoError(t, err)
	require.True(t, a.Cut)
	require.Len(t, got, 4)
	got, a, err = ask(t.Context(), c, prometheus.Limits{Series: 100, Bytes: 150})
	require.NoError(t, err)
	require.True(t, a.Cut)
	require.LessOrEqual(t, a.Bytes, int64(150))
	require.NotEmpty(t, got, "what came within the limit is kept")
	_, a, err = ask(t.Context(), serve(t, body(`{"status":"success","x":"`+strings.Repeat("y", 1000))), prometheus.Limits{Series: 9, Bytes: 500})
	require.NoError(t, err)
	require.True(t, a.Cut)
	_, a, err = ask(t.Context(), c, prometheus.Limits{Series: 10, Bytes: 1 << 20})
	require.NoError(t, err)
	require.False(t, a.Cut, "just within")
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
		want remote.Error
	}{
		{"bad data", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"bad_data","error":"secret"}`)
		}, remote.Error{Op: "query", Class: remote.Content, Status: 400, Reason: "bad_data"}},
		{"a proxy's page", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(502)
			_, _ = io.WriteString(w, "<html>secret")
		}, remote.Error{Op: "query", Class: remote.Unknown, Status: 502}},
		{"busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, remote.Error{Op: "query", Class: remote.NotSent, Status: 503}},
		{"who asks", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, remote.Error{Op: "query", Class: remote.Config, Status: 401}},
		{"a word that is none", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(422)
			_, _ = io.WriteString(w, `{"errorType":"Secret = 3"}`)
		}, remote.Error{Op: "query", Class: remote.Content, Status: 422}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ask(t.Context(), serve(t, c.h), wide())
			require.Equal(t, &c.want, err)
		})
	}
	_, _, err := ask(t.Context(), serve(t, body(`{"status":"success"`)), wide())
	require.EqualError(t, err, "query: answer ends early")
	_, _, err = ask(t.Context(), serve(t, body(`{"status":"success","data":"secret"}`)), wide())
	require.EqualError(t, err, "query: answer is not the JSON that Prometheus sends")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = ask(ctx, serve(t, body(``)), wide())
	require.ErrorIs(t, err, context.Canceled)
	for _, bad := range []string{"", "prom:9090", "ftp://x", "http://"} {
		_, err := prometheus.New(prometheus.Options{URL: bad})
		require.Error(t, err, bad)
	}
}

func TestRules(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/prom/api/v1/rules" || r.URL.Query().Get("type") != "alert" {
			http.Error(w, "", http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":{"groups":[{"name":"g","rules":[
			{"type":"alerting","name":"A","query":"up == 0","duration":60,"labels":{"severity":"page"}},
			{"type":"recording","name":"A","query":"sum(up)"},{"type":"alerting","name":"B","query":"x > 1"}]}]}}`)
	})
	got, err := c.Rules(t.Context(), "A")
	require.NoError(t, err)
	require.Equal(t, []prometheus.Rule{{Name: "A", Expr: "up == 0", For: 60, Labels: page.Labels{"severity": "page"}, Type: "alerting"}}, got)
	got, err = c.Rules(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, got, 2)
	_, err = serve(t, body("no")).Rules(t.Context(), "A")
	require.EqualError(t, err, "list rules: answer is not the JSON that Prometheus sends")
}

// FuzzQuery compares with encoding/json reading the whole body at once.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"1"]}]}}`,
		`{"status":"success","data":{"result":[{"metric":{"a":"b","a":"c"},"value":[1,"1e3"]}],"resultType":"vector"}}`,
		`{"status":"success"}0`, `{"status":"error","errorType":"timeout"}`, `[[[[[`, `{"data":{"result":[{"metric":null,"value":[1,"1"]}]}}`, `{"status":"success","data":null}`,
	} {
		f.Add(s)
	}
	var text string
	c := serve(f, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	f.Fuzz(func(t *testing.T, raw string) {
		text = raw
		got, a, err := ask(t.Context(), c, prometheus.Limits{Series: 1000, Bytes: 1 << 16})
		require.Equal(t, len(got), a.Series)
		require.LessOrEqual(t, a.Bytes, int64(1<<16))
		if err != nil || a.Cut {
			return
		}
		var whole struct {
			Status string `json:"status"`
		}
		require.NoError(t, json.NewDecoder(strings.NewReader(raw)).Decode(&whole), "%q", raw)
		require.Equal(t, "success", whole.Status)
		for _, s := range got {
			for i := 1; i < len(s.labels); i++ {
				require.Less(t, s.labels[i-1].Name, s.labels[i].Name)
			}
		}
	})
}

// BenchmarkQuery reads 20,000 series of 12 labels.
func BenchmarkQuery(b *testing.B) {
	var s strings.Builder
	s.WriteString(`{"status":"success","data":{"resultType":"vector","result":[`)
	for i := range 20_000 {
		if i > 0 {
			s.WriteByte(',')
		}
		s.WriteString(`{"metric":{`)
		for l := range 12 {
			if l > 0 {
				s.WriteByte(',')
			}
			fmt.Fprintf(&s, `"label_%d":"value-%d"`, l, i%(1<<l))
		}
		s.WriteString(`},"value":[1700000000,"` + strconv.Itoa(i) + `"]}`)
	}
	s.WriteString(`]}}`)
	server := httptest.NewServer(body(s.String()))
	b.Cleanup(server.Close)
	c, err := prometheus.New(prometheus.Options{URL: server.URL, Transport: http.DefaultTransport})
	require.NoError(b, err)
	var ours time.Duration
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			_, err := c.Query(b.Context(), "up", time.Now(), wide(), func([]page.Label, float64) { n++ })
			if err != nil || n != 20_000 {
				b.Fatal(n, err)
			}
		}
		ours = b.Elapsed() / time.Duration(b.N)
	})
	b.Run("client_golang", func(b *testing.B) {
		b.ReportAllocs()
		ac, err := api.NewClient(api.Config{Address: server.URL})
		require.NoError(b, err)
		peer := v1.NewAPI(ac)
		for b.Loop() {
			v, _, err := peer.Query(b.Context(), "up", time.Now())
			if err != nil || len(v.(model.Vector)) != 20_000 {
				b.Fatal(err)
			}
		}
		if ours > 0 {
			b.ReportMetric(float64(b.Elapsed()/time.Duration(b.N))/float64(ours), "peer/ours")
		}
	})
}

// What PromQL warns of is no missing data; who decides on the answer must know.
func TestWarningsOfPromQLAreKeptApart(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[]},
			"warnings":["PromQL warning: mixed","PromQL info: not a counter","store is gone"]}`)
	}))
	defer s.Close()
	c, err := prometheus.New(prometheus.Options{URL: s.URL, Transport: http.DefaultTransport})
	require.NoError(t, err)
	a, err := c.Query(t.Context(), "up", time.Now(), prometheus.Limits{Series: 1, Bytes: 1000}, func([]page.Label, float64) {})
	require.NoError(t, err)
	require.Equal(t, []string{"store is gone"}, a.Warnings)
	require.Equal(t, []string{"PromQL warning: mixed"}, a.Doubts)
}
