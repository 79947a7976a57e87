package main

import (
	"context"

	"github.com/tocsin/tocsin/app"
)

type remediationCmd struct {
	Ls       remediationLsCmd       `cmd:"" help:"List dispatches, and what is frozen."`
	Show     remediationShowCmd     `cmd:"" help:"Show one dispatch: why did it run, or why not?"`
	Approve  remediationApproveCmd  `cmd:"" help:"Let a dispatch go on that asks for it."`
	Deny     remediationDenyCmd     `cmd:"" help:"Say no to a dispatch that asks."`
	Freeze   remediationFreezeCmd   `cmd:"" help:"Start nothing any more: of all, of a team, of a policy."`
	Thaw     remediationThawCmd     `cmd:"" help:"End a freeze."`
	Reset    remediationResetCmd    `cmd:"" name:"reset-breaker" help:"Close the breaker of a policy whose dispatches failed."`
	Simulate remediationSimulateCmd `cmd:"" help:"Ask what policies would have done about past pages; nothing is started."`
}

type dispatchArg struct {
	Dispatch string `arg:"" help:"Its id, or how it begins."`
}

type remediationLsCmd struct {
	gatewayFlags
	outputFlag
	All bool `short:"a" help:"Those that are over too."`
}

// Help shows examples under the flags.
func (remediationLsCmd) Help() string {
	return `  tocsin remediation ls
  tocsin remediation ls --all -o json | jq -r '.[] | [.policy, .stage, .reason] | @tsv'`
}

// Run lists.
func (k *remediationLsCmd) Run(std *streams) error {
	return app.Dispatches(context.Background(), std.out, app.DispatchOptions{Gateway: k.gateway(), All: k.All, JSON: k.json()})
}

type remediationShowCmd struct {
	gatewayFlags
	outputFlag
	dispatchArg
}

// Help shows examples under the flags.
func (remediationShowCmd) Help() string {
	return `Exit status 1 where its journal was changed, or lines of it are missing.

  tocsin remediation show 06fx2k`
}

// Run shows.
func (k *remediationShowCmd) Run(std *streams) error {
	return app.ShowDispatch(context.Background(), std.out, app.DispatchOptions{Gateway: k.gateway(), Dispatch: k.Dispatch, JSON: k.json()})
}

type remediationApproveCmd struct {
	gatewayFlags
	dispatchArg
}

// Run approves.
func (k *remediationApproveCmd) Run(std *streams) error {
	return app.Decide(context.Background(), std.out, app.DispatchOptions{Gateway: k.gateway(), Dispatch: k.Dispatch}, true)
}

type remediationDenyCmd struct {
	gatewayFlags
	dispatchArg
}

// Run denies.
func (k *remediationDenyCmd) Run(std *streams) error {
	return app.Decide(context.Background(), std.out, app.DispatchOptions{Gateway: k.gateway(), Dispatch: k.Dispatch}, false)
}

type scopeArg struct {
	Scope string `arg:"" optional:"" default:"global" help:"global, team/NAME or policy/NAME."`
}

type remediationFreezeCmd struct {
	gatewayFlags
	scopeArg
	Why string `placeholder:"TEXT" help:"Why, for those who read it later."`
}

// Help shows examples under the flags.
func (remediationFreezeCmd) Help() string {
	return `Jobs that wait are cancelled, jobs that run are let go on.

  tocsin remediation freeze --why 'migration tonight'
  tocsin remediation freeze policy/restart-web`
}

// Run freezes.
func (k *remediationFreezeCmd) Run(std *streams) error {
	return app.Flip(context.Background(), std.out, k.gateway(), "freeze", k.Scope, k.Why)
}

type remediationThawCmd struct {
	gatewayFlags
	scopeArg
}

// Run thaws.
func (k *remediationThawCmd) Run(std *streams) error {
	return app.Flip(context.Background(), std.out, k.gateway(), "thaw", k.Scope, "")
}

type remediationResetCmd struct {
	gatewayFlags
	Policy string `arg:"" help:"Name of the policy."`
	Why    string `placeholder:"TEXT" help:"Why, for those who read it later."`
}

// Run resets.
func (k *remediationResetCmd) Run(std *streams) error {
	return app.Flip(context.Background(), std.out, k.gateway(), "reset", k.Policy, k.Why)
}

type remediationSimulateCmd struct {
	gatewayFlags
	outputFlag
	Policies []string `placeholder:"FILE" help:"Files of policies instead of the config's."`
	Policy   string   `placeholder:"NAME" help:"Only this one."`
}

// Help shows examples under the flags.
func (remediationSimulateCmd) Help() string {
	return `  tocsin remediation simulate --policies new-policies.yml --policy restart-web`
}

// Run simulates.
func (k *remediationSimulateCmd) Run(std *streams) error {
	return app.Simulate(context.Background(), std.out, app.SimulateOptions{
		Gateway: k.gateway(), Policies: k.Policies, Policy: k.Policy, JSON: k.json(),
	})
}
