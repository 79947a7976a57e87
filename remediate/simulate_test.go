package remediate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

// pastPage is a problem that began ago before noon, fired for a while and is over.
func pastPage(problem string, ago, fired time.Duration, hosts ...string) page.Page {
	var alerts []page.Alert
	for _, h := range hosts {
		a := firing(ago, "instance", h)
		a.Status, a.EndsAt = page.Resolved, noon().Add(fired-ago)
		alerts = append(alerts, a)
	}
	pg := pageOf(alerts...)
	pg.Problem, pg.State, pg.Title = problem, page.Closed, "Down "+problem
	pg.Clock = page.Clock{Started: noon().Add(-ago), Received: noon().Add(-ago)}
	return pg
}

func TestSimulate(t *testing.T) {
	day := 24 * time.Hour
	var storm []string
	for i := range 12 {
		storm = append(storm, fmt.Sprintf("web-%d", i+20))
	}
	other := pastPage("other", time.Hour, time.Hour, "web-1")
	other.Alerts[0].Labels["alertname"] = "Slow"
	s := remediate.Simulate(t.Context(), hostPolicy(), nil, []page.Page{
		pastPage("d", 20*time.Hour, time.Hour, storm...),
		other,
		pastPage("f", 20*time.Hour-10*time.Minute, time.Hour, "web-90"), // the pool is left alone after d
		pastPage("a", 3*day, time.Hour, "web-1:9100"),
		pastPage("b", 3*day-10*time.Minute, time.Hour, "web-1:9100"), // while a's launch cools down
		pastPage("c", 2*day, time.Minute, "web-1:9100"),              // over before 3m
		pastPage("e", day/2, time.Hour, "web-1", "*"),
	})
	require.Equal(t, 7, s.Pages)
	require.Equal(t, 6, s.Matched)
	var told []string
	for _, c := range s.Cases {
		told = append(told, fmt.Sprintf("%s %s %s", c.Problem, c.Target.Name, c.Word()))
	}
	require.Equal(t, []string{
		"a web-1 run", "b web-1 wait", "c web-1 nothing",
		"d web-20 deny", "d web-21 deny", "d web-22 deny", "d web-23 deny", "d web-24 deny", "d web-25 deny",
		"d web-26 deny", "d web-27 deny", "d web-28 deny", "d web-29 deny", "d web-30 deny", "d web-31 deny",
		"f web-90 wait", "e  nothing", "e web-1 run",
	}, told)
	require.Equal(t, noon().Add(3*time.Minute-3*day), s.Cases[0].At, "as soon as it had fired for long enough")
	require.Equal(t, []string{"blast radius"}, s.Cases[0].Unasked, "nobody knows how large the pool was")
	require.Equal(t, "web", s.Cases[3].Ruling.Storm)

	var text bytes.Buffer
	require.NoError(t, s.WriteText(&text))
	require.Contains(t, text.String(), "policy restart in mode auto: 6 of 7 pages match: 2 run, 2 wait, 12 deny, 2 nothing\n")
	require.Contains(t, text.String(), `2026-05-31 12:03:00  run`)
	require.Contains(t, text.String(), "blast radius: 12 targets began to fail within 5m")
	require.Contains(t, text.String(), `"*" names no target`)

	var raw bytes.Buffer
	require.NoError(t, s.WriteJSON(&raw))
	var back remediate.Simulation
	require.NoError(t, json.Unmarshal(raw.Bytes(), &back))
	require.Equal(t, s, back)
}

func TestASimulationChangesNothingAndSaysWhatItsModeWould(t *testing.T) {
	for mode, want := range map[remediate.Mode]string{
		remediate.Observe: "say", remediate.Check: "check", remediate.Approve: "ask", remediate.Auto: "run", remediate.Off: "deny",
	} {
		p := hostPolicy()
		p.Mode, p.Steps[0].Mode = mode, mode
		pages := []page.Page{pastPage("a", 24*time.Hour, time.Hour, "web-1:9100")}
		s := remediate.Simulate(t.Context(), p, nil, pages)
		require.Len(t, s.Cases, 1)
		require.Equal(t, want, s.Cases[0].Word(), mode)
		require.Equal(t, page.Closed, pages[0].State)
		require.Equal(t, page.Resolved, pages[0].Alerts[0].Status)
	}
}

func TestASimulationWithoutPagesOrTraits(t *testing.T) {
	s := remediate.Simulate(t.Context(), hostPolicy(), nil, nil)
	require.Empty(t, s.Cases)
	var text bytes.Buffer
	require.NoError(t, s.WriteText(&text))
	require.Equal(t, "policy restart in mode auto: 0 of 0 pages match\n", text.String())
	pg := deployed("weak", page.Labels{"version": "v42"})
	s = remediate.Simulate(t.Context(), servicePolicy(), nil, []page.Page{pg})
	require.Len(t, s.Cases, 1)
	require.Equal(t, "the page names no target", s.Cases[0].Why)
}
