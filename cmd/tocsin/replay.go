package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/config"
)

type replayCmd struct {
	Rules        []string          `arg:"" name:"rules" help:"Rule files or patterns, of Prometheus, Thanos Ruler, or PrometheusRule objects."`
	Against      []string          `sep:"none" placeholder:"FILE" help:"The rules as they are now, files or patterns: tells which pages come, go, and move. May be given several times."`
	Prometheus   string            `required:"" placeholder:"URL" help:"Prometheus, Thanos Query or whatever speaks its API and holds the history."`
	TokenFile    config.SecretFile `name:"token-file" placeholder:"FILE" help:"File with a bearer token for the server."`
	Param        map[string]string `placeholder:"NAME=VALUE" help:"Sent with each question, as dedup=true to Thanos."`
	From         string            `default:"24h" placeholder:"TIME" help:"Begin: 2026-11-20T03:00:00Z, or how long ago it was."`
	To           string            `default:"now" placeholder:"TIME" help:"End, as --from."`
	Alertmanager string            `placeholder:"FILE" help:"alertmanager.yml, whose routes group and whose rules inhibit; without it each alert is a page."`
	Every        time.Duration     `placeholder:"1m" help:"Evaluation interval of groups that name none; by default as its config says, else a minute."`
	External     map[string]string `placeholder:"NAME=VALUE" help:"External labels, which routes may match; by default as its config says."`
	Replica      []string          `name:"replica-label" placeholder:"NAME" help:"Labels that only the store adds to ALERTS. May be given several times."`
	Check        bool              `help:"Compare with the ALERTS that the server recorded: how far can this replay be believed?"`
	Near         time.Duration     `default:"10m" help:"Pages for the same group that open within it are the same page."`
	Load         float64           `default:"0.5" help:"Share of the time in which the server may have a question of ours, one at a time: above 0, at most 1."`
	Series       int               `default:"50000" help:"Most series that one answer may have."`
	Memory       string            `placeholder:"DIR" help:"Folder where answers are kept for a week, so that a replay that was cut short goes on where it was; by default one in the user's cache."`
	NoMemory     bool              `help:"Keep no answers."`
	ConfigFile   string            `name:"config.file" placeholder:"FILE" help:"Tocsin's config: its sources say what the first pages would have said, its policies what they would have done."`
	Pages        int               `default:"20" help:"How many pages the sources are asked about."`
	Output       string            `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

// Help shows examples under the flags.
func (replayCmd) Help() string {
	return `What would these rules have paged? The server is asked for the history of each expression;
for, keep_firing_for and templates are Prometheus' own code, groups, inhibition and muted
times those of the Alertmanager config. Silences are not known, and nobody is told anything.

  tocsin replay rules/*.yml --prometheus http://thanos-query:10902 --from 7d
  tocsin replay new.yml --against rules.yml --prometheus http://prometheus:9090 --alertmanager alertmanager.yml
  tocsin replay rules.yml --prometheus http://prometheus:9090 --from 2h --check
  tocsin replay new.yml --prometheus http://prometheus:9090 --config.file tocsin.yml -o json | jq '.pages[].headline'`
}

// Run replays.
func (k *replayCmd) Run(std *streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if k.Load <= 0 || k.Load > 1 {
		return &config.Mistake{File: "--load", Text: fmt.Sprintf("%g is no share: write a number above 0, at most 1", k.Load)}
	}
	memory := k.Memory
	if cache, err := os.UserCacheDir(); memory == "" && err == nil {
		memory = filepath.Join(cache, "tocsin", "replay")
	}
	if k.NoMemory {
		memory = ""
	}
	o := app.ReplayOptions{
		Server: k.Prometheus, TokenFile: k.TokenFile, Params: k.Param, Rules: k.Rules, Against: k.Against, Alertmanager: k.Alertmanager,
		From: k.From, To: k.To, Every: k.Every, External: k.External, Beside: k.Replica, Check: k.Check, Near: k.Near,
		Load: k.Load, Memory: memory, Series: k.Series, ConfigFile: k.ConfigFile, Pages: k.Pages, JSON: k.Output == "json", Now: time.Now,
	}
	clear := func() {}
	if f, ok := std.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.Progress, clear = bar(f, time.Now())
	}
	err := app.Replay(ctx, std.out, o)
	clear()
	if ctx.Err() != nil && memory != "" {
		return fmt.Errorf("stopped; the same command goes on with the answers in %s", memory)
	}
	return err
}

// bar returns what draws the progress on one line, and what removes it.
func bar(w io.Writer, begun time.Time) (draw func(done, all, asked int), clear func()) {
	const width = 30
	return func(done, all, asked int) {
		if all == 0 {
			return
		}
		full := width * done / all
		left := "…"
		if spent := time.Since(begun); done > 0 && spent > time.Second {
			left = time.Duration(float64(spent) * float64(all-done) / float64(done)).Round(time.Second).String()
		}
		fmt.Fprintf(w, "\r\x1b[K[%s%s] %d %%, %d questions, %s left", strings.Repeat("=", full), strings.Repeat(" ", width-full), 100*done/all, asked, left)
	}, func() { fmt.Fprint(w, "\r\x1b[K") }
}
