package dashboards

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/remote/prometheus"
)

// View is how a dashboard is looked at.
type View struct {
	From, To time.Time
	Scrape   time.Duration     // the scrape interval that the data source is set to
	Vars     map[string]string // chosen by hand
}

// DefaultScrape is the scrape interval of a data source that says none.
const DefaultScrape = 15 * time.Second

// points is how many a panel of usual width asks for.
const points = 1000

// Opened is the view in which a dashboard opens at a time: its own range.
func (d Dashboard) Opened(now time.Time) View {
	ago := 6 * time.Hour // Grafana's own
	if text, ok := strings.CutPrefix(d.Time.From, "now-"); ok && d.Time.To == "now" {
		if parsed, err := model.ParseDuration(text); err == nil {
			ago = time.Duration(parsed)
		}
	}
	return View{From: now.Add(-ago), To: now, Scrape: DefaultScrape}
}

// interval is Grafana's $__interval: round, and no shorter than a scrape.
func (v View) interval() time.Duration {
	exact := v.To.Sub(v.From) / points
	round := []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 20 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 20 * time.Minute, 30 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	}
	at, there := slices.BinarySearch(round, exact)
	switch {
	case at == len(round):
		at--
	case !there && at > 0 && exact-round[at-1] < round[at]-exact:
		at-- // the nearer one
	}
	return max(round[at], v.Scrape)
}

// grid are the first and the last step of a range query.
func (v View) grid() (from, to time.Time) {
	step := v.interval()
	return v.From.Truncate(step), v.To.Truncate(step)
}

// globals are the values of Grafana's own variables.
func (v View) globals() map[string]string {
	length, step := v.To.Sub(v.From), v.interval()
	text := func(d time.Duration) string { return strconv.FormatInt(int64(d.Seconds()), 10) + "s" }
	return map[string]string{
		"__interval": text(step), "__interval_ms": strconv.FormatInt(step.Milliseconds(), 10),
		"__rate_interval": text(max(step+v.Scrape, 4*v.Scrape)),
		"__range":         text(length), "__range_s": strconv.FormatInt(int64(length.Seconds()), 10), "__range_ms": strconv.FormatInt(length.Milliseconds(), 10),
		"__from": strconv.FormatInt(v.From.UnixMilli(), 10), "__to": strconv.FormatInt(v.To.UnixMilli(), 10),
	}
}

// Chosen are the values of a dashboard's variables as they stand in a query.
type Chosen map[string]string

// Choices are what a reader may choose first: a dashboard as it opens, and, if
// it has variables of which several values can be chosen, all of theirs one by
// one.
type Choices struct {
	Opened Chosen
	Picked Chosen // nil: there is no such variable
	Values map[string][]string
}

// Choose asks for the values of the variables, in their order, and chooses.
func (d Dashboard) Choose(ctx context.Context, server *prometheus.Client, v View) (Choices, error) {
	c := Choices{Opened: v.globals(), Picked: v.globals(), Values: map[string][]string{}}
	several := false
	for _, variable := range d.Templating.List {
		if variable.Type == "datasource" || variable.Type == "adhoc" {
			continue
		}
		if value, ok := v.Vars[variable.Name]; ok {
			c.Opened[variable.Name], c.Picked[variable.Name] = value, value
			continue
		}
		values, err := variable.values(ctx, server, v, c.Opened)
		if err != nil {
			return c, fmt.Errorf("values of $%s: %w", variable.Name, err)
		}
		if len(values) == 0 {
			return c, fmt.Errorf("values of $%s: %s has none", variable.Name, variable.Query)
		}
		c.Values[variable.Name] = values
		c.Opened[variable.Name] = variable.opens(values)
		c.Picked[variable.Name] = c.Opened[variable.Name]
		if variable.Multi {
			several = true
			c.Picked[variable.Name] = variable.text(values)
		}
	}
	if !several {
		c.Picked = nil
	}
	return c, nil
}

// values are those that a variable offers.
func (v Variable) values(ctx context.Context, server *prometheus.Client, view View, chosen Chosen) ([]string, error) {
	switch v.Type {
	case "custom", "interval":
		var out []string
		for value := range strings.SplitSeq(string(v.Query), ",") {
			if value = strings.TrimSpace(value); value != "" {
				out = append(out, value)
			}
		}
		return out, nil
	case "constant", "textbox":
		return []string{string(v.Query)}, nil
	case "query":
	default:
		return nil, fmt.Errorf("type %q is not known here", v.Type)
	}
	m := regexp.MustCompile(`^\s*label_values\(\s*(?:(.+),\s*)?(\w+)\s*\)\s*$`).FindStringSubmatch(string(v.Query))
	if m == nil {
		return nil, fmt.Errorf("of queries only label_values(metric, label) is known here, not %s", v.Query)
	}
	match, err := fill(m[1], chosen)
	if err != nil {
		return nil, err
	}
	values, err := server.LabelValues(ctx, m[2], strings.TrimSpace(match), view.From, view.To)
	if err != nil || v.Regex == "" {
		return values, err
	}
	return v.kept(values)
}

// kept are the values, or the parts of them, that the variable's regex keeps.
func (v Variable) kept(values []string) ([]string, error) {
	re, err := regexp.Compile(strings.Trim(v.Regex, "/"))
	if err != nil {
		return nil, fmt.Errorf("regex %s: %w", v.Regex, err)
	}
	var out []string
	for _, value := range values {
		if m := re.FindStringSubmatch(value); m != nil {
			out = append(out, m[len(m)-1])
		}
	}
	return slices.Compact(out), nil
}

// opens is what a variable stands at when its dashboard is opened.
func (v Variable) opens(values []string) string {
	switch saved := v.Current.Value; {
	case v.IncludeAll && (len(saved) == 0 || slices.Contains(saved, "$__all")):
		if v.AllValue != "" {
			return v.AllValue
		}
		return v.text(values)
	case len(saved) > 0 && !slices.ContainsFunc(saved, func(s string) bool { return !slices.Contains(values, s) }):
		return v.text(saved)
	}
	return v.text(values[:1])
}

// text is how Grafana's Prometheus data source writes chosen values.
func (v Variable) text(values []string) string {
	if !v.Multi && !v.IncludeAll {
		return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(values[0])
	}
	escaped := make([]string, len(values))
	for i, value := range values {
		escaped[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(regexp.QuoteMeta(value))
	}
	if len(escaped) == 1 {
		return escaped[0]
	}
	return "(" + strings.Join(escaped, "|") + ")"
}

// fill writes values in place of variables.
func fill(text string, chosen Chosen) (string, error) {
	var unknown []string
	for _, m := range reference().FindAllStringSubmatch(text, -1) {
		if _, ok := chosen[m[1]+m[2]+m[4]]; !ok {
			unknown = append(unknown, m[0])
		} else if m[3] != "" && !slices.Contains([]string{"raw", "regex", "pipe"}, m[3]) {
			unknown = append(unknown, m[0])
		}
	}
	if len(unknown) > 0 {
		return "", fmt.Errorf("nothing to write for %s", strings.Join(unknown, " "))
	}
	return globals(text, chosen), nil
}
