package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/replay"
)

// PreviewRuleOptions choose the rule whose page `tocsin preview` shows, and when.
type PreviewRuleOptions struct {
	Server       string            // its API answers the questions
	TokenFile    config.SecretFile // bearer token for it; "": none
	Params       map[string]string // sent with each question
	Rules        string            // a rule file, or the folder of a tree
	Alert        string            // in it
	Expr         string            // in the place of a rule
	At           string            // a time, or a duration before now
	Last         bool              // where nothing fires then: at the newest moment at which it would have
	Within       time.Duration     // of that time
	Alertmanager string            // its config; "": the alertname is a page
	ConfigFile   string            // of Tocsin: its sources, roles and policies; "": the server is the source
	Output       string            // text, json, slack, slack-blocks or pagerduty
	Now          func() time.Time
}

// RulePreview is what `tocsin preview RULE -o json` prints.
type RulePreview struct {
	Alert   string        `json:"alert"`
	Expr    string        `json:"expr"`
	At      time.Time     `json:"at"`
	Pages   []PreviewPage `json:"pages"`             // none: nothing fires
	Nearest *Nearest      `json:"nearest,omitempty"` // what comes nearest, where nothing fires and it can be told
}

// PreviewPage is one page that a rule would become.
type PreviewPage struct {
	Receiver string    `json:"receiver"`
	Policies []string  `json:"policies"` // that match it
	Headline string    `json:"headline"`
	Page     page.Page `json:"page"`
}

// Nearest is the value that comes nearest to firing.
type Nearest struct {
	Query     string      `json:"query"` // the rule without its comparison
	Labels    page.Labels `json:"labels"`
	Value     float64     `json:"value"`
	Op        string      `json:"op"`
	Threshold float64     `json:"threshold"`
}

// ErrNothingFires says that a rule would become no page.
var ErrNothingFires = errors.New("nothing fires")

// PreviewRule shows the page that a rule would become: the rule is evaluated
// over a server's data by Prometheus' own code, its alerts are grouped by
// Alertmanager's, and explained as real ones are. Nothing is stored and nobody
// is told.
func PreviewRule(ctx context.Context, out io.Writer, o PreviewRuleOptions) error {
	p, err := newRulePreviewer(ctx, o)
	if err != nil {
		return err
	}
	outcome, err := p.evaluate(ctx)
	if err != nil {
		return err
	}
	report := RulePreview{Alert: p.rule.Alert, Expr: p.rule.Expr, At: p.at, Pages: []PreviewPage{}}
	firing := slices.ContainsFunc(outcome.Firings, func(f replay.Firing) bool { return f.At(p.at) })
	if !firing {
		report.Nearest = p.nearest(ctx)
		return errors.Join(p.print(out, report, nil), fmt.Errorf("%w: %s", ErrNothingFires, p.rule.Alert))
	}
	found, err := p.foresee.pages(ctx, []replay.Outcome{outcome}, p.at, p.at.Add(time.Hour)) // past any group_wait
	if err != nil {
		return err
	}
	for _, f := range found {
		report.Pages = append(report.Pages, PreviewPage{Receiver: f.Receiver, Policies: f.policies, Headline: headline(f.Page), Page: f.Page})
	}
	return p.print(out, report, found)
}

// rulePreviewer is one preview.
type rulePreviewer struct {
	o       PreviewRuleOptions
	at      time.Time
	rule    replay.Rule
	server  *replayer
	foresee *foreseer
}

func newRulePreviewer(ctx context.Context, o PreviewRuleOptions) (*rulePreviewer, error) {
	p := &rulePreviewer{o: o}
	var err error
	if p.at, err = when(o.At, o.Now()); err != nil {
		return nil, &config.Mistake{File: "--at", Text: err.Error()}
	}
	own, err := readRule(o)
	if err != nil {
		return nil, err
	}
	if p.foresee, err = foresee(o.ConfigFile, o.Alertmanager); err != nil {
		return nil, err
	}
	p.server = &replayer{o: ReplayOptions{Server: o.Server, TokenFile: o.TokenFile, Params: o.Params, Series: 50_000, Load: 1}}
	if err := p.server.connect(ctx); err != nil {
		return nil, err
	}
	p.rule = p.server.alerts(own, own.Groups[0])[0]
	p.rule.Phase = time.Duration(p.at.UnixNano() % int64(p.rule.Every)) // the time that is asked for is an evaluation
	p.foresee.server = o.Server
	return p, nil
}

// readRule finds the one rule: a file with a group with nothing but it.
func readRule(o PreviewRuleOptions) (rules.File, error) {
	if o.Expr != "" {
		if _, err := rules.ParseExpr(o.Expr); err != nil {
			return rules.File{}, &config.Mistake{File: "--expr", Text: err.Error()}
		}
		return rules.File{Path: "--expr", Groups: []rules.Group{{Name: "preview", Rules: []rules.Rule{{Alert: cmp.Or(o.Alert, "Preview"), Expr: o.Expr}}}}}, nil
	}
	files, err := readRuleFiles(o.Rules)
	if err != nil {
		return rules.File{}, err
	}
	var names []string
	var found []rules.File
	for _, f := range files {
		for _, g := range f.Groups {
			for _, r := range g.Rules {
				if r.Alert != "" && !slices.Contains(names, r.Alert) {
					names = append(names, r.Alert)
				}
				if r.Alert != "" && r.Alert == o.Alert {
					only := g
					only.Rules = []rules.Rule{r}
					found = append(found, rules.File{Path: f.Path, Groups: []rules.Group{only}})
				}
			}
		}
	}
	switch {
	case len(found) == 0 && config.Nearest(o.Alert, names) != "":
		return rules.File{}, &config.Mistake{File: o.Rules, Text: fmt.Sprintf("no alert is called %q; write %q", o.Alert, config.Nearest(o.Alert, names))}
	case len(found) == 0:
		return rules.File{}, &config.Mistake{File: o.Rules, Text: fmt.Sprintf("no alert is called %q; there are: %s", o.Alert, strings.Join(names, ", "))}
	}
	return found[0], nil
}

// readRuleFiles reads a rule file, or compiles the tree of a folder.
func readRuleFiles(path string) ([]rules.File, error) {
	if s, err := os.Stat(path); err != nil || !s.IsDir() {
		return rules.ReadAll(path)
	}
	c, err := RulesOptions{}.compileRules(path, path)
	if err != nil {
		return nil, err
	}
	var out []rules.File
	for _, f := range c.files {
		read, err := rules.Parse(f.Name, f.Data)
		if err != nil {
			return nil, err
		}
		out = append(out, read)
	}
	return out, nil
}

// evaluate follows the rule until the time, and moves the time back to the
// newest at which it would have fired, where that is asked for.
func (p *rulePreviewer) evaluate(ctx context.Context) (replay.Outcome, error) {
	from := p.at.Add(-p.rule.Every)
	if p.o.Last {
		from = p.at.Add(-p.o.Within)
	}
	outcome, err := replay.Evaluate(ctx, p.server.history, p.rule, replay.Window{From: from, To: p.at.Add(time.Nanosecond)}, nil)
	if err != nil {
		return outcome, err
	}
	if len(outcome.Failed) > 0 && len(outcome.Firings) == 0 {
		return outcome, fmt.Errorf("evaluate %s: %s", p.rule.Alert, outcome.Failed[0])
	}
	var last time.Time
	for _, f := range outcome.Firings {
		end := p.at
		if !f.Resolved.IsZero() {
			end = f.Resolved.Add(-p.rule.Every)
		}
		if end.After(last) {
			last = end
		}
	}
	if p.o.Last && !last.IsZero() {
		p.at = last
	}
	return outcome, p.connectSources()
}

// connectSources makes who is asked, at the time of the page: those of the
// config, or the server itself.
func (p *rulePreviewer) connectSources() error {
	at, f := p.at, p.foresee
	l := lent{transport: newTransport(), log: slog.New(slog.DiscardHandler), now: func() time.Time { return at }}
	if len(f.plan.Sources) > 0 {
		b := &parts{plan: f.plan}
		if err := f.plan.root.Mistakes(b.buildSources(l)); err != nil {
			return err
		}
		f.sources = b.sources
		return nil
	}
	var err error
	f.sources, err = prometheusSource(p.o.Server, l.transport, enrich.Roles(f.plan.Traits.Roles), l.now, func(c *thanos.Config) { c.BearerTokenFile = p.o.TokenFile })
	return err
}

// nearest asks for the value that comes nearest to firing; nil where the
// expression compares nothing with a number, or nothing is there.
func (p *rulePreviewer) nearest(ctx context.Context) *Nearest {
	a, err := expr.Parse(p.rule.Expr)
	if err != nil || a.Shape == expr.Absence || a.Op == expr.Differs {
		return nil
	}
	nearer := func(v, than float64) bool {
		if a.Op == expr.Equal {
			return math.Abs(v-a.Threshold) < math.Abs(than-a.Threshold)
		}
		return (v < than) == a.Op.Falling()
	}
	n := &Nearest{Query: a.Shown(), Value: math.NaN(), Op: string(a.Op), Threshold: a.Threshold}
	_, err = p.server.history.Client.Query(ctx, n.Query, p.at, prometheus.Limits{Series: 50_000, Bytes: 64 << 20}, func(l []page.Label, v float64) {
		if math.IsNaN(v) || !math.IsNaN(n.Value) && !nearer(v, n.Value) {
			return
		}
		n.Value, n.Labels = v, page.Labels{}
		for _, x := range l {
			if x.Name != "__name__" { // the query says it
				n.Labels[x.Name] = x.Value
			}
		}
	})
	if err != nil || math.IsNaN(n.Value) {
		return nil
	}
	return n
}

// print writes the report as it is asked for.
func (p *rulePreviewer) print(out io.Writer, r RulePreview, found []foreseen) error {
	switch p.o.Output {
	case "json":
		return printJSON(out, r)
	case "slack", "slack-blocks", "pagerduty":
		for _, f := range found {
			if err := wire(out, p.o.Output, f.Page, p.foresee.plan.owners()); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := io.WriteString(out, rulePreviewText(r))
	return err
}

// rulePreviewText is the report as people read it.
func rulePreviewText(r RulePreview) string {
	var b strings.Builder
	at := r.At.UTC().Format("2006-01-02 15:04:05")
	if n := r.Nearest; n != nil {
		fmt.Fprintf(&b, "%s does not fire at %s: the nearest is %.4g %s; it fires where %s %.4g\n  %s\n", notify.Clean(r.Alert, 200), at,
			n.Value, notify.Clean(labels.FromMap(n.Labels).String(), 400), n.Op, n.Threshold, notify.Clean(n.Query, 2000))
	} else if len(r.Pages) == 0 {
		fmt.Fprintf(&b, "%s becomes no page at %s\n", notify.Clean(r.Alert, 200), at)
	}
	for _, p := range r.Pages {
		policies := "none"
		if len(p.Policies) > 0 {
			policies = strings.Join(p.Policies, ", ")
		}
		fmt.Fprintf(&b, "page at %s to %s (policies: %s)\n\n", at, notify.Clean(p.Receiver, 200), policies)
		b.WriteString(previewText(notify.Compose(notify.Message{Page: p.Page}, r.At), p.Page))
	}
	return b.String()
}
