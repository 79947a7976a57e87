package main

import (
	"context"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

type pagesCmd struct {
	Ls        pagesLsCmd        `cmd:"" help:"List pages: the open ones, or all."`
	Show      pagesShowCmd      `cmd:"" help:"Show one page with all that is known of it."`
	Why       pagesWhyCmd       `cmd:"" help:"Why was I paged, or why not: every decision on the way."`
	Ack       pagesAckCmd       `cmd:"" help:"Take a problem."`
	Unack     pagesUnackCmd     `cmd:"" help:"Give a problem back."`
	Silence   pagesSilenceCmd   `cmd:"" help:"Ask Alertmanager to be quiet about exactly this group."`
	Unsilence pagesUnsilenceCmd `cmd:"" help:"End a silence that was asked for on a page."`
	Useless   pagesUselessCmd   `cmd:"" help:"Say that a page was not useful; it is counted for its rule."`
	Note      pagesNoteCmd      `cmd:"" help:"Write a note on a page."`
	Dead      pagesDeadCmd      `cmd:"" help:"List what was given up: deliveries that a target refused for good, or that expired."`
	Redrive   pagesRedriveCmd   `cmd:"" help:"Try again what was given up."`
}

// gatewayFlags say which gateway that runs is asked.
type gatewayFlags struct {
	configFlag
	URL       string            `name:"url" placeholder:"URL" help:"The operators' listener; as the config has it if not given."`
	TokenFile config.SecretFile `placeholder:"FILE" help:"File with an operator's token; without --url the first of the config that serves, if not given."`
}

func (g gatewayFlags) gateway() app.Gateway {
	return app.Gateway{ConfigFile: g.ConfigFile, URL: g.URL, TokenFile: g.TokenFile}
}

type outputFlag struct {
	Output string `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

func (o outputFlag) json() bool { return o.Output == "json" }

type pageArg struct {
	Page string `arg:"" help:"Its id, the first characters of it, or id/episode."`
}

type pagesLsCmd struct {
	gatewayFlags
	outputFlag
	All      bool   `short:"a" help:"Those that are over too."`
	Query    string `short:"q" placeholder:"WORDS" help:"Words that all stand in title, first line, summary or labels."`
	Severity string `default:"" enum:",critical,error,warning,info" placeholder:"SEVERITY" help:"critical, error, warning or info."`
	Receiver string `placeholder:"NAME" help:"Alertmanager's receiver name."`
	Limit    int    `default:"50" help:"How many, at most."`
}

// Help shows examples under the flags.
func (pagesLsCmd) Help() string {
	return `  tocsin pages ls
  tocsin pages ls --all -q 'checkout deploy=v42' --severity critical
  tocsin pages ls -o json | jq -r '.[] | [.since, .title] | @tsv'`
}

// Run lists.
func (k *pagesLsCmd) Run(std *streams) error {
	return app.Pages(context.Background(), std.out, app.PagesOptions{
		Gateway: k.gateway(), All: k.All, Text: k.Query, Severity: k.Severity, Receiver: k.Receiver, Limit: k.Limit, JSON: k.json(),
	})
}

type pagesShowCmd struct {
	gatewayFlags
	outputFlag
	pageArg
}

// Help shows examples under the flags.
func (pagesShowCmd) Help() string {
	return `  tocsin pages show 3f2a9c1b
  tocsin pages show 3f2a9c1b/2 -o json | jq .traits`
}

// Run shows.
func (k *pagesShowCmd) Run(std *streams) error {
	return app.ShowPage(context.Background(), std.out, app.PageOptions{Gateway: k.gateway(), Page: k.Page, JSON: k.json()})
}

type pagesWhyCmd struct {
	gatewayFlags
	outputFlag
	Page  string            `arg:"" optional:"" help:"Its id, the first characters of it, or id/episode."`
	Alert string            `placeholder:"NAME" help:"Instead of a page: the alertname of the alert that should have been one."`
	Label map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A label of that alert; may be given several times."`
}

// Help shows examples under the flags.
func (pagesWhyCmd) Help() string {
	return `Exit status: 0 it is told, 1 Tocsin never saw such an alert: what to check is printed.

  tocsin pages why 3f2a9c1b
  tocsin pages why --alert CheckoutErrors --label service=checkout --label dc=dc1`
}

// Run tells.
func (k *pagesWhyCmd) Run(std *streams) error {
	return app.Why(context.Background(), std.out, app.WhyOptions{
		PageOptions: app.PageOptions{Gateway: k.gateway(), Page: k.Page, JSON: k.json()}, Alert: k.Alert, Labels: k.Label,
	})
}

// act hands in what is done to a page.
func (g gatewayFlags) act(std *streams, of pageArg, o app.ActOptions) error {
	o.PageOptions = app.PageOptions{Gateway: g.gateway(), Page: of.Page}
	return app.ActOnPage(context.Background(), std.out, o)
}

type pagesAckCmd struct {
	gatewayFlags
	pageArg
}

// Run acknowledges.
func (k *pagesAckCmd) Run(std *streams) error {
	return k.act(std, k.pageArg, app.ActOptions{Verb: "ack"})
}

type pagesUnackCmd struct {
	gatewayFlags
	pageArg
}

// Run gives back.
func (k *pagesUnackCmd) Run(std *streams) error {
	return k.act(std, k.pageArg, app.ActOptions{Verb: "unack"})
}

type pagesSilenceCmd struct {
	gatewayFlags
	pageArg
	For   string `xor:"length" required:"" placeholder:"1h" help:"How long, from 1m to 30d."`
	Until string `xor:"length" required:"" placeholder:"TIME" help:"Or until when: morning (8:00 where you are), or 2026-03-01T08:00:00Z."`
}

// Help shows examples under the flags.
func (pagesSilenceCmd) Help() string {
	return `The silence matches the labels that the route groups by, no more and no less. Its id stands on the page.

  tocsin pages silence 3f2a9c1b --for 1h
  tocsin pages silence 3f2a9c1b --until morning`
}

// Run silences.
func (k *pagesSilenceCmd) Run(std *streams) error {
	return k.act(std, k.pageArg, app.ActOptions{Verb: "silence", For: k.For, Until: k.Until})
}

type pagesUnsilenceCmd struct {
	gatewayFlags
	pageArg
	Silence string `arg:"" help:"The silence's id, as tocsin pages show prints it."`
}

// Run ends a silence.
func (k *pagesUnsilenceCmd) Run(std *streams) error {
	return k.act(std, k.pageArg, app.ActOptions{Verb: "unsilence", Silence: k.Silence})
}

type pagesUselessCmd struct {
	gatewayFlags
	pageArg
}

// Run counts.
func (k *pagesUselessCmd) Run(std *streams) error {
	return k.act(std, k.pageArg, app.ActOptions{Verb: "useless"})
}

type pagesNoteCmd struct {
	gatewayFlags
	pageArg
	Text string `arg:"" help:"What to write, in one argument."`
}

// Help shows examples under the flags.
func (pagesNoteCmd) Help() string { return `  tocsin pages note 3f2a9c1b 'rolling back v42'` }

// Run writes.
func (k *pagesNoteCmd) Run(std *streams) error {
	return k.act(std, k.pageArg, app.ActOptions{Verb: "note", Text: k.Text})
}

type pagesDeadCmd struct {
	gatewayFlags
	outputFlag
}

// Help shows examples under the flags.
func (pagesDeadCmd) Help() string {
	return `  tocsin pages dead
  tocsin pages dead -o json | jq -r '.[] | [.target, .problem, .error] | @tsv'`
}

// Run lists.
func (k *pagesDeadCmd) Run(std *streams) error {
	return app.Dead(context.Background(), std.out, app.DeadOptions{Gateway: k.gateway(), JSON: k.json()})
}

type pagesRedriveCmd struct {
	gatewayFlags
	Target string `arg:"" optional:"" help:"Who was not told, as kind/name."`
	Page   string `arg:"" optional:"" help:"Of what: the page's id, the first characters of it, or id/episode."`
	All    bool   `help:"All that was given up."`
	DryRun bool   `help:"Say what would be tried again; change nothing."`
}

// Help shows examples under the flags.
func (pagesRedriveCmd) Help() string {
	return `The target is told of the page as it is now. What may have arrived says "possible repeat".

  tocsin pages redrive slack/payments 3f2a9c1b
  tocsin pages redrive --all --dry-run`
}

// Run has it tried again.
func (k *pagesRedriveCmd) Run(std *streams) error {
	return app.Redrive(context.Background(), std.out, app.RedriveOptions{
		PageOptions: app.PageOptions{Gateway: k.gateway(), Page: k.Page}, Target: k.Target, All: k.All, DryRun: k.DryRun,
	})
}
