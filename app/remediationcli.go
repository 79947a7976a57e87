package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

// DispatchOptions say which gateway is asked of which dispatch.
type DispatchOptions struct {
	Gateway  Gateway
	Dispatch string // its id, or how it begins
	All      bool   // those that are over, too
	JSON     bool
}

// Dispatches lists dispatches, newest first, and what is frozen.
func Dispatches(ctx context.Context, w io.Writer, o DispatchOptions) error {
	found, err := o.list(ctx, o.All)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(w, found)
	}
	var s Switches
	if err := o.Gateway.ask(ctx, http.MethodGet, "/api/v1/switches", nil, &s); err != nil {
		return err
	}
	for scope, f := range s.Switches {
		fmt.Fprintf(w, "FROZEN  %s since %s by %s: %s\n", scope, f.At.UTC().Format(time.RFC3339), notify.Clean(f.By, 100), notify.Clean(f.Why, 200))
	}
	for policy, b := range s.Breakers {
		fmt.Fprintf(w, "OPEN    breaker of %s since %s: %s\n", policy, b.At.UTC().Format(time.RFC3339), notify.Clean(b.Why, 200))
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "no dispatch is under way")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "DISPATCH\tSINCE\tSTAGE\tPOLICY\tSTEP\tTARGET\tPAGE\tREASON")
	for _, d := range found {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Moved.UTC().Format(time.RFC3339), d.Stage, d.Policy, d.Step.Name,
			notify.Clean(d.Target.Name, 60), d.Problem[:min(len(d.Problem), 12)], notify.Clean(d.Reason, 120))
	}
	return tw.Flush()
}

func (o DispatchOptions) list(ctx context.Context, all bool) ([]remediate.Dispatch, error) {
	path := "/api/v1/dispatches"
	if all {
		path += "?state=all"
	}
	var found []remediate.Dispatch
	return found, o.Gateway.ask(ctx, http.MethodGet, path, nil, &found)
}

// find completes the beginning of an id.
func (o DispatchOptions) find(ctx context.Context) (string, error) {
	if len(o.Dispatch) == 26 {
		return o.Dispatch, nil
	}
	found, err := o.list(ctx, true)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, d := range found {
		if strings.HasPrefix(d.ID, o.Dispatch) {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) != 1 {
		return "", fmt.Errorf("%d dispatches begin with %q: write more of its id", len(ids), o.Dispatch)
	}
	return ids[0], nil
}

// ShowDispatch shows all that is known of one: why it did, or did not, run.
func ShowDispatch(ctx context.Context, w io.Writer, o DispatchOptions) error {
	id, err := o.find(ctx)
	if err != nil {
		return err
	}
	var d Dispatched
	if err := o.Gateway.ask(ctx, http.MethodGet, "/api/v1/dispatches/"+url.PathEscape(id), nil, &d); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(w, d)
	}
	return writeDispatch(w, d)
}

func writeDispatch(w io.Writer, d Dispatched) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	clean := func(s string) string { return notify.Clean(s, 300) }
	fmt.Fprintf(tw, "dispatch\t%s\n", d.ID)
	fmt.Fprintf(tw, "what\t%s\n", clean(d.Title()))
	fmt.Fprintf(tw, "page\t%s episode %d\n", d.Problem, d.Episode)
	fmt.Fprintf(tw, "mode\t%s\n", clean(d.ModeText()))
	for _, s := range d.Layered {
		if s.Field != "mode" {
			fmt.Fprintf(tw, "layers\t%s\n", clean(s.String()))
		}
	}
	fmt.Fprintf(tw, "stage\t%s: %s\n", d.Stage, clean(d.Reason))
	if d.Job != nil {
		fmt.Fprintf(tw, "job\t%d %s %s\n", d.Job.ID, d.Job.State, clean(d.Job.Link))
	}
	if d.Intent != nil {
		fmt.Fprintf(tw, "launch\t%s, limit %q, watermark %d, attempt %d\n", d.Intent.At.UTC().Format(time.RFC3339), d.Intent.Launch.Limit, d.Intent.Watermark, d.Attempt)
	}
	for _, a := range d.Approval {
		fmt.Fprintf(tw, "decision\t%s by %s approve=%t\n", a.At.UTC().Format(time.RFC3339), clean(a.By), a.Approve)
	}
	if len(d.Readings) > 0 {
		fmt.Fprintln(tw, "\nMETRIC\tBEFORE THE LAUNCH\tIN THE END")
		for _, r := range d.Readings {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", clean(r.Name), clean(cmp.Or(r.Before, "-")), clean(cmp.Or(r.After, "-")))
		}
	}
	fmt.Fprintln(tw, "\nGUARD\tSAYS\tVALUE\tREASON")
	for _, v := range d.Verdicts {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", v.Guard, v.Outcome, clean(v.Value), clean(v.Reason))
	}
	fmt.Fprintln(tw, "\nWHEN\tFROM\tTO\tWHO\tWHY")
	for _, l := range d.Journal {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", l.At.UTC().Format(time.RFC3339), l.From, l.To, clean(l.Actor), clean(l.Reason))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if d.Evidence != nil && len(d.Evidence.Hosts) > 0 {
		fmt.Fprintln(w)
		for _, h := range d.Evidence.Hosts {
			fmt.Fprintf(w, "%s: %d ok, %d changed, %d failed, %d unreachable\n", clean(h.Host), h.OK, h.Changed, h.Failed, h.Dark)
		}
	}
	if d.Evidence != nil && d.Evidence.Tail != "" {
		fmt.Fprintln(w, "\nits output ends:")
		for line := range strings.Lines(d.Evidence.Tail) {
			fmt.Fprintln(w, "  "+notify.Clean(line, 300))
		}
	}
	if !d.Whole {
		return errors.New("the journal is not whole: lines of it were changed or are missing")
	}
	return nil
}

// Decide approves or denies a dispatch.
func Decide(ctx context.Context, w io.Writer, o DispatchOptions, approve bool) error {
	id, err := o.find(ctx)
	if err != nil {
		return err
	}
	verb := page.DenyIt
	if approve {
		verb = page.ApproveIt
	}
	if err := o.Gateway.ask(ctx, http.MethodPost, "/api/v1/dispatches/"+url.PathEscape(id)+"/decisions", decision{Verb: verb}, nil); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s of %s is handed in; what comes of it stands on its page\n", verb, id)
	return err
}

// Flip freezes, thaws, or resets a breaker; do is freeze, thaw or reset.
func Flip(ctx context.Context, w io.Writer, g Gateway, do, scope, why string) error {
	var got map[string]bool
	if err := g.ask(ctx, http.MethodPost, "/api/v1/switches", flip{Do: do, Scope: scope, Why: why}, &got); err != nil {
		return err
	}
	said := "nothing had to be changed"
	if got["changed"] {
		said = "done"
	}
	_, err := fmt.Fprintf(w, "%s %s: %s\n", do, scope, said)
	return err
}

// SimulateOptions choose which policies are tried on which pages.
type SimulateOptions struct {
	Gateway  Gateway
	Policies []string // files or patterns; none: those of the config
	Policy   string   // "": all of them
	JSON     bool
}

// Simulate asks what policies would have done about the pages that the gateway
// remembers. Nothing is started.
func Simulate(ctx context.Context, w io.Writer, o SimulateOptions) error {
	files := o.Policies
	var byApp *remediate.Apps
	if len(files) == 0 {
		p, err := load(o.Gateway.ConfigFile)
		if err != nil {
			return err
		}
		byApp = p.byApp
		for _, f := range p.Remediation.Policies {
			files = append(files, beside(filepath.Dir(o.Gateway.ConfigFile), f))
		}
	}
	policies, err := remediate.LoadPolicies(files...)
	if err != nil {
		return err
	}
	var pages []page.Page
	if err := o.Gateway.ask(ctx, http.MethodGet, "/api/v1/pages?state=all", nil, &pages); err != nil {
		return err
	}
	var out []remediate.Simulation
	for _, p := range policies {
		if o.Policy == "" || p.Name == o.Policy {
			out = append(out, remediate.Simulate(ctx, p, byApp, pages))
		}
	}
	if o.JSON {
		return printJSON(w, out)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "POLICY\tAT\tPAGE\tTARGET\tSTEP\tMODE\tRULING\tWHY")
	for _, s := range out {
		for _, c := range s.Cases {
			why := c.Why
			for _, v := range c.Ruling.Verdicts {
				if why == "" && v.Outcome != remediate.Pass {
					why = v.Guard + ": " + v.Reason
				}
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Policy, c.At.UTC().Format(time.RFC3339), c.Problem[:min(len(c.Problem), 12)],
				notify.Clean(c.Target.Name, 60), c.Step, c.ModeText(), c.Ruling.Outcome, notify.Clean(why, 160))
		}
		fmt.Fprintf(tw, "%s\t%d pages, %d matched, %d cases\n", s.Policy, s.Pages, s.Matched, len(s.Cases))
	}
	return tw.Flush()
}
