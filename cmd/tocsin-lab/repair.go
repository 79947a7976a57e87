package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/world"
)

//go:embed repair.yml
var repairPolicies []byte

type repairCmd struct {
	worldFlags
	Only []string `placeholder:"SCENE" enum:"restart,ladder,rollback,shift" help:"Only these scenes: ${enum}."`
}

// Help shows examples under the flags.
func (repairCmd) Help() string {
	return `Prometheus, Alertmanager, an AWX and the fleet as its inventory. Four faults at once, each ended by
what a policy may do, and judged by what stands in Slack, in PagerDuty and among AWX's jobs:

  restart   one host fails: a click by somebody without the role does nothing, a signed click of
            an operator starts one job on exactly that host, the playbook repairs it, verified
  ladder    two jobs succeed and repair nothing: people are paged, with the evidence
  rollback  one deploy fails: its rollback, the deploy in one variable, by approval
  shift     one datacentre is slow: its traffic is shifted away, by approval

Playbooks are run by ansible-playbook where it is installed. Exit 0 only if all of it holds.

  tocsin-lab repair
  tocsin-lab repair --only restart`
}

// play is a fault, and what has to become of it.
type play struct {
	name      string
	kind      scenario.Kind
	service   string
	policy    string
	asks      bool     // a person is asked
	templates []string // what is launched, in that order
	label     string   // of the fault's trait: names the target
	variable  string   // that holds the target; "": the limit does
	lines     []string // of the thread, in that order
}

func plays() []play {
	const waits, runs, over = "waits for approval", "launched job", "the alert has ended"
	approved := []string{waits, "approved by ann", "launches", runs, "successful", over, "verified: repaired"}
	return []play{
		{"restart", scenario.BadHost, "checkout", "restart-host", true, []string{"restart"}, "host", "", approved},
		{"ladder", scenario.BadHost, "catalog", "reload-host", false, []string{"reload", "reload-all"}, "host", "", []string{
			"step reload", runs, "successful", "not repaired: the alert still fires", "next step: reload-all",
			"step reload-all", runs, "successful", "not repaired: the alert still fires", "nothing more is tried: people are needed",
		}},
		{"rollback", scenario.BadDeploy, "payments", "rollback-deploy", true, []string{"rollback"}, "version", "deploy", approved},
		{"shift", scenario.SlowDC, "search", "shift-traffic", true, []string{"shift"}, "dc", "datacentre", approved},
	}
}

// Run is the command.
func (c *repairCmd) Run(ctx context.Context, out *screen) error {
	o, err := c.options("repair", out)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(plays(), func(p play) bool { return len(c.Only) > 0 && !slices.Contains(c.Only, p.name) })
	o.Remediation = &world.Remediation{Policies: repairPolicies}
	for _, p := range chosen {
		o.Remediation.Names = append(o.Remediation.Names, p.policy)
	}
	// what looks at a host, and succeeds, repairs nothing
	for _, name := range []string{"reload", "reload-all"} {
		o.Remediation.Templates = append(o.Remediation.Templates, fakeawx.Template{
			Name: name, Organization: "Lab", Inventory: "fleet", Playbook: "inspect.yml", Ask: []string{"limit", "variables", "job_type"}, Simultaneous: true,
		})
	}
	how := "the fake's own actions: ansible-playbook or the sources are not here"
	if path := fakeawx.Ansible(); path != "" && o.Finder.Root != "" {
		how, o.Remediation.Playbooks = path, filepath.Join(o.Finder.Root, "lab/fakeawx/playbooks")
	}
	out.line("  %-13s %s", "playbooks", how)
	w, err := begin(ctx, o, out, 30*time.Second)
	if err != nil {
		return err
	}
	defer w.Stop()
	if err := mumble(ctx, w); err != nil {
		return err
	}
	if err := perform(ctx, w, out, chosen); err != nil || len(c.Only) > 0 {
		return err
	}
	return look(ctx, w, out, "repair")
}

// perform plays all at once, each on a service of its own, and then counts.
func perform(ctx context.Context, w *world.World, out *screen, chosen []play) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 200*time.Second, errors.New("its time is over"))
	defer cancel()
	var playing sync.WaitGroup
	tell := &told{out: out, begun: time.Now()}
	errs := make([]error, len(chosen))
	for i, p := range chosen {
		playing.Go(func() { errs[i] = (&performance{play: p, w: w, tell: tell}).run(ctx) })
	}
	playing.Wait()
	failed, want := 0, 0
	for i, p := range chosen {
		want += len(p.templates)
		if errs[i] != nil {
			failed++
		}
		out.line("%s  %s: %s on %s by %s", out.verdict(errs[i] == nil, "ok  ", "FAIL"), p.name, p.kind, p.service, strings.Join(p.templates, ", "))
		if errs[i] != nil {
			out.indent(errs[i].Error())
		}
	}
	if l := w.FakeAWX.Ledger(); l.Launches != want || len(l.Jobs) != want {
		failed++
		out.line("%s  AWX has %d launches and %d jobs, %d is right", out.verdict(false, "", "FAIL"), l.Launches, len(l.Jobs), want)
	}
	if failed > 0 {
		return fmt.Errorf("%d did not hold; logs and ledgers in %s/logs", failed, w.Dir)
	}
	out.line("%s", out.paint("32", fmt.Sprintf("all %d scenes hold: %d launches, as many as were meant", len(chosen), want)))
	return nil
}

// told is what scenes say while they play, one line at a time.
type told struct {
	mu    sync.Mutex
	out   *screen
	begun time.Time
}

func (t *told) line(p play, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.line("  %7s  %-8s  %s", "+"+seconds(time.Since(t.begun)), p.name, fmt.Sprintf(format, args...))
}
