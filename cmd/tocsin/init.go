package main

import (
	"github.com/tocsin/tocsin/app"
)

type initCmd struct {
	From        string `placeholder:"FILE" help:"An alertmanager.yml whose receivers are taken over. Without it a minimal config is written."`
	Out         string `default:"tocsin.yml" placeholder:"FILE" help:"The config to write. Secrets go to secrets/, and with --from the new alertmanager.tocsin.yml goes beside it."`
	Cluster     string `default:"main" help:"Name of the Alertmanager cluster, part of every problem's identity."`
	URL         string `default:"http://127.0.0.1:9095" placeholder:"URL" help:"Tocsin's address, as Alertmanager reaches it."`
	ExternalURL string `name:"external-url" placeholder:"URL" help:"Alertmanager's address as people open it (its --web.external-url): templates of receivers link there. http://localhost:9093 where it is not set."`
	Force       bool   `help:"Overwrite the config files that are there. Secrets that are there are kept."`
	DryRun      bool   `help:"Print what would be written; write nothing."`
}

// Help shows examples under the flags.
func (initCmd) Help() string {
	return `Nothing that is there is overwritten without --force. What a human must do (a Slack channel's ID,
a bot token where Alertmanager had an incoming webhook) is listed at the end, stands in the config as
"you must", and is what tocsin check fails with until it is done.

  tocsin init
  tocsin init --from /etc/alertmanager/alertmanager.yml --dry-run
  tocsin init --from alertmanager.yml --out /etc/tocsin/tocsin.yml --url http://tocsin:9095`
}

// Run writes the config.
func (i *initCmd) Run(std *streams) error {
	return app.Init(std.out, app.InitOptions{
		From: i.From, Out: i.Out, Cluster: i.Cluster, URL: i.URL, Force: i.Force, DryRun: i.DryRun, ExternalURL: i.ExternalURL,
	})
}
