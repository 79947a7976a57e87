package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/dashboards"
	"github.com/tocsin/tocsin/lab/world"
	"github.com/tocsin/tocsin/remote/prometheus"
)

type dashboardsCmd struct {
	Files          []string          `arg:"" optional:"" placeholder:"FILE" help:"Dashboards as JSON, as globs; the shipped ones if none are given."`
	Prometheus     string            `required:"" placeholder:"URL" help:"A Prometheus, Thanos Query, Mimir or VictoriaMetrics: what /api/v1 lies under."`
	TokenFile      config.SecretFile `name:"token-file" placeholder:"FILE" help:"File with a bearer token for the server."`
	Range          config.Duration   `placeholder:"6h" help:"How far back is looked; default: as each dashboard opens."`
	ScrapeInterval config.Duration   `default:"15s" help:"The scrape interval that the data source in Grafana is set to."`
	Var            map[string]string `placeholder:"NAME=VALUE" help:"Choose a variable's value."`
	AllowEmpty     bool              `help:"Data is not asked for: only errors count."`
	Output         string            `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

// Help shows examples under the flags.
func (dashboardsCmd) Help() string {
	return `Asks every query of dashboards as Grafana would: variables by their own queries, as a dashboard
opens and with all their values chosen one by one, over its range and as an instant.
Exit status: 0 if each answers with data, 1 if not or the server does not answer, 2 the command line is wrong.

  tocsin-lab dashboards --prometheus http://prometheus:9090
  tocsin-lab dashboards --prometheus http://thanos-query:9090 --var job=tocsin-eu --range 1d dashboards/tocsin.json
  tocsin-lab dashboards --prometheus http://prometheus:9090 --allow-empty 'watch/*.dashboard.json'`
}

// board is what came of one dashboard.
type board struct {
	Name    string             `json:"dashboard"`
	Queries []dashboards.Asked `json:"queries"`
	Err     string             `json:"error,omitempty"` // the variables could not be chosen
}

// Run is the command.
func (c *dashboardsCmd) Run(ctx context.Context, out *screen) error {
	all, err := dashboards.Shipped()
	if len(c.Files) > 0 {
		all, err = dashboards.Load(c.Files...)
	}
	if err != nil {
		return err
	}
	server, err := prometheus.New(prometheus.Options{URL: c.Prometheus, Authorize: func(r *http.Request) error {
		if c.TokenFile == "" {
			return nil
		}
		token, err := c.TokenFile.Read()
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
		return err
	}})
	if err != nil {
		return fmt.Errorf("--prometheus %s: %w", c.Prometheus, err)
	}
	var boards []board
	failed := 0
	for _, d := range all {
		v := d.Opened(time.Now())
		v.Scrape, v.Vars = time.Duration(c.ScrapeInterval), c.Var
		if c.Range > 0 {
			v.From = v.To.Add(-time.Duration(c.Range))
		}
		b := ask(ctx, server, d, v)
		boards = append(boards, b)
		wrong := b.judge(nil)
		if c.AllowEmpty {
			wrong = b.errors()
		}
		failed += len(wrong)
		if c.Output == "text" {
			b.print(out, wrong)
		}
	}
	if c.Output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(boards); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d did not hold", failed)
	}
	return nil
}

// ask asks one dashboard.
func ask(ctx context.Context, server *prometheus.Client, d dashboards.Dashboard, v dashboards.View) board {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("a dashboard had two minutes"))
	defer cancel()
	b := board{Name: name(d)}
	asked, err := d.Ask(ctx, server, v)
	if b.Queries = asked; err != nil {
		b.Err = err.Error()
	}
	return b
}

// name is what people call a dashboard: its file without what follows.
func name(d dashboards.Dashboard) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(d.File), ".json"), ".dashboard")
}

// errors are the queries that were not answered.
func (b board) errors() []string {
	var out []string
	if b.Err != "" {
		out = append(out, b.Err)
	}
	for _, q := range b.Queries {
		if q.Error != "" {
			out = append(out, fmt.Sprintf("%s: %s: %s", q.Name(), q.Error, q.Query))
		}
	}
	return out
}

// judge says what does not hold: errors, queries without data that are not
// silent, and those that are silent and are not.
func (b board) judge(silent map[string]string) []string {
	out := b.errors()
	for _, q := range b.Queries {
		reason, quiet := silent[b.Name+"/"+q.Name()]
		switch {
		case q.Error != "":
		case !q.Data && !quiet:
			out = append(out, fmt.Sprintf("%s: no data: %s", q.Name(), q.Query))
		case q.Data && quiet:
			out = append(out, fmt.Sprintf("%s: has data, and was to have none (%s): %s", q.Name(), reason, q.Query))
		}
	}
	return out
}

// print tells of one dashboard, in a line if all of it holds.
func (b board) print(out *screen, wrong []string) {
	answered := 0
	for _, q := range b.Queries {
		if q.Data {
			answered++
		}
	}
	out.line("%s  dashboard %s: %d of %d queries returned data", out.verdict(len(wrong) == 0, "ok  ", "FAIL"), b.Name, answered, len(b.Queries))
	for _, w := range wrong {
		out.indent(w)
	}
}

// sight is which dashboards a scene has data for.
type sight struct {
	dashboards []string          // of the shipped ones
	silent     map[string]string // dashboard/panel query: why it has no data there
}

// sights are the scenes that look at dashboards, by name. Together they look at
// all that are shipped.
func sights(pressure bool) map[string]sight {
	still := map[string]string{}
	if !pressure {
		const reason = "this machine's cgroups do not tell pressure: that takes v2, and a kernel with PSI"
		still = map[string]string{"netns/Pressure A": reason, "netns/Stalled A": reason}
	}
	return map[string]sight{
		"repair":  {[]string{"alerts", "remediation", "tocsin", "traits"}, nil},
		"nodes":   {[]string{"netns"}, still},
		"openapi": {[]string{"time-to-notify"}, nil}, // its rules have a for, so context is asked ahead; beside the one that is generated
	}
}

// looked is how long a scene waits for the last of its numbers to be scraped,
// and for the next step of Grafana's grid.
const looked = time.Minute

// look asks the Prometheus of a scene the queries of its dashboards, and of
// others.
func look(ctx context.Context, w *world.World, out *screen, scene string, others ...dashboards.Dashboard) error {
	server, err := prometheus.New(prometheus.Options{URL: "http://" + w.Prometheus[0]})
	if err != nil {
		return err
	}
	all, err := dashboards.Shipped()
	if err != nil {
		return err
	}
	s := sights(pressure())[scene]
	all = slices.DeleteFunc(all, func(d dashboards.Dashboard) bool { return !slices.Contains(s.dashboards, name(d)) })
	begun, failed := time.Now(), 0
	for _, d := range append(all, others...) {
		var b board
		var wrong []string
		_, err := until(ctx, w, max(looked-time.Since(begun), 0), func() bool {
			v := d.Opened(time.Now())
			v.Scrape = w.Settings.Scrape // as docs/dashboards.md says to set the data source
			b = ask(ctx, server, d, v)
			wrong = b.judge(s.silent)
			return len(wrong) == 0
		})
		if err != nil {
			return err
		}
		b.print(out, wrong)
		for _, q := range b.Queries {
			if reason, quiet := s.silent[b.Name+"/"+q.Name()]; quiet && !q.Data {
				out.indent(q.Name() + " has none: " + reason)
			}
		}
		failed += len(wrong)
	}
	out.line("  the dashboards were asked for in %s", seconds(time.Since(begun)))
	if failed > 0 {
		return fmt.Errorf("%d queries of dashboards did not hold; logs in %s/logs", failed, w.Dir)
	}
	return nil
}

// mumble sends Tocsin a webhook that nobody can read, so that the panels which
// tell of those have something to tell.
func mumble(ctx context.Context, w *world.World) error {
	token, err := w.Secret(w.SecretFiles.Alertmanager)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.Tocsin+"/webhook/alertmanager", strings.NewReader("{"))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		return fmt.Errorf("send a webhook that nobody can read: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("send a webhook that nobody can read: status %d", res.StatusCode)
	}
	return nil
}
