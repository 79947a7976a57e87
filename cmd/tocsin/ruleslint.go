package main

import (
	"context"
	"os"

	"golang.org/x/term"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

type rulesLintCmd struct {
	Paths        []string                   `arg:"" optional:"" placeholder:"FILE|DIR" help:"Rule files or PrometheusRules, as globs; folders of them; folders with a tree of layered rules. None: rules."`
	Only         map[string]string          `placeholder:"KEY=VALUE" help:"Of a tree's apps only those: cluster=dc1. May be given several times."`
	ConfigFile   string                     `name:"config.file" placeholder:"FILE" help:"Tocsin's own config: which labels play a role, and which policies act on alerts."`
	Prometheus   string                     `placeholder:"FILE|URL" help:"prometheus.yml, or the address of a server that runs: windows are held against its scrape intervals, and the time to notify against --budget."`
	Alertmanager string                     `placeholder:"FILE|URL" help:"alertmanager.yml, or the address of one that runs: its routes count for the time to notify."`
	TokenFile    config.SecretFile          `name:"token-file" placeholder:"FILE" help:"File with a bearer token for the servers that are asked."`
	Budget       map[string]config.Duration `default:"critical=60s;page=60s" placeholder:"SEVERITY=DURATION" help:"How long alerts of a severity may take from fault to page."`
	Since        string                     `placeholder:"REV" help:"Only what is found in rules that changed since this revision of git: HEAD, origin/main."`
	FailOn       string                     `default:"error" enum:"error,warning" help:"Exit status 1 at findings so grave, or graver: error or warning."`
	Checks       bool                       `help:"List the checks instead."`
	Output       string                     `short:"o" default:"text" enum:"text,json,github" help:"text, json or github (annotations of a workflow)."`
}

// Help shows examples under the flags.
func (rulesLintCmd) Help() string {
	return `An error is provably broken, a warning hardly what is meant, an info a habit that pays off.
A comment above a rule or within it switches a check off for the rule, and says why:

  # tocsin: disable runbook: the summary says it all

Exit status: 0 nothing so grave, 1 findings or it did not work, 2 a file cannot be read.

  tocsin rules lint
  tocsin rules lint 'alerts/*.yml' --config.file tocsin.yml --fail-on warning
  tocsin rules lint alerts --since origin/main -o github
  tocsin rules lint alerts --prometheus prometheus.yml --alertmanager alertmanager.yml
  tocsin rules lint --checks`
}

// Run lints.
func (k *rulesLintCmd) Run(std *streams) error {
	if k.Checks {
		return app.RulesLintChecks(std.out, k.Output == "json")
	}
	paths := k.Paths
	if len(paths) == 0 {
		paths = []string{"rules"}
	}
	f, ok := std.out.(*os.File)
	return app.RulesLint(context.Background(), std.out, app.RulesLintOptions{
		Paths: paths, Only: k.Only, ConfigFile: k.ConfigFile,
		Prometheus: k.Prometheus, Alertmanager: k.Alertmanager, TokenFile: k.TokenFile, Budgets: k.Budget, Since: k.Since, FailOn: k.FailOn, Output: k.Output,
		Colour: ok && term.IsTerminal(int(f.Fd())),
	})
}
