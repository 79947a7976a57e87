package world

import (
	"context"
	"slices"

	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/probe"
)

// Remediation is an AWX beside the fleet, and what Tocsin may have it do.
type Remediation struct {
	Policies  []byte             // a file of policies; their backend is awx/main
	Names     []string           // of those that act
	Playbooks string             // folder of fakeawx's playbooks; "": its actions stand in for them
	Templates []fakeawx.Template // beside those of fakeawx.FleetWorld
}

// employ brings up the AWX. Its inventory is the fleet's hosts.
func (w *World) employ(ctx context.Context, o Options) error {
	r := o.Remediation
	if r == nil {
		return nil
	}
	var hosts []string
	for _, service := range w.Fleet.Services() {
		for _, t := range w.Fleet.Members(service) {
			hosts = append(hosts, t["host"])
		}
	}
	slices.Sort(hosts)
	inside, actions := fakeawx.FleetWorld(slices.Compact(hosts), "http://"+w.Plan.Fleet)
	for _, t := range r.Templates {
		inside.Templates = append(inside.Templates, t)
		inside.Users[0].Execute = append(inside.Users[0].Execute, t.Name)
	}
	w.FakeAWX = fakeawx.New(fakeawx.Options{World: inside, Playbooks: r.Playbooks, Actions: actions, Seed: o.Seed})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go w.FakeAWX.Run(ctx)
	go func() {
		<-w.ending
		cancel()
	}()
	var err error
	if w.AWX, err = w.open(ctx, w.FakeAWX); err != nil {
		return err
	}
	w.Remediate = r.Names
	return w.probe(ctx)
}

// probe has somebody else look at the fleet, by requests of its own: what machines
// may do is not proven by the metrics that fired.
func (w *World) probe(ctx context.Context) error {
	p := probe.New(probe.Options{
		Base: "http://" + w.Plan.Fleet, Path: fleet.FrontPath, Fronts: w.Fleet.Fronts(), Version: fleet.VersionHeader,
	})
	addr, err := w.open(ctx, p)
	if err != nil {
		return err
	}
	w.options.Guests = append(slices.Clone(w.options.Guests), Guest{
		Addr: addr, Labels: map[string]string{"job": "probe", "instance": "probe-1:9115"},
	})
	go p.Run(ctx) // ends with the world
	return nil
}
