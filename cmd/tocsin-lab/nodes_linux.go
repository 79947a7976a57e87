package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/nodes"
	"github.com/tocsin/tocsin/lab/world"
)

// machine are the commands that take a Linux machine.
type machine struct {
	Nodes nodesCmd `cmd:"" help:"A throttled and a lossy container, real ones, seen by netns_exporter: two pages, each names the pod and its node."`
}

type nodesCmd struct {
	worldFlags
}

// Help shows examples under the flags.
func (nodesCmd) Help() string {
	return `Four nodes of this machine's own namespaces and cgroups, each with a pod and a netns_exporter; the
alerts of deploy/alerts/netns.rules.yml with their times divided by ten. The pod of one node wants
more CPU than its limit, that of another loses every fifth packet. Exit 0 only if there are two
pages, and the trait of each names the pod and its node. As root; where the machine does not let
nodes be made (cgroups without a CPU controller of their own, no TUN devices) it says so.

  sudo tocsin-lab nodes`
}

// tale is what must be told of one pod.
type tale struct{ alert, pod, node string }

// Run is the command.
func (c *nodesCmd) Run(ctx context.Context, out *screen) error {
	if err := nodes.Possible(); err != nil {
		out.line("%s", out.paint("31", "NO NODES: "+err.Error()))
		out.line("nothing was tried: this takes root, Linux namespaces, /dev/net/tun and a cgroup hierarchy that hands the CPU controller down")
		return nil
	}
	o, err := c.options("nodes", out)
	if err != nil {
		return err
	}
	rules, err := os.ReadFile(filepath.Join(o.Finder.Root, "deploy/alerts/netns.rules.yml"))
	if err != nil {
		return fmt.Errorf("the rules are those of the sources: %w", err)
	}
	o.Finder.Oldest = map[string][2]int{"prometheus": {3, 8}} // the pinned one, or newer
	exporter, err := o.Finder.Find(ctx, "netns_exporter")
	if err != nil {
		return err
	}
	out.line("  %-13s %s", "exporter", exporter)
	cluster := []*nodes.Node{
		{Name: "node-a", Pod: "cart-0"},
		{Name: "node-b", Pod: "cart-1", Busy: true, Quiet: true},
		{Name: "node-c", Pod: "cart-2", Loss: .2},
		{Name: "node-d", Pod: "cart-3"},
	}
	dir, err := os.MkdirTemp("", "tocsin-nodes-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	up, err := nodes.Start(ctx, nodes.Options{Dir: dir, Exporter: exporter}, cluster)
	if err != nil {
		return fmt.Errorf("make nodes: %w", err)
	}
	defer up.Stop()
	o.Rules, o.Services, o.Targets = map[string][]byte{"netns.rules.yml": hasty(rules)}, []string{"cart"}, 6
	for _, n := range cluster {
		o.Guests = append(o.Guests, world.Guest{Addr: n.Addr, Labels: map[string]string{"job": "netns", "instance": n.Name}})
	}
	w, err := begin(ctx, o, out, 0)
	if err != nil {
		return err
	}
	defer w.Stop()
	return tell(ctx, w, out, []tale{{"CPUThrottledLong", "cart-1", "node-b"}, {"TCPRetransmits", "cart-2", "node-c"}})
}

// hasty divides the times of rules by ten: minutes are six seconds.
func hasty(rules []byte) []byte {
	return regexp.MustCompile(`(for: |\[)(\d+)m`).ReplaceAllFunc(rules, func(m []byte) []byte {
		at := slices.IndexFunc(m, func(b byte) bool { return b >= '0' && b <= '9' })
		minutes, _ := strconv.Atoi(string(m[at : len(m)-1]))
		return fmt.Appendf(nil, "%s%ds", m[:at], 6*minutes)
	})
}

// tell waits for the pages and judges them.
func tell(ctx context.Context, w *world.World, out *screen, tales []tale) error {
	deadline := time.NewTimer(4 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for begun, waiting := time.Now(), true; waiting; {
		roots := w.FakeSlack.Ledger().Roots()
		waiting = slices.ContainsFunc(tales, func(t tale) bool { return !t.in(roots) })
		if !waiting {
			out.line("  both pages are there %s after the first scrapes", seconds(time.Since(begun)))
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-w.Failed():
			return err
		case <-deadline.C:
			waiting = false
		case <-tick.C:
		}
	}
	if err := pause(ctx, w, 5*time.Second); err != nil { // a third page may be on its way
		return err
	}
	named, err := traits(ctx, w)
	if err != nil {
		return err
	}
	roots := w.FakeSlack.Ledger().Roots()
	var errs []error
	for _, t := range tales {
		errs = append(errs, t.judge(out, named[t.alert], roots))
	}
	if len(roots) != len(tales) {
		errs = append(errs, fmt.Errorf("slack has %d roots for %d faults", len(roots), len(tales)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w; logs in %s/logs", err, w.Dir)
	}
	return nil
}

func (t tale) in(roots []fakeslack.Message) bool {
	return slices.ContainsFunc(roots, t.about)
}

func (t tale) about(m fakeslack.Message) bool { return strings.Contains(m.First.Visible, t.alert) }

// traits are what each page's best trait names, and what is the same as that, by
// the page's alert.
func traits(ctx context.Context, w *world.World) (map[string]map[string]string, error) {
	pages, err := drill.New(w).Pages(ctx, "all")
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	out := map[string]map[string]string{}
	for _, p := range pages {
		if len(p.Traits) == 0 {
			continue
		}
		named := map[string]string{}
		maps.Copy(named, p.Traits[0].Labels)
		for _, l := range p.Traits[0].Also {
			named[l.Name] = l.Value
		}
		out[p.Alerts[0].Name()] = named
	}
	return out, nil
}

// judge says whether the page's trait names the pod and the node, whether its
// first words in Slack do, and whether there is one of it.
func (t tale) judge(out *screen, named map[string]string, roots []fakeslack.Message) error {
	said := ""
	if i := slices.IndexFunc(roots, t.about); i >= 0 {
		said = roots[i].First.Visible
	}
	headline, _, _ := strings.Cut(said, "\n")
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: "+format, append([]any{t.alert}, args...)...))
		}
	}
	want(named["pod"] == t.pod && named["instance"] == t.node, "the trait does not name pod=%s and instance=%s but %v", t.pod, t.node, named)
	want(strings.Contains(headline, t.node) || strings.Contains(headline, t.pod), "Slack's first line is %q", headline)
	want(strings.Contains(said, t.pod) && strings.Contains(said, t.node), "the first Slack post does not name %s and %s: %s", t.pod, t.node, said)
	out.line("%s  %s: %s · trait: instance=%s, the same as pod=%s", out.verdict(len(errs) == 0, "ok  ", "FAIL"), t.alert, headline, named["instance"], named["pod"])
	return errors.Join(errs...)
}

// insideANode is whether this process was started as a part of a node; it does
// not return then unless it fails.
func insideANode(args []string) (inside bool, err error) {
	if len(args) == 0 || args[0] != nodes.Argument {
		return false, nil
	}
	return true, nodes.Inside(args[1:])
}
