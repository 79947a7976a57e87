package dashboards

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// Check is one thing that every dashboard of the house holds to.
type Check struct {
	Name string
	Says string
	find func(d Dashboard, house House) []string
}

// House is what a dashboard is held against.
type House struct {
	Metrics map[string][]string // with their labels, beside Everywhere's; nil: not checked
	Others  []Dashboard         // that links may lead to
}

// Everywhere are labels that Prometheus puts on every series, or makes itself.
func Everywhere() []string { return []string{"__name__", "job", "instance", "le"} }

// Foreign are the metrics that are nobody's of the house, with their labels.
func Foreign() map[string][]string {
	return map[string][]string{
		"ALERTS":                        {"alertname", "alertstate", "severity"},
		"process_resident_memory_bytes": nil,
	}
}

// Checks are the ten.
func Checks() []Check {
	return []Check{
		{"frame", "It has a uid, schema version 39, one crosshair for all panels, the reader's own time zone; links lead to dashboards that are there, and no panel covers another.", frame},
		{"source", "A variable chooses the data source, and every panel, query and variable asks that one.", source},
		{"variables", "There is a variable job and every selector is held to it; what is chosen is used, what is used can be chosen.", variables},
		{"titles", "No two panels have the same title or id.", titles},
		{"descriptions", "The dashboard and every panel say what they show.", descriptions},
		{"units", "Every panel says in which unit.", units},
		{"thresholds", "A stat or a gauge says from where on a number is bad.", thresholds},
		{"legends", "Every query names its series, by labels that it has.", legends},
		{"intervals", "Ranges are Grafana's: $__rate_interval or $__range, never so many minutes.", intervals},
		{"metrics", "Every query parses and asks for metrics and labels that are there.", metrics},
	}
}

// Finding is what a check found.
type Finding struct{ File, Check, Text string }

// String is the line of it.
func (f Finding) String() string { return f.File + ": " + f.Check + ": " + f.Text }

// Lint holds a dashboard to all checks.
func Lint(d Dashboard, house House) []Finding {
	var out []Finding
	for _, c := range Checks() {
		for _, text := range c.find(d, house) {
			out = append(out, Finding{d.File, c.Name, text})
		}
	}
	return out
}

// found gathers what a check has to say.
type found []string

func (f *found) when(bad bool, format string, args ...any) {
	if bad {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

const schema = 39 // as kube-prometheus ships; older Grafanas than 10.4 do not know it

func frame(d Dashboard, house House) []string {
	var f found
	f.when(!regexp.MustCompile(`^[\w-]{1,40}$`).MatchString(d.UID), "uid %q is none that Grafana takes", d.UID)
	f.when(d.SchemaVersion != schema, "schema version %d is not %d", d.SchemaVersion, schema)
	f.when(d.GraphTooltip != 1, "no crosshair over all panels (graphTooltip 1)")
	f.when(d.Timezone != "", "the time zone %q is not the reader's own", d.Timezone)
	all := append(slices.Clone(house.Others), d)
	for _, l := range d.Links {
		to := func(o Dashboard) bool {
			if l.Type == "dashboards" {
				return len(l.Tags) > 0 && !slices.ContainsFunc(l.Tags, func(tag string) bool { return !slices.Contains(o.Tags, tag) })
			}
			return strings.Contains(l.URL+"/", "/d/"+o.UID+"/") || strings.Contains(l.URL, "/d/"+o.UID+"?")
		}
		f.when(!slices.ContainsFunc(all, to), "a link leads to no dashboard: %s%v", l.URL, l.Tags)
	}
	places := map[[2]int]string{}
	for _, p := range d.Panels {
		for x := p.GridPos.X; x < p.GridPos.X+min(p.GridPos.W, 24); x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+min(p.GridPos.H, 100); y++ {
				if other, taken := places[[2]int{x, y}]; taken {
					f.when(!slices.Contains(f, p.Title+" covers "+other), "%s covers %s", p.Title, other)
				}
				places[[2]int{x, y}] = p.Title
			}
		}
	}
	return f
}

func source(d Dashboard, _ House) []string {
	var f found
	there := slices.ContainsFunc(d.Templating.List, func(v Variable) bool {
		return v.Name == "datasource" && v.Type == "datasource" && v.Query == "prometheus"
	})
	f.when(!there, "no variable datasource chooses a Prometheus")
	asks := func(what string, s *Source) {
		if s == nil {
			f.when(true, "%s names no data source", what)
			return
		}
		f.when(s.UID != "${datasource}" && s.UID != "$datasource", "%s asks %q and not the chosen source", what, s.UID)
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			asks("$"+v.Name, v.Datasource)
		}
	}
	for p := range d.Drawn() {
		asks(p.Title, p.Datasource)
		for _, t := range p.Targets {
			if t.Datasource != nil {
				asks(p.Title+" "+t.RefID, t.Datasource)
			}
		}
	}
	return f
}

func variables(d Dashboard, _ House) []string {
	var f found
	known, used := map[string]bool{}, map[string]bool{"datasource": true}
	for _, v := range d.Templating.List {
		known[v.Name] = true
	}
	f.when(!known["job"], "there is no variable job")
	uses := func(where, text string) {
		for _, name := range names(text) {
			used[name] = true
			f.when(!known[name] && !strings.HasPrefix(name, "__"), "%s: $%s cannot be chosen", where, name)
		}
	}
	for _, v := range d.Templating.List {
		uses("$"+v.Name, string(v.Query))
	}
	for p := range d.Drawn() {
		uses(p.Title, p.Title+p.Description)
		for _, t := range p.Targets {
			uses(p.Title, t.Expr+t.LegendFormat)
			for _, s := range selectors(t.Expr) {
				held := slices.ContainsFunc(s.LabelMatchers, func(m *matcher) bool { return m.Name == "job" && m.Value == "$job" })
				f.when(!held && s.Name != "ALERTS", "%s: %s is asked of every job", p.Title, s.Name) // rules of all jobs alert
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		f.when(!used[name], "$%s is chosen and changes nothing", name)
	}
	return f
}

func titles(d Dashboard, _ House) []string {
	var f found
	by, ids := map[string]bool{}, map[int]bool{}
	f.when(d.Title == "", "the dashboard has no title")
	for p := range d.all() {
		f.when(p.Title == "", "panel %d has no title", p.ID)
		f.when(by[p.Title], "two panels are called %s", p.Title)
		f.when(ids[p.ID], "%s has another's id %d", p.Title, p.ID)
		by[p.Title], ids[p.ID] = true, true
	}
	return f
}

func descriptions(d Dashboard, _ House) []string {
	var f found
	f.when(d.Description == "", "the dashboard does not say what it is for")
	for p := range d.Drawn() {
		f.when(p.Description == "", "%s does not say what it shows", p.Title)
	}
	return f
}

func units(d Dashboard, _ House) []string {
	var f found
	for p := range d.Drawn() {
		f.when(p.FieldConfig.Defaults.Unit == "", "%s has no unit", p.Title)
	}
	return f
}

func thresholds(d Dashboard, _ House) []string {
	var f found
	for p := range d.Drawn() {
		switch p.Type {
		case "stat", "gauge", "bargauge":
			f.when(len(p.FieldConfig.Defaults.Thresholds.Steps) == 0, "%s has no thresholds", p.Title)
		}
	}
	return f
}

func legends(d Dashboard, _ House) []string {
	var f found
	for p := range d.Drawn() {
		for _, t := range p.Targets {
			f.when(t.LegendFormat == "", "%s %s names its series by all their labels", p.Title, t.RefID)
			for _, m := range regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`).FindAllStringSubmatch(t.LegendFormat, -1) {
				f.when(!Keeps(t.Expr, m[1]), "%s %s: the query leaves no label %s for the legend", p.Title, t.RefID, m[1])
			}
		}
	}
	return f
}

func intervals(d Dashboard, _ House) []string {
	var f found
	for p := range d.Drawn() {
		for _, t := range p.Targets {
			for _, fixed := range fixedRanges(t.Expr) {
				f.when(true, "%s %s: [%s] does not follow the range that is looked at", p.Title, t.RefID, fixed)
			}
		}
	}
	return f
}

func metrics(d Dashboard, house House) []string {
	var f found
	for p := range d.Drawn() {
		f.when(len(p.Targets) == 0, "%s asks nothing", p.Title)
		for _, t := range p.Targets {
			if _, err := parse(t.Expr); err != nil {
				f.when(true, "%s %s: %v", p.Title, t.RefID, err)
				continue
			}
			if house.Metrics == nil {
				continue
			}
			for _, s := range selectors(t.Expr) {
				labels, ours := house.Metrics[s.Name]
				foreign, theirs := Foreign()[s.Name]
				f.when(!ours && !theirs, "%s %s: there is no metric %q", p.Title, t.RefID, s.Name)
				for _, m := range s.LabelMatchers {
					there := slices.Contains(slices.Concat(labels, foreign, Everywhere()), m.Name)
					f.when((ours || theirs) && !there, "%s %s: %s has no label %s", p.Title, t.RefID, s.Name, m.Name)
				}
			}
		}
	}
	return f
}

func selectors(query string) []*parser.VectorSelector {
	var out []*parser.VectorSelector
	inspect(query, func(n parser.Node) {
		if s, ok := n.(*parser.VectorSelector); ok {
			out = append(out, s)
		}
	})
	return out
}
