package main

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

type doctorCmd struct {
	Rules             []string                   `arg:"" optional:"" placeholder:"FILE" help:"Rule files or PrometheusRules, as globs; those of --prometheus if none are given."`
	Prometheus        string                     `placeholder:"FILE|URL" help:"prometheus.yml, or the address of a Prometheus or Thanos Ruler that runs."`
	PrometheusFlags   string                     `name:"prometheus.flags" placeholder:"FILE|FLAGS" help:"Command line of Prometheus or Thanos Ruler: a file that holds it (unit, manifest, script), or the flags."`
	Alertmanager      string                     `placeholder:"FILE|URL" help:"alertmanager.yml, or the address of an Alertmanager that runs."`
	AlertmanagerFlags string                     `name:"alertmanager.flags" placeholder:"FILE|FLAGS" help:"Command line of Alertmanager, for --cluster.peer-timeout."`
	ConfigFile        string                     `name:"config.file" placeholder:"FILE" help:"Tocsin's own config: its deadlines, and which receivers are its."`
	TokenFile         config.SecretFile          `name:"token-file" placeholder:"FILE" help:"File with a bearer token for the servers that are asked."`
	Budget            map[string]config.Duration `default:"critical=60s;page=60s" placeholder:"SEVERITY=DURATION" help:"How long alerts of a severity may take from fault to page."`
	On                string                     `default:"expected" enum:"expected,worst" help:"What is held against the budget: expected or worst."`
	Level             float64                    `default:"1" help:"Share of events that a fault makes bad: 1 is a total outage, 0.1 one request in ten."`
	RemoteWriteLag    time.Duration              `placeholder:"5s" help:"How late remote write brings samples to where rules are evaluated."`
	FailedSends       int                        `default:"0" help:"Sends from Prometheus to Alertmanager that fail."`
	DeadPeers         int                        `default:"0" help:"Alertmanagers of the cluster that are down ahead of the first live one."`
	All               bool                       `help:"Also show rules of severities without a budget."`
	Output            string                     `short:"o" default:"text" enum:"text,json,github" help:"text, json or github (annotations of a workflow)."`
}

// Help shows examples under the flags.
func (doctorCmd) Help() string {
	return `Predicts for every alerting rule how long it takes from a fault to the page, at best, on
average and at worst, and names the line that would shorten it most.
Exit status: 0 within budget, 1 over budget or a server does not answer, 2 a file is wrong.

  tocsin doctor 'rules/*.yml' --prometheus prometheus.yml --alertmanager alertmanager.yml
  tocsin doctor rules/shop.yml --budget page=60s --on worst -o github
  tocsin doctor --prometheus http://prometheus:9090 --alertmanager http://alertmanager:9093
  tocsin doctor rules.yml '--prometheus.flags=--eval-interval=15s --rule-query-offset=10s'`
}

// Run examines.
func (c *doctorCmd) Run(std *streams) error {
	if c.Level <= 0 || c.Level > 1 {
		return &config.Mistake{File: "--level", Text: "write a share over 0 and at most 1, as 0.1"}
	}
	return app.Doctor(context.Background(), std.out, app.DoctorOptions{
		Rules: c.Rules, Prometheus: c.Prometheus, PrometheusFlags: c.PrometheusFlags,
		Alertmanager: c.Alertmanager, AlertmanagerFlags: c.AlertmanagerFlags, ConfigFile: c.ConfigFile, TokenFile: c.TokenFile,
		Budgets: c.Budget, Worst: c.On == "worst", Level: c.Level, Arrives: c.RemoteWriteLag,
		FailedSends: c.FailedSends, DeadPeers: c.DeadPeers, Output: c.Output, All: c.All,
	})
}
