package main

import (
	"bytes"
	"context"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
)

func lab(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &screen{out: &o}, &e)
	return code, o.String(), e.String()
}

func TestHelp(t *testing.T) {
	code, out, _ := lab(t, "--help")
	require.Zero(t, code)
	for _, command := range []string{"demo", "up", "fault", "measure", "e2e", "matrix", "kill", "nodes", "openapi", "repair", "fake", "configs", "dashboards"} {
		require.Contains(t, out, "\n  "+command+" ")
		code, help, _ := lab(t, command, "--help")
		require.Zero(t, code)
		require.Contains(t, help, "tocsin-lab "+command, "an example")
	}
}

func TestConfigs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	code, out, errs := lab(t, "configs", "--settings", "stock", dir)
	require.Zero(t, code, errs)
	for _, file := range []string{"alertmanager.yml", "prometheus-a.yml", "rules.yml", "tocsin.yml"} {
		require.Contains(t, out, filepath.Join(dir, file)+"\n")
		require.FileExists(t, filepath.Join(dir, file))
	}
	rules, err := os.ReadFile(filepath.Join(dir, "rules.yml"))
	require.NoError(t, err)
	require.Contains(t, string(rules), "for: 5m\n")
}

func TestCommandLineMistakes(t *testing.T) {
	for _, args := range [][]string{{}, {"demo", "--fault", "flood"}, {"fake", "teams"}, {"up", "--replicas", "3"}, {"fault", "bad-host"}, {"repair", "--only", "reboot"}} {
		code, _, errs := lab(t, args...)
		require.Equal(t, 2, code, args)
		require.Contains(t, errs, "tocsin-lab --help lists the commands")
	}
}

func TestScenarioMistake(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.yml")
	require.NoError(t, os.WriteFile(file, []byte("- {at: 1s, fault: flood}\n"), 0o600))
	code, _, errs := lab(t, "up", "--scenario", file)
	require.Equal(t, 1, code)
	require.Contains(t, errs, file+":1: ")
	require.Contains(t, errs, `fault "flood" is not known`)
}

func TestFaultCommand(t *testing.T) {
	f, err := fleet.New(fleet.Options{})
	require.NoError(t, err)
	board := scenario.NewBoard(f, 1)
	srv := httptest.NewServer(board)
	t.Cleanup(srv.Close)

	code, out, errs := lab(t, "fault", "noisy-user", "--service", "cart", "--url", srv.URL+"/")
	require.Zero(t, code, errs)
	require.Contains(t, out, "noisy-user-1 at ")
	require.Contains(t, out, "expect HighErrorRate to page with: user=acct-")
	require.Len(t, board.Active(), 1)

	code, _, errs = lab(t, "fault", "flood", "--url", srv.URL)
	require.Equal(t, 1, code)
	require.Contains(t, errs, `tocsin-lab: fault "flood" is not known: write one of bad-deploy`)
	code, _, errs = lab(t, "fault", "heal", "nope", "--url", srv.URL)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "in force: noisy-user-1")
	code, _, _ = lab(t, "fault", "heal", "--url", srv.URL)
	require.Zero(t, code)
	require.Empty(t, board.Active())

	srv.Close()
	code, _, errs = lab(t, "fault", "heal", "--url", srv.URL)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "is a world up?")
}

func TestFakeServesUntilStopped(t *testing.T) {
	for _, service := range []string{"slack", "pagerduty", "awx"} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		done := make(chan int, 1)
		go func() { done <- run(ctx, []string{"fake", service}, &screen{out: w}, io.Discard) }()
		line := make([]byte, 512)
		n, err := r.Read(line)
		require.NoError(t, err)
		require.Contains(t, string(line[:n]), "fake "+service+" at http://127.0.0.1:")
		require.NotContains(t, string(line[:n]), "%!")
		cancel()
		require.Zero(t, <-done)
	}
}

func TestReport(t *testing.T) {
	f, err := fleet.New(fleet.Options{})
	require.NoError(t, err)
	struck, err := scenario.NewBoard(f, 1).Strike(scenario.BadHost, "cart", 0)
	require.NoError(t, err)
	begin := time.Now()
	good := drill.Outcome{Fault: struck, SlackRight: true, PDRight: true, Times: ttn.Times{ttn.StageFault: begin, ttn.StageDelivered: begin.Add(21 * time.Second)}}
	bad := drill.Outcome{Fault: struck, Slack: "what they share is not known\nmore", Times: ttn.Times{ttn.StageFault: begin}, Err: "page not delivered"}
	var out bytes.Buffer
	s := &screen{out: &out}
	s.predict(struck)
	s.clock(good)
	s.report(Report{Settings: "fast", Faults: 2, Delivered: 1, RightFirst: 1, Outcomes: []drill.Outcome{good, bad}, Stages: ttn.Summarise([]ttn.Times{good.Times, bad.Times})})
	require.Contains(t, out.String(), "delivered 1 of 2; right in the first Slack post and the PagerDuty trigger 1 of 2")
	require.Contains(t, out.String(), `expected "`+struck.Expected()+`", read "what they share is not known" page not delivered`)
	require.Contains(t, out.String(), "21.0 s")
	require.NotContains(t, out.String(), "\x1b", "no colour off a terminal")
	for _, stage := range []string{"scrape", "rule", "for", "send", "webhook", "delivered"} {
		require.Contains(t, out.String(), " "+stage)
	}
	require.NotContains(t, out.String(), "%!")
	require.NoError(t, wrong(good))
	require.ErrorContains(t, wrong(bad), "is not what was read first")
}

// The doctor reads the very files that a world runs on, and its word on a fault
// is that of the lab's own settings.
func TestDoctorForetellsTheLab(t *testing.T) {
	for _, name := range []string{"fast", "stock"} {
		dir := t.TempDir()
		var said bytes.Buffer
		require.Zero(t, run(t.Context(), []string{"configs", dir, "--settings", name}, &screen{out: &said}, io.Discard), said.String())
		settings, err := ttn.Named(name)
		require.NoError(t, err)
		f, err := fleet.New(fleet.Options{})
		require.NoError(t, err)
		board := scenario.NewBoard(f, 1)
		for i, kind := range scenario.Kinds() {
			struck, err := board.Strike(kind, f.Services()[i%len(f.Services())], 0)
			require.NoError(t, err)
			chain, ok := settings.Chain(struck.Symptom, struck.Level)
			require.True(t, ok)
			want := chain.Total()
			begin := time.Now()
			late := drill.Outcome{Fault: struck, Times: ttn.Times{ttn.StageFault: begin, ttn.StageDelivered: begin.Add(want.Worst + 6*time.Second)}}
			unseen := drill.Outcome{Fault: struck, Times: ttn.Times{ttn.StageFault: begin}}
			got, err := foretell(t.Context(), dir, []drill.Outcome{late, unseen})
			require.NoError(t, err)
			require.Equal(t, 1, got.N)
			require.Equal(t, 1, got.Exceeded)
			require.InDelta(t, want.Best.Seconds(), got.Best.Seconds(), 0.01, "%s %s", name, kind)
			require.InDelta(t, want.Mean.Seconds()+0.5, got.Mean.Seconds(), 0.01, "Tocsin's own part")
			require.InDelta(t, want.Worst.Seconds()+5, got.Worst.Seconds(), 0.01, "and its deadline")
			require.InDelta(t, got.Measured.Seconds()/got.Mean.Seconds()-1, got.Off(), 1e-6)
		}
	}
}

func TestMatrixReport(t *testing.T) {
	f, err := fleet.New(fleet.Options{})
	require.NoError(t, err)
	struck, err := scenario.NewBoard(f, 1).Sicken(scenario.BadDeploy, "cart")
	require.NoError(t, err)
	cell := func(name string, right bool, d drill.Dating) drill.Cell {
		return drill.Cell{
			Kind: struck.Kind, Expression: name, Paged: true, Right: right, Said: "said this\nand more", Dating: d,
			Queries: 2, Series: 10, Bytes: 3000, Delivered: 20 * time.Second, Answered: 200 * time.Millisecond,
		}
	}
	scenes := []drill.Scene{{Fault: struck, Cells: []drill.Cell{
		cell("Good", true, drill.Dating{Known: true, Off: -2 * time.Second, Inside: true, Named: true}),
		cell("Late", true, drill.Dating{Known: true, Off: 8 * time.Second}),
		cell("Wrong", false, drill.Dating{Known: true, Innocent: true}),
		{Kind: struck.Kind, Expression: "Silent"},
	}}}
	sums := summed(scenes, 5*time.Second)
	require.Len(t, sums, 2)
	all := sums[1]
	require.Equal(t, []int{4, 3, 2}, []int{all.Cells, all.Paged, all.Right})
	require.InDelta(t, 10, all.Series, 0)
	require.Equal(t, []int{3, 3, 2, 1, 1, 1, 3}, []int{all.Onset.Of, all.Onset.Dated, all.Onset.Within, all.Onset.Inside, all.Onset.Innocent, all.Onset.Named, all.Onset.Deploys})
	require.Equal(t, 8*time.Second, all.Onset.Off95)
	require.EqualError(t, all.verdict(95), "2 of 4 first messages are right, below 95 %\n1 pages blame the deploy of ten minutes before")
	require.NoError(t, summed([]drill.Scene{{Fault: struck, Cells: scenes[0].Cells[:2]}}, 5*time.Second)[1].verdict(95))

	var out bytes.Buffer
	s := &screen{out: &out}
	s.scene(scenes[0])
	s.matrix(scenes, sums, 5*time.Second)
	for _, want := range []string{
		"3 of 4 paged, 2 wrong, expected version=v42", `Wrong said "said this"`, "Silent never paged", "1/3",
		"bad-deploy Late: off by 8s", "bad-deploy Wrong: blames the deploy of ten minutes before",
	} {
		require.Contains(t, out.String(), want)
	}
	require.NotContains(t, out.String(), "Good:")
	require.NotContains(t, out.String(), "%!")
}

func TestMatrixMistake(t *testing.T) {
	code, _, errs := lab(t, "matrix", "--expr", "Nope")
	require.Equal(t, 1, code)
	require.Contains(t, errs, `expression "Nope" is not known`)
}

func TestComplain(t *testing.T) {
	right := drill.Outcome{Roots: 1, Incidents: 1, SlackRight: true, PDRight: true, Edits: 2, Resolved: true}
	require.Empty(t, complain(right, nil))
	all := strings.Join(complain(drill.Outcome{Roots: 2}, io.EOF), "\n")
	for _, want := range []string{"EOF", "2 roots", "0 incidents", "first Slack post", "PagerDuty trigger", "never edited", "resolve"} {
		require.Contains(t, all, want)
	}
}
