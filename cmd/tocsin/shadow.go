package main

import (
	"context"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

type shadowCmd struct {
	Report shadowReportCmd `cmd:"" help:"What would have been sent for receivers with shadow: true; asks the gateway that runs."`
}

type shadowReportCmd struct {
	configFlag
	URL       string            `placeholder:"URL" help:"Address of the operators' listener; by default as the config says, which else is not read."`
	TokenFile config.SecretFile `name:"token.file" placeholder:"FILE" help:"File with an operator's token; without --url by default the first of the config."`
	Output    string            `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

// Help shows examples under the flags.
func (shadowReportCmd) Help() string {
	return `  tocsin shadow report
  tocsin shadow report -o json | jq -r '.[] | [.at, .target, .line] | @tsv'
  tocsin shadow report --url https://tocsin.example.org:9096 --token.file alice.token`
}

// Run reports.
func (s *shadowReportCmd) Run(std *streams) error {
	return app.ShadowReport(context.Background(), std.out, app.ShadowOptions{
		ConfigFile: s.ConfigFile, URL: s.URL, TokenFile: s.TokenFile, JSON: s.Output == "json",
	})
}
