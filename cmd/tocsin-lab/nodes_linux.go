package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

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
	if err := tell(ctx, w, out, "the first scrapes", []tale{story("CPUThrottledLong", "cart-1", "node-b"), story("TCPRetransmits", "cart-2", "node-c")}); err != nil {
		return err
	}
	return look(ctx, w, out, "nodes")
}

// pressure says whether cgroups tell it here.
func pressure() bool { return nodes.Pressure() }

// story is what must be told of the pod of a node: the two are the same, and the
// message says so.
func story(alert, pod, node string) tale {
	return tale{
		alert: alert, names: map[string]string{"pod": pod, "instance": node}, headline: []string{pod, node},
		says: []string{"the same as pod=" + pod, "the same as instance=" + node},
	}
}

// insideANode is whether this process was started as a part of a node; it does
// not return then unless it fails.
func insideANode(args []string) (inside bool, err error) {
	if len(args) == 0 || args[0] != nodes.Argument {
		return false, nil
	}
	return true, nodes.Inside(args[1:])
}
