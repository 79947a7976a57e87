package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/prometheus"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/replay"
)

// ReplayOptions choose what `tocsin replay` looks at.
type ReplayOptions struct {
	Server       string            // its API answers the questions
	TokenFile    config.SecretFile // bearer token for it; "": none
	Params       map[string]string // sent with each question, as dedup=true
	Rules        []string          // files and patterns
	Against      []string          // those that the rules are compared with; none: nothing is compared
	Alertmanager string            // its config; "": each alert by itself is a page
	From, To     string            // times, or durations before now
	Every        time.Duration     // of groups that name no interval; 0: as the server says, else a minute
	External     map[string]string // labels that the server adds to what it sends; none: as it says itself
	Beside       []string          // labels that are in the store only: replicas
	Check        bool              // against ALERTS
	Near         time.Duration     // pages opened within it are the same page
	Load         float64           // share of the time in which the server has a question of ours
	Memory       string            // folder; "": none
	Series       int
	ConfigFile   string // of Tocsin: what pages would have said, and policies done; "": not asked
	Pages        int    // for so many of them, the first ones
	JSON         bool
	Now          func() time.Time
	Progress     func(done, all int, asked int) // called after each answer; nil for none
}

// ReplayReport is what `tocsin replay -o json` prints.
type ReplayReport struct {
	From        time.Time           `json:"from"`
	To          time.Time           `json:"to"`
	Rules       int                 `json:"rules"`
	Evaluations int                 `json:"evaluations"`
	Firings     int                 `json:"firings"`
	Pages       []replay.Page       `json:"pages"`
	Differences []replay.Difference `json:"differences,omitempty"`
	Agreement   []replay.Agreement  `json:"agreement,omitempty"`
	Notes       []string            `json:"notes,omitempty"` // what may make the answer differ from what would have been
	Questions   int                 `json:"questions"`       // that the server was asked
	Remembered  int                 `json:"remembered"`      // that it had answered before
}

// Replay evaluates rules over history and tells the pages that would have left.
func Replay(ctx context.Context, out io.Writer, o ReplayOptions) error {
	r, err := newReplayer(ctx, o)
	if err != nil {
		return err
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	if o.ConfigFile != "" {
		if err := r.imagine(ctx); err != nil {
			return err
		}
	}
	if o.JSON {
		return printJSON(out, r.report)
	}
	_, err = io.WriteString(out, replayText(r.report, len(o.Against) > 0))
	return err
}

// replayer is one run of it.
type replayer struct {
	o         ReplayOptions
	window    replay.Window
	history   *replay.History
	global    prometheus.Global
	next, old []replay.Rule
	routes    *replay.Alertmanager
	report    ReplayReport
	texts     map[string]string // expressions by alertname, for the pages
	done, all int
}

func newReplayer(ctx context.Context, o ReplayOptions) (*replayer, error) {
	r := &replayer{o: o, texts: map[string]string{}}
	now := o.Now()
	from, err := when(o.From, now)
	if err != nil {
		return nil, &config.Mistake{File: "--from", Text: err.Error()}
	}
	to, err := when(o.To, now)
	if err != nil {
		return nil, &config.Mistake{File: "--to", Text: err.Error()}
	}
	if !from.Before(to) || to.After(now) {
		return nil, &config.Mistake{File: "--from", Text: fmt.Sprintf("%s to %s is no time that has been", from.Format(time.RFC3339), to.Format(time.RFC3339))}
	}
	r.window, r.report.From, r.report.To = replay.Window{From: from, To: to}, from, to
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	next, err := r.read(o.Rules)
	old, errOld := r.read(o.Against)
	if err = errors.Join(err, errOld); err != nil {
		return nil, err
	}
	if len(next) == 0 {
		return nil, &config.Mistake{File: strings.Join(o.Rules, ", "), Text: "no alerting rule stands there"}
	}
	r.next, r.old = next, old
	if o.Alertmanager != "" {
		text, err := os.ReadFile(o.Alertmanager)
		if err != nil {
			return nil, &config.Mistake{File: o.Alertmanager, Text: "cannot be read: " + err.Error()}
		}
		if r.routes, err = replay.NewAlertmanager(string(text)); err != nil {
			return nil, &config.Mistake{File: o.Alertmanager, Text: err.Error()}
		}
	} else if r.routes, err = replay.NewAlertmanager(everyAlert); err != nil {
		return nil, err
	}
	return r, nil
}

// everyAlert is the route tree where none is given: a page per alert.
const everyAlert = `
route: {receiver: everybody, group_by: ['...'], group_wait: 0s, group_interval: 10s, repeat_interval: 8760h}
receivers: [{name: everybody}]
`

func (r *replayer) connect(ctx context.Context) error {
	opts := prometheus.Options{URL: r.o.Server, Transport: newTransport()}
	if r.o.TokenFile != "" {
		token, err := r.o.TokenFile.Read()
		if err != nil {
			return &config.Mistake{File: "--token-file", Text: err.Error()}
		}
		opts.Authorize = func(req *http.Request) error { req.Header.Set("Authorization", "Bearer "+string(token)); return nil }
	}
	if len(r.o.Params) > 0 {
		opts.Params = url.Values{}
		for name, value := range r.o.Params {
			opts.Params.Set(name, value)
		}
	}
	client, err := prometheus.New(opts)
	if err != nil {
		return &config.Mistake{File: "--prometheus", Text: err.Error()}
	}
	r.global, err = client.Global(ctx)
	if c := remote.ClassOf(err); err != nil && (c == remote.Unknown || c == remote.NotSent) { // else it has no config to tell, as Thanos Query
		return fmt.Errorf("ask %s: %w", r.o.Server, err)
	}
	if len(r.o.External) > 0 {
		r.global.External = r.o.External
	}
	r.global.Evaluation = cmp.Or(r.o.Every, r.global.Evaluation, time.Minute)
	var memory *replay.Memory
	if r.o.Memory != "" {
		if memory, err = replay.OpenMemory(r.o.Memory, r.o.Server+"?"+opts.Params.Encode()); err != nil {
			return fmt.Errorf("open the memory: %w", err)
		}
	}
	r.history = replay.NewHistory(client, prometheus.Limits{Series: r.o.Series, Bytes: 256 << 20}, r.o.Load, memory)
	return nil
}

// when is a time, or a duration before now ("24h", "7d", "now").
func when(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now.UTC().Truncate(time.Second), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	var d config.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time (2026-11-20T03:00:00Z) nor how long ago it was (24h, 7d)", text)
	}
	return now.Add(-d.D()).UTC().Truncate(time.Second), nil
}

// read reads alerting rules; recording rules are taken as they were recorded.
func (r *replayer) read(patterns []string) ([]replay.Rule, error) {
	files, err := rules.ReadAll(patterns...)
	var out []replay.Rule
	for _, f := range files {
		for _, g := range f.Groups {
			out = append(out, r.alerts(f, g)...)
		}
	}
	return out, err
}

func (r *replayer) alerts(f rules.File, g rules.Group) []replay.Rule {
	every, offset := cmp.Or(g.Interval, r.global.Evaluation), r.global.RuleOffset
	if g.QueryOffset != nil {
		offset = *g.QueryOffset
	}
	var out []replay.Rule
	for _, x := range g.Rules {
		if x.Alert == "" {
			continue
		}
		labels := page.Labels{}
		maps.Copy(labels, g.Labels)
		maps.Copy(labels, x.Labels)
		out = append(out, replay.Rule{
			Group: g.Name, Alert: x.Alert, Expr: x.Expr, Every: every, Offset: offset, For: x.For, KeepFiringFor: x.KeepFiringFor,
			Limit: g.Limit, Labels: labels, Annotations: x.Annotations, External: r.global.External, File: f.Path, Line: x.Line,
		})
	}
	return out
}

// run replays both sets and compares.
func (r *replayer) run(ctx context.Context) error {
	if err := errors.Join(r.phases(ctx, r.next), r.phases(ctx, r.old)); err != nil {
		return err
	}
	for _, x := range slices.Concat(r.next, r.old) {
		r.all += replay.Steps(x, r.window)
	}
	next, err := r.pages(ctx, r.next, r.o.Check)
	if err != nil {
		return err
	}
	r.report.Pages, r.report.Rules = next, len(r.next)
	if len(r.o.Against) > 0 {
		evaluations, firings := r.report.Evaluations, r.report.Firings
		old, err := r.pages(ctx, r.old, r.o.Check)
		if err != nil {
			return err
		}
		r.report.Evaluations, r.report.Firings = evaluations, firings
		r.report.Differences = replay.Compare(old, next, r.o.Near)
	}
	r.note("recorded metrics are read as they were recorded: a recording rule that changed is not evaluated again", r.records())
	for _, w := range r.history.Remarks {
		r.note("the server says that a part of the history is missing: "+w, true)
	}
	r.report.Questions, r.report.Remembered = r.history.Asked, r.history.Known
	return nil
}

func (r *replayer) note(text string, holds bool) {
	if holds && !slices.Contains(r.report.Notes, text) {
		r.report.Notes = append(r.report.Notes, text)
	}
}

// records says whether an alert reads what looks recorded.
func (r *replayer) records() bool {
	for _, x := range r.next {
		if e, err := rules.ParseExpr(x.Expr); err == nil {
			for _, path := range parser.ExtractSelectors(e) {
				for _, m := range path {
					if m.Name == "__name__" && strings.Contains(m.Value, ":") {
						return true
					}
				}
			}
		}
	}
	return false
}

// phases finds out when the server evaluates each group.
func (r *replayer) phases(ctx context.Context, list []replay.Rule) error {
	type group struct{ file, name string }
	names, at := map[group][]string{}, map[group]time.Duration{}
	for _, x := range list {
		g := group{x.File, x.Group}
		names[g] = append(names[g], x.Alert)
	}
	for i := range list {
		g := group{list[i].File, list[i].Group}
		if _, known := at[g]; !known {
			phase, _, err := replay.Phase(ctx, r.history, names[g], list[i].Every, list[i].Offset, r.window)
			if err != nil {
				return err
			}
			at[g] = phase
		}
		list[i].Phase = at[g]
	}
	return nil
}

// pages replays a set.
func (r *replayer) pages(ctx context.Context, list []replay.Rule, check bool) ([]replay.Page, error) {
	var outcomes []replay.Outcome
	for _, x := range list {
		o, err := replay.Evaluate(ctx, r.history, x, r.window, func(n int) {
			r.done += n
			if r.o.Progress != nil {
				r.o.Progress(r.done, r.all, r.history.Asked)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", x.File, x.Line, err)
		}
		for _, failed := range o.Failed {
			r.note(fmt.Sprintf("%s:%d: %s: an evaluation would have failed %s", x.File, x.Line, x.Alert, failed), true)
		}
		r.texts[x.Alert] = x.Expr
		r.report.Evaluations += o.Evaluations
		r.report.Firings += len(o.Firings)
		outcomes = append(outcomes, o)
		if check {
			a, err := replay.Check(ctx, r.history, o, r.window, r.o.Beside)
			if err != nil {
				return nil, err
			}
			r.report.Agreement = append(r.report.Agreement, a)
		}
	}
	return r.routes.Pages(outcomes, r.window.To)
}
