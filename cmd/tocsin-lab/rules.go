package main

import (
	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

type rulesCmd struct {
	Settings string `default:"fast" enum:"fast,stock" help:"fast or stock."`
}

// Help shows examples under the flags.
func (rulesCmd) Help() string {
	return `  tocsin-lab rules | promtool check rules
  tocsin-lab rules --settings stock`
}

// Run is the command.
func (c *rulesCmd) Run(out *screen) error {
	settings, err := ttn.Named(c.Settings)
	if err != nil {
		return err
	}
	files, err := world.Plan{Settings: settings, Prometheus: []string{""}}.Files()
	if err != nil {
		return err
	}
	_, err = out.Write(files["rules.yml"])
	return err
}
