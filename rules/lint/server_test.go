package lint_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/remote/prometheus"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/lint"
)

// course is a gauge each minute for as many minutes before now as it has values.
func course(now time.Time, ls labels.Labels, values ...float64) enrichtest.Series {
	s := enrichtest.Series{Labels: ls}
	for i, v := range values {
		s.Samples = append(s.Samples, enrichtest.Sample{At: now.Add(-time.Duration(len(values)-1-i) * time.Minute), Value: v})
	}
	return s
}

func ask(t *testing.T, f *enrichtest.Fake, now time.Time, text string) ([]string, error) {
	t.Helper()
	file, err := rules.Parse("r.yml", []byte(head+text))
	require.NoError(t, err)
	client, err := prometheus.New(prometheus.Options{URL: f.URL, Transport: http.DefaultTransport})
	require.NoError(t, err)
	s := &lint.Server{Client: client, Now: now}
	found, err := s.Ask(t.Context(), []lint.Source{{Path: "r.yml", Groups: file.Groups}}, nil)
	var got []string
	for _, f := range found {
		require.NotEmpty(t, f.Fix)
		got = append(got, string(f.Severity)+" "+f.Check+" "+f.Message)
	}
	return got, err
}

func TestServer(t *testing.T) {
	now := time.Now().Truncate(time.Minute)
	a, b := labels.FromStrings("__name__", "x", "job", "a"), labels.FromStrings("__name__", "x", "job", "b")
	old := course(now.Add(-48*time.Hour), labels.FromStrings("__name__", "old", "job", "a"), 1, 1)
	f := enrichtest.New(t, course(now, a, 0, 1, 0, 1, 1, 1, 0, 1), course(now, b, 0, 0, 0, 0, 0, 0, 0, 0), old)
	for _, c := range []struct {
		rule string
		want []string
	}{
		{"  - {alert: A, expr: x > 2}\n", nil},
		{"  - {alert: A, expr: x > 0}\n", []string{"info fires it would have fired 3 times within a day, for 1 series"}},
		{"  - {alert: A, expr: x > 0, for: 2m}\n", []string{"info fires it would have fired 1 times within a day, for 1 series"}},
		{"  - {alert: A, expr: x > 0, keep_firing_for: 5m}\n", []string{"info fires it would have fired 1 times within a day, for 1 series"}},
		{"  - {alert: A, expr: x > 0, for: 3m}\n", nil},
		{"  - {record: a, expr: old}\n", nil},
		{"  - {record: a, expr: gone}\n", []string{"warning series nothing was like gone within a week"}},
		{"  - {record: a, expr: 'x{job=\"c\"}'}\n", []string{`warning series nothing was like x{job="c"} within a week, and there are 2 series of x`}},
		{"  - {record: a, expr: absent(gone)}\n", nil},
		{"  - {record: a, expr: x}\n  - {record: b, expr: a}\n", nil},
	} {
		got, err := ask(t, f, now, c.rule)
		require.NoError(t, err, c.rule)
		require.Equal(t, c.want, got, c.rule)
	}
	got, err := ask(t, f, now, "  - {record: a, expr: x * on() x}\n")
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Contains(t, got[0], "warning cost the server refuses to evaluate it: ")
	f.Misbehave(enrichtest.Trouble{Status: http.StatusInternalServerError})
	_, err = ask(t, f, now, "  - {record: a, expr: x}\n")
	require.ErrorContains(t, err, "ask about a: ")
}
