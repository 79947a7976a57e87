package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/tocsin/tocsin/lab/ttn"
	"github.com/tocsin/tocsin/lab/world"
)

type configsCmd struct {
	Folder   string `arg:"" help:"Where to write them."`
	Settings string `default:"fast" enum:"fast,stock" help:"Intervals of rules and routes: fast (shipped) or stock (kube-prometheus, Alertmanager's defaults)."`
}

// Help shows an example under the flags.
func (configsCmd) Help() string {
	return `The rules, routes and Tocsin config of the lab, with everything on its usual port:
to read, to check with promtool, or to begin your own from.

    tocsin-lab configs /tmp/configs && promtool check rules /tmp/configs/rules.yml`
}

// Run writes the config files.
func (c *configsCmd) Run(out *screen) error {
	settings, err := ttn.Named(c.Settings)
	if err != nil {
		return err
	}
	files, err := world.Plan{
		Settings: settings, Channel: "C0PAGES",
		Fleet: "127.0.0.1:9094", Slack: "127.0.0.1:9097", PagerDuty: "127.0.0.1:9098",
		Tocsin: "127.0.0.1:9095", Operators: "127.0.0.1:9096",
		Prometheus: []string{"127.0.0.1:9090"}, Alertmanagers: []string{"127.0.0.1:9093"},
		SecretFiles: world.SecretsIn("secrets"),
	}.Files()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Folder, 0o750); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(c.Folder, name)
		if err := os.WriteFile(path, files[name], 0o600); err != nil {
			return err
		}
		out.line("%s", path)
	}
	return nil
}
