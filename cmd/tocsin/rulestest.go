package main

import (
	"context"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

type rulesTestCmd struct {
	outputFlag
	Files         []string `arg:"" name:"files" help:"Test files in promtool's format."`
	Match         string   `name:"run" placeholder:"REGEXP" help:"Only tests whose names match."`
	Alertmanager  string   `placeholder:"FILE" help:"alertmanager.yml, whose routes group the pages and choose their receivers; by default the one that the test file names, else each alertname is a page."`
	ConfigFile    string   `name:"config.file" placeholder:"FILE" help:"Tocsin's config: roles, redaction and policies of the pages; by default the one that the test file names."`
	Coverage      bool     `help:"Tell which alerts no test sees firing, and which no test sees silent."`
	MinCoverage   string   `placeholder:"80%" help:"Fail where fewer of the alerts are seen both firing and silent."`
	EnableFeature []string `placeholder:"NAME" help:"As promtool's: promql-experimental-functions, promql-delayed-name-removal …"`
	IgnoreUnknown bool     `name:"ignore-unknown-fields" help:"Of rule files, as promtool's."`
}

// Help shows examples under the flags.
func (rulesTestCmd) Help() string {
	return `The verdicts are those of promtool test rules, by the same code. Behind the first --- a file
may say which pages are expected (docs/testing.md). Rules of layers are tested as tocsin rules
build writes them.
Exit status: 0 all passed, 1 a test failed, 2 a file is wrong.

  tocsin rules test tests/*.yml
  tocsin rules test tests/http_test.yml --run 'fires|silent' -o json
  tocsin rules test tests/*.yml --coverage --min-coverage 80%
  tocsin rules test tests/*.yml --alertmanager alertmanager.yml --config.file tocsin.yml`
}

// Run tests.
func (k *rulesTestCmd) Run(std *streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	least := 0.0
	if k.MinCoverage != "" {
		var err error
		least, err = strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(k.MinCoverage, "%")), 64)
		if err != nil || !(least >= 0 && least <= 100) {
			return &config.Mistake{File: "--min-coverage", Text: strconv.Quote(k.MinCoverage) + " is no share of the alerts: write it as 80%"}
		}
	}
	return app.RulesTest(ctx, std.out, app.RulesTestOptions{
		Files: k.Files, Run: k.Match, Features: k.EnableFeature, IgnoreUnknown: k.IgnoreUnknown, Alertmanager: k.Alertmanager,
		ConfigFile: k.ConfigFile, Coverage: k.Coverage, MinCoverage: least, JSON: k.json(),
	})
}
