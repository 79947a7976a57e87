package main

import "github.com/tocsin/tocsin/app"

type rulesPacksCmd struct {
	Ls rulesPacksLsCmd `cmd:"" default:"withargs" help:"List the packs of alerts that are shipped."`
}

type rulesPacksLsCmd struct {
	outputFlag
}

// Help shows examples under the flags.
func (rulesPacksLsCmd) Help() string {
	return `docs/packs.md says what each needs, and how long its pages take.

  tocsin rules packs
  tocsin rules packs -o json | jq -r '.[] | .name as $pack | .alerts[] | [$pack, .] | @tsv'`
}

// Run lists.
func (k *rulesPacksLsCmd) Run(std *streams) error {
	return app.RulesPacks(std.out, app.RulesOptions{JSON: k.json()})
}

type rulesInitCmd struct {
	Dir  string   `arg:"" help:"The folder: it must be empty, or not there yet."`
	Pack []string `placeholder:"PACK" help:"Only these packs, of those that tocsin rules packs lists. May be given several times."`
}

// Help shows examples under the flags.
func (rulesInitCmd) Help() string {
	return `What is written is yours from then on: change apps.yaml and layers/ first, templates where that is not enough.
Nothing is ever overwritten. Exit status: 0 done, 1 it did not work.

  tocsin rules init rules
  tocsin rules init rules --pack http --pack deploy
  tocsin rules build --dir rules --out /etc/prometheus/rules`
}

// Run writes.
func (k *rulesInitCmd) Run(std *streams) error { return app.RulesInit(std.out, k.Dir, k.Pack) }
