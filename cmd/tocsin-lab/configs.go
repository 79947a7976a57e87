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
	Folder   string `arg:"" help:"Where to write them; made if need be."`
	Settings string `default:"fast" enum:"fast,stock" help:"fast or stock."`
}

// Help shows examples under the flags.
func (configsCmd) Help() string {
	return `The same files as a world runs on, with the services' usual addresses.

  tocsin-lab configs /tmp/fast && promtool check rules /tmp/fast/rules.yml`
}

// Run is the command.
func (c *configsCmd) Run(out *screen) error {
	settings, err := ttn.Named(c.Settings)
	if err != nil {
		return err
	}
	files, err := world.Plan{
		Settings: settings, Slack: "slack.example.org", PagerDuty: "pagerduty.example.org", Channel: "C0PAGES",
		Tocsin: "tocsin:9095", Operators: "127.0.0.1:9096",
		Prometheus: []string{"prometheus-a:9090", "prometheus-b:9090"}, Alertmanagers: []string{"alertmanager-1:9093", "alertmanager-2:9093"},
		Query:       world.Thanos{GRPC: "thanos-query:10901", HTTP: "thanos-query:10902"},
		SecretFiles: world.Secrets{Alertmanager: "secrets/alertmanager", Operator: "secrets/operator", Slack: "secrets/slack", PagerDuty: "secrets/pagerduty"},
	}.Files()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Folder, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(c.Folder, name)
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
		out.line("%s", path)
	}
	return nil
}
