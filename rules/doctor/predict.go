package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/latency"
)

// Patient is all that the prediction is made from.
type Patient struct {
	Files      []rules.File
	Prometheus Prometheus
	Routes     *Alertmanager                      // nil: from the fault to Alertmanager only
	Gateway    func(severity string) latency.Span // d_h: what receives the webhook, and the services behind it; nil: nothing is added
	Receivers  []string                           // that the gateway serves; of several ways an alert's page is theirs. None: the fastest

	Level       float64       // share of events that a fault makes bad: 1 is a total outage
	Arrives     time.Duration // remote write's lag
	FailedSends int
	DeadPeers   int // Alertmanagers of the cluster ahead of the first live one
	// EvalTakes is how long a group takes to the end of a rule, where a server told.
	EvalTakes func(group, rule string) time.Duration
}

// Prediction is the time to notify of one alerting rule.
type Prediction struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Group    string `json:"group"`
	Alert    string `json:"alert"`
	Severity string `json:"severity,omitempty"`
	latency.Span
	Joining   latency.Span    `json:"joining,omitzero"` // when it joins a group that has already told of another alert
	Stages    []latency.Stage `json:"stages"`
	Condition string          `json:"condition"`
	Derived   bool            `json:"derived"`         // Condition follows from the expression
	Never     bool            `json:"never,omitempty"` // a fault of this size does not fire it
	Routes    []Way           `json:"routes,omitempty"`
	Levers    []Lever         `json:"levers,omitempty"` // by what they save, most first
	Notes     []string        `json:"notes,omitempty"`
}

// Way is a route with the time to notify along it.
type Way struct {
	Route
	latency.Span
}

// Predict returns a prediction per alerting rule, in the order of the files. Its
// error joins *config.Mistake: recording rules that read themselves.
func (p Patient) Predict() ([]Prediction, error) {
	s := surgery{Patient: p, recorded: map[string][]recording{}, circles: map[string]bool{}, known: map[*rules.Rule]waited{}}
	for i := range p.Files {
		for j := range p.Files[i].Groups {
			g := &p.Files[i].Groups[j]
			for k := range g.Rules {
				if r := &g.Rules[k]; r.Record != "" {
					s.recorded[r.Record] = append(s.recorded[r.Record], recording{&p.Files[i], g, r, k})
				}
			}
		}
	}
	var out []Prediction
	for i := range p.Files {
		for j := range p.Files[i].Groups {
			g := &p.Files[i].Groups[j]
			for k := range g.Rules {
				if g.Rules[k].Alert != "" {
					out = append(out, s.predict(recording{&p.Files[i], g, &g.Rules[k], k}))
				}
			}
		}
	}
	return out, errors.Join(s.mistakes...)
}

// surgery predicts one rule after the other.
type surgery struct {
	Patient
	recorded map[string][]recording
	circles  map[string]bool        // said already
	known    map[*rules.Rule]waited // what below found
	mistakes []error
}

// recording is a rule and where it stands.
type recording struct {
	file  *rules.File
	group *rules.Group
	rule  *rules.Rule
	index int
}

// eval is the interval of a rule's group.
func (s *surgery) eval(r recording) Setting {
	if r.group.Interval == 0 {
		return s.Prometheus.Eval
	}
	return Setting{Key: "interval", Value: r.group.Interval, File: r.file.Path, Line: r.group.Lines.Of("interval", r.group.Line)}
}

func (s *surgery) offset(r recording) Setting {
	if r.group.QueryOffset == nil {
		return s.Prometheus.Offset
	}
	return Setting{Key: "query_offset", Value: *r.group.QueryOffset, File: r.file.Path, Line: r.group.Lines.Of("query_offset", r.group.Line)}
}

func (s *surgery) predict(r recording) Prediction {
	out := Prediction{
		File: r.file.Path, Line: r.rule.Lines.Of("alert", r.rule.Line), Group: r.group.Name,
		Alert: r.rule.Alert, Severity: r.group.Severity(r.rule),
	}
	e, err := rules.ParseExpr(expr.Resolve(r.rule.Expr, s.resolve))
	if err != nil { // the file was read, so this one parses
		e, _ = rules.ParseExpr(r.rule.Expr)
	}
	scrape, note := s.scrape(e)
	c := latency.ConditionOf(e, s.Level, scrape.Value)
	out.Condition, out.Derived, out.Never = c.Why, c.Known, c.Never
	if note != "" {
		out.Notes = append(out.Notes, note)
	}
	eval, offset := s.eval(r), s.offset(r)
	chain := latency.Chain{
		Condition: c.Span, Scrape: scrape.Value, Eval: eval.Value, Offset: offset.Value, Arrives: s.Arrives,
		For: r.rule.For, Resend: s.Prometheus.Resend.Value, FailedSends: s.FailedSends,
	}
	if s.Gateway != nil {
		chain.Receiver = s.Gateway(out.Severity)
	}
	if s.EvalTakes != nil {
		chain.EvalTakes = s.EvalTakes(r.group.Name, r.rule.Alert)
	}
	read := s.below(r, nil)
	chain.Recorded = read.links
	cures := cures{rule: r, eval: eval, offset: offset, scrape: scrape, recorded: read.rules, level: s.Level, e: e}
	if s.Routes != nil {
		cures.way = s.routed(&out, &chain, r)
		if s.Prometheus.Relabels {
			out.Notes = append(out.Notes, "alert_relabel_configs may change labels before the route sees them")
		}
	}
	out.Span, out.Stages = chain.Total(), chain.Stages()
	if !c.Never {
		out.Levers = cures.levers(chain)
	}
	return out
}

// routed follows an alert through the route tree and sets the chain to the way
// that pages.
func (s *surgery) routed(out *Prediction, chain *latency.Chain, r recording) *Route {
	set := maps.Clone(s.Prometheus.External)
	if set == nil {
		set = map[string]string{}
	}
	for _, m := range []map[string]string{r.group.Labels, r.rule.Labels} {
		for k, v := range m {
			if set[k] = v; templated(v) {
				delete(set, k)
			}
		}
	}
	set["alertname"] = r.rule.Alert
	chain.Position, chain.PeerTimeout = s.DeadPeers, s.Routes.PeerTimeout.Value
	best := -1
	ways := s.Routes.Ways(set)
	for i, w := range ways {
		c := *chain
		c.GroupWait, c.GroupInterval = w.Wait.Value, w.Interval.Value
		out.Routes = append(out.Routes, Way{Route: w, Span: c.Total()})
		if len(w.When) == 0 && (best < 0 || s.before(out.Routes[i], out.Routes[best])) {
			best = i
		}
	}
	way := ways[max(0, best)]
	if len(s.Receivers) > 0 && !slices.Contains(s.Receivers, way.Receiver) {
		chain.Receiver = latency.Span{} // it goes past the gateway
	}
	chain.GroupWait, chain.GroupInterval = way.Wait.Value, way.Interval.Value
	if !way.Alone {
		joins := *chain
		joins.Joins = true
		out.Joining = joins.Total()
	}
	out.Notes = append(out.Notes, slower(out.Routes, out.Routes[max(0, best)].Mean)...)
	return &way
}

// maxSlower is how many of the slower ways are named.
const maxSlower = 3

// slower names the ways that take longer where series add a label, the slowest first.
func slower(ways []Way, mean time.Duration) []string {
	ways = slices.DeleteFunc(slices.Clone(ways), func(w Way) bool { return len(w.When) == 0 || w.Mean <= mean })
	slices.SortStableFunc(ways, func(a, b Way) int { return cmp.Compare(b.Mean, a.Mean) })
	var out []string
	for i, w := range ways {
		if i == maxSlower {
			out = append(out, fmt.Sprintf("%d more routes are slower where series add their labels", len(ways)-i))
			break
		}
		out = append(out, fmt.Sprintf("where %s: receiver %s after %s", labelsText(w.When), w.Receiver, seconds(w.Mean)))
	}
	return out
}

// before says which of two ways an alert's page takes: the gateway's, then the faster.
func (s *surgery) before(a, b Way) bool {
	if x, y := slices.Contains(s.Receivers, a.Receiver), slices.Contains(s.Receivers, b.Receiver); x != y {
		return x
	}
	return a.Mean < b.Mean
}

func (s *surgery) resolve(name string) []expr.Recording {
	var out []expr.Recording
	for _, r := range s.recorded[name] {
		out = append(out, expr.Recording{Expr: r.rule.Expr, Labels: r.rule.Labels, Interval: s.eval(r).Value})
	}
	return out
}

// waited is the slowest way from samples to a rule through recording rules, the
// ones nearest the samples last, and the rules themselves.
type waited struct {
	links []latency.Recorded
	rules []recording
}

// below finds what a rule waits for; each rule is looked at once, however many read it.
func (s *surgery) below(r recording, under []string) waited {
	if got, ok := s.known[r.rule]; ok {
		return got
	}
	var out waited
	longest := time.Duration(-1)
	for _, name := range expr.Metrics(r.rule.Expr) {
		for _, rec := range s.recorded[name] {
			if slices.Contains(under, name) || name == r.rule.Record {
				s.circle(rec, append(slices.Clone(under), name))
				continue
			}
			same := rec.group == r.group
			link := latency.Recorded{Eval: s.eval(rec).Value, Offset: s.offset(rec).Value, Same: same, Behind: same && rec.index > r.index}
			more := s.below(rec, append(slices.Clone(under), name))
			all := append([]latency.Recorded{link}, more.links...)
			if took := (latency.Chain{Recorded: all}).Total().Mean; took > longest {
				longest, out = took, waited{all, append([]recording{rec}, more.rules...)}
			}
		}
	}
	s.known[r.rule] = out
	return out
}

func (s *surgery) circle(r recording, names []string) {
	if key := r.rule.Record; !s.circles[key] {
		s.circles[key] = true
		s.mistakes = append(s.mistakes, &config.Mistake{
			File: r.file.Path, Line: r.rule.Lines.Of("record", r.rule.Line),
			Text: fmt.Sprintf("%s reads itself: %s", key, strings.Join(names, " reads ")),
		})
	}
}

// scrape returns the interval at which the series of an expression are scraped:
// that of the slowest job that its job matchers let in.
func (s *surgery) scrape(e parser.Expr) (Setting, string) {
	var matched []Job
	open, unknown := false, ""
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		i := slices.IndexFunc(v.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "job" })
		if i < 0 {
			open = true
			return nil
		}
		some := false
		for _, j := range s.Prometheus.Jobs {
			if v.LabelMatchers[i].Matches(j.Name) {
				some, matched = true, append(matched, j)
			}
		}
		if !some {
			unknown = v.LabelMatchers[i].String()
		}
		return nil
	})
	note := ""
	switch {
	case len(s.Prometheus.Jobs) == 0:
		return s.Prometheus.Scrape, ""
	case unknown != "":
		note, matched = fmt.Sprintf("no job_name is like %s: the slowest job's interval is taken", unknown), s.Prometheus.Jobs
	case open && len(s.Prometheus.Jobs) > 1:
		note, matched = "no job matcher: the slowest job's interval is taken", s.Prometheus.Jobs
	case open:
		matched = s.Prometheus.Jobs
	}
	if len(matched) == 0 { // vector(1)
		return Setting{Key: "scrape_interval", Default: true}, ""
	}
	slowest := slices.MaxFunc(matched, func(a, b Job) int { return cmp.Compare(a.Scrape.Value, b.Scrape.Value) })
	if note != "" {
		note += fmt.Sprintf(" (%s, %s)", slowest.Name, slowest.Scrape.Value)
	}
	return slowest.Scrape, note
}

func labelsText(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s=%q", k, m[k]))
	}
	return strings.Join(out, ", ")
}

func seconds(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
