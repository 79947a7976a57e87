package main

import (
	"cmp"
	"context"
	"os/signal"
	"syscall"
	"time"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

type previewCmd struct {
	Rules string `arg:"" optional:"" placeholder:"FILE" help:"A rule file, or the folder of layered rules."`
	Alert string `arg:"" optional:"" help:"The alert in it."`

	Prometheus   string            `placeholder:"URL" help:"Prometheus, Thanos Query or whatever speaks its API: the rule is evaluated on its data."`
	TokenFile    config.SecretFile `name:"token-file" placeholder:"FILE" help:"File with a bearer token for the server."`
	Param        map[string]string `placeholder:"NAME=VALUE" help:"Sent with each question, as dedup=true to Thanos."`
	Expr         string            `placeholder:"PROMQL" help:"An expression in the place of a rule."`
	At           string            `default:"now" placeholder:"TIME" help:"When: 2026-11-20T03:00:00Z, or how long ago it was."`
	Last         bool              `help:"Go back to the newest moment at which it would have fired."`
	Within       time.Duration     `default:"24h" help:"How far back --last looks."`
	Alertmanager string            `placeholder:"FILE" help:"alertmanager.yml, whose routes group and choose the receiver; without it the alertname is a page."`
	SlackJSON    bool              `name:"slack-json" help:"Print the blocks as Slack's Block Kit Builder takes them."`

	ConfigFile string `name:"config.file" placeholder:"FILE" help:"Tocsin's config; for a webhook body tocsin.yml if not given, for a rule --prometheus is the source then."`
	Payload    string `placeholder:"FILE" help:"A webhook body as Alertmanager sends it, in the place of a rule; - reads standard input."`
	Cluster    string `help:"Name of the Alertmanager cluster the body is from; the first of the config if not given."`
	Target     string `help:"kind/name of the target to render the body for; with -o slack or pagerduty the first of that kind if not given."`
	Output     string `short:"o" default:"text" enum:"text,json,slack,pagerduty" help:"text, json (the page), slack or pagerduty (what would go over the wire)."`
}

// Help shows examples under the flags.
func (previewCmd) Help() string {
	return `A rule is evaluated on live data, its alerts are grouped and explained as real ones are. A body
takes the way of a real one. Nothing is stored and nobody is told (docs/preview.md).
Exit status: 0 there is a page, 1 nothing fires or a server does not answer, 2 something given is wrong.

  tocsin preview rules/http.yaml HTTPErrors --prometheus http://prometheus:9090
  tocsin preview rules HTTPErrors --prometheus http://thanos-query:10902 --last --within 12h
  tocsin preview --expr 'up == 0' --prometheus http://prometheus:9090 --slack-json
  tocsin preview --payload testdata/alertmanager/0.31-firing.json
  curl -s http://…/last-webhook | tocsin preview --payload - -o json | jq .headline`
}

// Run previews.
func (p *previewCmd) Run(std *streams, c *cli) error {
	if p.Payload != "" {
		if p.Rules != "" || p.Expr != "" {
			return &config.Mistake{File: "--payload", Text: "stands beside a rule: write one of them"}
		}
		return app.Preview(context.Background(), std.in, std.out, app.PreviewOptions{
			ConfigFile: cmp.Or(p.ConfigFile, "tocsin.yml"), Payload: p.Payload, Cluster: p.Cluster,
			Target: p.Target, Output: p.Output, Log: c.logger(std.err),
		})
	}
	switch {
	case p.Expr == "" && p.Rules == "":
		return &config.Mistake{File: "preview", Text: "name a rule file and an alert, or --expr, or --payload"}
	case p.Expr != "" && p.Rules != "":
		return &config.Mistake{File: "--expr", Text: "stands beside a rule file: write one of them"}
	case p.Expr == "" && p.Alert == "":
		return &config.Mistake{File: p.Rules, Text: "name the alert that is meant behind it"}
	case p.Prometheus == "":
		return &config.Mistake{File: "--prometheus", Text: "is missing: a rule is evaluated on the data of a server"}
	case p.Within <= 0:
		return &config.Mistake{File: "--within", Text: "must be longer than 0s"}
	}
	if p.SlackJSON {
		p.Output = "slack-blocks"
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return app.PreviewRule(ctx, std.out, app.PreviewRuleOptions{
		Server: p.Prometheus, TokenFile: p.TokenFile, Params: p.Param, Rules: p.Rules, Alert: p.Alert, Expr: p.Expr,
		At: p.At, Last: p.Last, Within: p.Within, Alertmanager: p.Alertmanager, ConfigFile: p.ConfigFile,
		Output: p.Output, Now: time.Now,
	})
}
