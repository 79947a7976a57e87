package main

import (
	"context"

	"github.com/tocsin/tocsin/app"
)

type rulesCmd struct {
	Build   rulesBuildCmd   `cmd:"" help:"Compile templates and layers to rule files: one rule per distinct set of parameters."`
	Explain rulesExplainCmd `cmd:"" help:"Tell which file and line set each field of a rule for an app, and what it shadows."`
	Diff    rulesDiffCmd    `cmd:"" help:"Tell which rules are no longer what they were at a revision of git, for which apps."`
	Check   rulesCheckCmd   `cmd:"" help:"Compile, and say what is wrong; nothing is written."`
	Test    rulesTestCmd    `cmd:"" help:"Run unit tests of rules: promtool's, and what page they would become."`
	Packs   rulesPacksCmd   `cmd:"" help:"List the packs of alerts that are shipped."`
	Init    rulesInitCmd    `cmd:"" help:"Write a tree of shipped packs into an empty folder."`
	Lint    rulesLintCmd    `cmd:"" help:"Tell authors of rules what to mend, with a fix for each: in rule files, or in a tree."`
}

type treeFlag struct {
	Dir  string            `default:"rules" placeholder:"DIR" help:"Folder with rules.yaml, apps.yaml, templates/ and layers/."`
	Only map[string]string `placeholder:"KEY=VALUE" help:"Of the apps only those: cluster=dc1 for a server that sees that cluster. May be given several times."`
}

func (f treeFlag) options() app.RulesOptions { return app.RulesOptions{Dir: f.Dir, Only: f.Only} }

type rulesBuildCmd struct {
	treeFlag
	Out    string `required:"" placeholder:"DIR" help:"Folder for the rule files. Files of templates that are gone are removed; what somebody else wrote is left alone."`
	DryRun bool   `help:"Say what would be written; write nothing."`
}

// Help shows examples under the flags.
func (rulesBuildCmd) Help() string {
	return `All files are written, or none. Each field says in a comment which line set it.
What layers set for apps beside rules goes into tocsin-apps.conf, for the gateway.
Exit status: 0 done, 1 it did not work, 2 the tree is wrong.

  tocsin rules build --out /etc/prometheus/rules
  tocsin rules build --only cluster=dc1 --out out/dc1
  tocsin rules build --dir rules --out out --dry-run`
}

// Run builds.
func (k *rulesBuildCmd) Run(std *streams) error {
	o := k.options()
	o.Out, o.DryRun = k.Out, k.DryRun
	return app.RulesBuild(std.out, o)
}

type rulesExplainCmd struct {
	treeFlag
	outputFlag
	App   string `arg:"" help:"Name of the app, as in apps.yaml."`
	Alert string `arg:"" help:"Name of the alert, or of the recording rule; policies, policies.NAME or context for what layers set beside rules."`
	Field string `arg:"" optional:"" help:"One field: for, labels.severity, params.window."`
}

// Help shows examples under the flags.
func (rulesExplainCmd) Help() string {
	return `The line that won comes first, then those it shadows.

  tocsin rules explain checkout HighErrorRate
  tocsin rules explain checkout HighErrorRate error_ratio
  tocsin rules explain checkout policies.restart-web.mode
  tocsin rules explain checkout HighErrorRate -o json | jq -r '.fields[] | [.field, .settings[0].file] | @tsv'`
}

// Run explains.
func (k *rulesExplainCmd) Run(std *streams) error {
	o := k.options()
	o.JSON = k.json()
	return app.RulesExplain(std.out, o, k.App, k.Alert, k.Field)
}

type rulesDiffCmd struct {
	treeFlag
	outputFlag
	Rev      string `arg:"" help:"A revision of the git repository that the folder is in: HEAD, origin/main."`
	ExitCode bool   `help:"Exit status 1 where something changed."`
}

// Help shows examples under the flags.
func (rulesDiffCmd) Help() string {
	return `Both trees are compiled, and compared app by app. The work tree is left alone.
Exit status: 0 done, 1 it did not work (or, with --exit-code, something changed), 2 a tree is wrong.

  tocsin rules diff HEAD
  tocsin rules diff origin/main -o json | jq -r '.[] | [.rule, .what, (.apps // [] | length)] | @tsv'`
}

// Run compares.
func (k *rulesDiffCmd) Run(std *streams) error {
	o := k.options()
	o.JSON, o.ExitCode = k.json(), k.ExitCode
	return app.RulesDiff(context.Background(), std.out, o, k.Rev)
}

type rulesCheckCmd struct {
	treeFlag
	outputFlag
	Out string `placeholder:"DIR" help:"Also hold the rule files of this folder against the tree."`
}

// Help shows examples under the flags.
func (rulesCheckCmd) Help() string {
	return `Exit status: 0 all well, 1 files of --out are not what the tree says, 2 the tree is wrong.

  tocsin rules check
  tocsin rules check --out /etc/prometheus/rules -o json`
}

// Run checks.
func (k *rulesCheckCmd) Run(std *streams) error {
	o := k.options()
	o.Out, o.JSON = k.Out, k.json()
	return app.RulesCheck(std.out, o)
}
