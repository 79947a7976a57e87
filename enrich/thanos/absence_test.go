package thanos_test

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/enrich/thanos"
)

// Who is gone of a service that is younger than any past is known by what was
// there a minute ago.
func TestAbsenceOfTheYoung(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	session := func(at time.Time, host string) enrichtest.Series {
		return enrichtest.Gauge(at, 1, "__name__", "session_active", "host", host)
	}
	lost := session(now.Add(-50*time.Second), "c") // shown for the last time, and then no more
	lost.Samples = append(lost.Samples, enrichtest.Sample{At: now.Add(-45 * time.Second), Value: math.Float64frombits(value.StaleNaN)})
	f := enrichtest.New(t, enrichtest.Joined(
		[]enrichtest.Series{session(now.Add(-time.Minute), "a"), session(now.Add(-time.Minute), "b")},
		[]enrichtest.Series{session(now, "a"), session(now, "b"), lost},
	)...)
	s := open(t, func(c *thanos.Config) { c.HTTP = f.URL })
	table, err := s.Table(t.Context(), enrich.Question{Expr: `count(session_active) < 3`, At: now})
	require.NoError(t, err)
	require.Equal(t, 3, table.Rows())
	host := table.Cols[0]
	for i := range table.Rows() {
		require.Equal(t, host.Dict[host.Codes[i]] == "c", table.Bad[i], host.Dict[host.Codes[i]])
	}
}

// `unless` with a bare metric leaves out what is muted, or asks for what is
// missing: the reading that has somebody to compare with is taken.
func TestUnlessIsReadBothWays(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var series []enrichtest.Series
	for host, up := range map[string]float64{"a": 1, "b": 1, "c": 1, "d": 0} {
		series = append(series, enrichtest.Gauge(now, up, "__name__", "up", "host", host))
		if host != "c" {
			series = append(series, enrichtest.Gauge(now, 1, "__name__", "session", "host", host))
		}
	}
	s := open(t, func(c *thanos.Config) { c.HTTP = enrichtest.New(t, series...).URL })
	for text, want := range map[string]map[string]bool{
		`up == 1 unless on (host) session`:           {"a": false, "b": false, "c": true, "d": false},
		`up == 0 unless on (host) maintenance`:       {"a": false, "b": false, "c": false, "d": true},
		`(up == 0) unless on (host) (maintenance)`:   {"a": false, "b": false, "c": false, "d": true},
		`up == 0 unless on (host) (maintenance > 0)`: {"a": false, "b": false, "c": false, "d": true},
	} {
		table, err := s.Table(t.Context(), enrich.Question{Expr: text, At: now})
		require.NoError(t, err, text)
		got := map[string]bool{}
		for i := range table.Rows() {
			got[table.Cols[0].Dict[table.Cols[0].Codes[i]]] = table.Bad[i]
		}
		require.Equal(t, want, got, text)
	}
}
