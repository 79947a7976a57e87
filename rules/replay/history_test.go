package replay_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/rules/replay"
)

func TestAReplayGoesOnWithWhatItKnows(t *testing.T) {
	fake := enrichtest.New(t, gauge("a", time.Hour, between(5*time.Minute, 8*time.Minute)))
	dir := t.TempDir()
	memory, err := replay.OpenMemory(dir, fake.URL)
	require.NoError(t, err)
	run := func(m *replay.Memory) (replay.Outcome, *replay.History) {
		h := history(t, fake.URL, m)
		h.Now = func() time.Time { return noon().Add(2 * time.Hour) }
		out, err := replay.Evaluate(t.Context(), h, rule(), window(time.Hour), nil)
		require.NoError(t, err)
		return out, h
	}
	first, h := run(memory)
	require.Positive(t, h.Asked)
	require.Zero(t, h.Known)
	asked := len(fake.Asked())
	second, h := run(memory)
	require.Equal(t, first, second)
	require.Zero(t, h.Asked)
	require.Len(t, fake.Asked(), asked)

	other, err := replay.OpenMemory(dir, "http://another")
	require.NoError(t, err)
	_, h = run(other)
	require.Zero(t, h.Known, "another server's answers")

	files, err := filepath.Glob(filepath.Join(dir, "*.answer"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for i, path := range files { // cut, and of garbage
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		if raw = raw[:len(raw)/2]; i%2 == 1 {
			raw = []byte("garbage")
		}
		require.NoError(t, os.WriteFile(path, raw, 0o600))
	}
	third, h := run(memory)
	require.Equal(t, first, third)
	require.Positive(t, h.Asked)
	for _, path := range files { // a week later
		old := time.Now().Add(-8 * 24 * time.Hour)
		require.NoError(t, os.Chtimes(path, old, old))
	}
	_, err = replay.OpenMemory(dir, fake.URL)
	require.NoError(t, err)
	files, err = filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestWhatIsRecentIsAskedAgain(t *testing.T) {
	fake := enrichtest.New(t, gauge("a", time.Hour, between(5*time.Minute, 8*time.Minute)))
	memory, err := replay.OpenMemory(t.TempDir(), fake.URL)
	require.NoError(t, err)
	for range 2 {
		h := history(t, fake.URL, memory)
		h.Now = func() time.Time { return noon().Add(time.Hour) }
		_, err = replay.Evaluate(t.Context(), h, rule(), window(time.Hour), nil)
		require.NoError(t, err)
		require.Positive(t, h.Asked)
	}
}

func TestTroubleOfTheServer(t *testing.T) {
	fake := enrichtest.New(t, gauge("a", time.Hour, between(5*time.Minute, 8*time.Minute)))
	h := history(t, fake.URL, nil)
	fake.Misbehave(enrichtest.Trouble{Status: http.StatusServiceUnavailable})
	_, err := replay.Evaluate(t.Context(), h, rule(), window(time.Hour), nil)
	require.ErrorContains(t, err, "Bad: query_range: status 503")
	require.Equal(t, 5, h.Asked, "it is asked again for a while")

	h = history(t, fake.URL, nil)
	fake.Misbehave(enrichtest.Trouble{Status: http.StatusUnauthorized})
	_, err = replay.Evaluate(t.Context(), h, rule(), window(time.Hour), nil)
	require.ErrorContains(t, err, "status 401")
	require.Equal(t, 1, h.Asked)

	fake.Misbehave(enrichtest.Trouble{Warning: "store s3 is away"})
	h = history(t, fake.URL, nil)
	_, err = replay.Evaluate(t.Context(), h, rule(), window(time.Hour), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"store s3 is away"}, h.Remarks)
}

func TestEvaluationsThatFail(t *testing.T) {
	fake := enrichtest.New(t,
		gauge("a", time.Hour, between(5*time.Minute, 8*time.Minute)), gauge("b", time.Hour, between(6*time.Minute, 7*time.Minute)))
	r := rule()
	r.Labels = page.Labels{"host": "same"}
	out, err := replay.Evaluate(t.Context(), history(t, fake.URL, nil), r, window(time.Hour), nil)
	require.NoError(t, err)
	require.Len(t, out.Failed, 1)
	require.Contains(t, out.Failed[0], "at 2026-11-20T12:06:00Z: ")
	require.Len(t, out.Firings, 1)
	require.Equal(t, noon().Add(8*time.Minute), out.Firings[0].Resolved, "a failed evaluation leaves the alerts as they were")

	r = rule()
	r.Limit = 1
	out, err = replay.Evaluate(t.Context(), history(t, fake.URL, nil), r, window(time.Hour), nil)
	require.NoError(t, err)
	require.Len(t, out.Failed, 1)
	require.Contains(t, out.Failed[0], "exceeded limit of 1")
	require.Equal(t, noon().Add(6*time.Minute), out.Firings[0].Resolved.Add(0), "the alerts are dropped")
}

func TestTemplatesMayAsk(t *testing.T) {
	fake := enrichtest.New(t, gauge("a", time.Hour, between(5*time.Minute, 8*time.Minute)))
	r := rule()
	r.Annotations = page.Labels{"summary": `{{ with query "count(bad)" }}{{ . | first | value }}{{ end }} hosts`}
	out, err := replay.Evaluate(t.Context(), history(t, fake.URL, nil), r, window(time.Hour), nil)
	require.NoError(t, err)
	require.Equal(t, "1 hosts", out.Firings[0].Summary)
}

// A server's own record, made with the phase that it has, agrees with a replay.
func TestCheck(t *testing.T) {
	phase := 3417 * time.Millisecond
	r := rule()
	r.External = page.Labels{"cluster": "dc1"}
	recorded := enrichtest.Series{Labels: labels.FromStrings("__name__", "ALERTS", "alertname", "Bad", "alertstate", "firing",
		"host", "a", "severity", "critical", "cluster", "dc1", "replica", "1")}
	for d := 5*time.Minute + 45*time.Second; d <= 8*time.Minute; d += r.Every {
		recorded.Samples = append(recorded.Samples, enrichtest.Sample{At: noon().Add(d - r.Every + phase), Value: 1})
	}
	fake := enrichtest.New(t, gauge("a", time.Hour, between(5*time.Minute, 8*time.Minute)), recorded)
	h := history(t, fake.URL, nil)
	got, known, err := replay.Phase(t.Context(), h, []string{"Bad", "Other"}, r.Every, 0, window(10*time.Minute))
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, phase, got)
	_, known, err = replay.Phase(t.Context(), h, []string{"Other"}, r.Every, 0, window(10*time.Minute))
	require.NoError(t, err)
	require.False(t, known)

	r.Phase = phase
	w := window(8 * time.Minute) // the fake has no markers of staleness
	out, err := replay.Evaluate(t.Context(), h, r, w, nil)
	require.NoError(t, err)
	a, err := replay.Check(t.Context(), h, out, w, []string{"replica"})
	require.NoError(t, err)
	require.Equal(t, replay.Agreement{Alert: "Bad", Both: 10, Firings: 1}, a)
	require.InDelta(t, 1, a.Share(), 0)

	a, err = replay.Check(t.Context(), h, out, w, nil)
	require.NoError(t, err)
	require.Zero(t, a.Both, "a replica's label is not the rule's")
	require.Equal(t, 10, a.Recorded)

	r.For = 2 * time.Minute
	out, err = replay.Evaluate(t.Context(), h, r, w, nil)
	require.NoError(t, err)
	a, err = replay.Check(t.Context(), h, out, w, []string{"replica"})
	require.NoError(t, err)
	require.Equal(t, 4, a.Both)
	require.Equal(t, 6, a.Recorded)
	require.Equal(t, "recorded", a.Example.Fires)
	require.Equal(t, noon().Add(5*time.Minute+30*time.Second+phase), a.Example.At)
}

func TestCompare(t *testing.T) {
	at := func(m int) time.Time { return noon().Add(time.Duration(m) * time.Minute) }
	pg := func(group string, opened, closed int) replay.Page {
		return replay.Page{Receiver: "r", Group: page.Labels{"service": group}, Opened: at(opened), Closed: at(closed)}
	}
	old := []replay.Page{pg("a", 0, 10), pg("a", 60, 70), pg("b", 0, 5), pg("c", 30, 31)}
	next := []replay.Page{pg("a", 2, 11), pg("a", 58, 70), pg("b", 0, 5), pg("b", 90, 95)}
	var got []string
	for _, d := range replay.Compare(old, next, time.Minute) {
		got = append(got, string(d.Change)+" "+d.Page().Group["service"]+" "+d.By.String())
	}
	require.Equal(t, []string{"same b 0s", "later a 2m0s", "removed c 0s", "earlier a 2m0s", "added b 0s"}, got)
}
