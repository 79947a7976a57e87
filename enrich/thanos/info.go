package thanos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/page"
)

// Info is metrics whose labels say more about a target: its version, its node.
type Info struct {
	Metrics []string `yaml:"metrics" doc:"names of the metrics, each a regular expression over the whole name"`
	On      []string `yaml:"on" doc:"labels that such a series shares with the members it is about"`
}

// Bounds of what info metrics are asked.
const (
	infoFor    = 10 * time.Minute        // a plan serves so long
	infoWithin = time.Second             // a page waits no longer for it
	infoSpare  = 1500 * time.Millisecond // and not when its deadline is nearer than that
	maxPlans   = 1000                    // plans that are kept
	maxNarrow  = 50                      // values of one label that narrow a question
)

func defaultInfo() []Info {
	return []Info{
		{Metrics: []string{"kube_pod_info", "kube_pod_labels"}, On: []string{"namespace", "pod"}},
		{Metrics: []string{"target_info", "[a-z0-9_]+_build_info"}, On: []string{"job", "instance"}},
	}
}

func validInfo(list []Info) error {
	for i, in := range list {
		field := fmt.Sprintf("info[%d]", i)
		if len(in.Metrics) == 0 || len(in.On) == 0 {
			return config.Bad(field, "needs both metrics and on")
		}
		for _, name := range in.Metrics {
			if _, err := regexp.Compile(name); err != nil {
				return config.Bad(field+".metrics", "%q is no regular expression", name)
			}
		}
	}
	return nil
}

// plans remembers which info metrics say more about the members of a rule.
type plans struct {
	mu    sync.Mutex
	known map[string]plan
}

// plan is which of the configured info metrics are worth asking.
type plan struct {
	ask []int
	at  time.Time
}

func (p *plans) get(rule string, now time.Time) ([]int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.known[rule]
	return one.ask, ok && now.Sub(one.at) < infoFor
}

func (p *plans) set(rule string, ask []int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxPlans {
		clear(p.known)
	}
	p.known[rule] = plan{ask, now}
}

// gained is one label that members have by an info metric.
type gained struct {
	expr.Joined
	values []string // of each row, "" for none
}

// gain looks for labels that play a role and that the members lack, in the time
// that a page has for it. It is planned once for a rule: what says nothing is not
// asked again.
func (c *inquiry) gain(ctx context.Context, rows []member, deadline time.Time) {
	ask, planned := c.informants(rows)
	if len(ask) == 0 {
		return
	}
	if !deadline.IsZero() && deadline.Sub(c.source.now()) < infoSpare {
		c.short = true
		return
	}
	ctx, stop := context.WithTimeout(ctx, infoWithin)
	defer stop()
	c.inform(ctx, rows, ask, planned)
}

// informants are the configured info metrics that may say more about the
// members, and whether that was planned already.
func (c *inquiry) informants(rows []member) (ask []int, planned bool) {
	if len(rows) < 2 {
		return nil, true
	}
	if ask, planned = c.source.plans.get(c.rule, c.source.now()); planned {
		return ask, true
	}
	for i := range c.source.cfg.Info {
		ask = append(ask, i)
	}
	return ask, false
}

// inform asks info metrics. The labels of those that fail, or answer in part, are lacking.
func (c *inquiry) inform(ctx context.Context, rows []member, ask []int, planned bool) {
	answers, errs := make([][]gained, len(ask)), make([]error, len(ask))
	var all sync.WaitGroup
	for n, i := range ask {
		all.Go(func() { answers[n], errs[n] = c.informed(ctx, rows, c.source.cfg.Info[i]) })
	}
	all.Wait()
	var useful []int
	for n, i := range ask {
		c.short = c.short || errs[n] != nil
		if len(answers[n]) > 0 {
			useful = append(useful, i)
		}
		for _, g := range answers[n] {
			if !slices.ContainsFunc(c.gains, func(have gained) bool { return have.Label == g.Label }) {
				c.gains = append(c.gains, g)
			}
		}
	}
	if !planned && !c.short {
		c.source.plans.set(c.rule, useful, c.source.now())
	}
}

// completed asks once more for the labels that were lacking, as long as ctx
// allows, and returns the same table with them.
func (c *inquiry) completed(ctx context.Context) *enrich.Table {
	again := &inquiry{
		source: c.source, rule: c.rule, alert: c.alert, who: c.who, ask: c.ask, at: c.at, partial: c.partial, cut: c.cut, seen: c.seen,
		between: c.between, lastSeen: c.lastSeen, patched: c.patched, notes: c.notes,
	}
	ask, planned := again.informants(c.rows)
	again.inform(ctx, c.rows, ask, planned)
	return again.table(c.rows)
}

// series of info metrics by the labels that they share with members.
type infoSeries struct {
	values map[string]string // by key; "" where two series contradict each other
	spread map[string]bool   // the values there are
}

// errShort says that an answer does not hold all series there are.
var errShort = errors.New("answer is not whole")

// informed asks one set of info metrics.
func (c *inquiry) informed(ctx context.Context, rows []member, in Info) ([]gained, error) {
	keys, narrow := shared(rows, in.On)
	if keys == nil {
		return nil, nil
	}
	a, asked, err := c.evaluate(ctx, expr.Info(in.Metrics, narrow), c.at)
	c.mu.Lock()
	c.queries = append(c.queries, asked)
	c.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case a.cut:
		return nil, errShort
	case a.partial:
		err = errShort // what is there is taken
	}
	present := names(rows)
	found := map[[2]string]*infoSeries{} // by metric and label
	for _, m := range a.rows {
		metric, k := value(m.labels, "__name__"), on(m, in.On)
		for _, l := range m.labels {
			if c.source.roles.Of(l.Name) == "" || slices.Contains(present, l.Name) || slices.Contains(in.On, l.Name) {
				continue
			}
			s := found[[2]string{metric, l.Name}]
			if s == nil {
				s = &infoSeries{map[string]string{}, map[string]bool{}}
				found[[2]string{metric, l.Name}] = s
			}
			if have, ok := s.values[k]; ok && have != l.Value {
				s.values[k] = ""
				continue
			}
			s.values[k], s.spread[l.Value] = l.Value, true
		}
	}
	return best(found, keys, in.On), err
}

// best takes each label from the metric that knows it of the most members, of
// those that tell members apart.
func best(found map[[2]string]*infoSeries, keys, labels []string) []gained {
	var out []gained
	most := map[string]int{}
	for _, at := range slices.SortedFunc(maps.Keys(found), func(a, b [2]string) int { return strings.Compare(a[1]+"\n"+a[0], b[1]+"\n"+b[0]) }) {
		s, n := found[at], 0
		g := gained{expr.Joined{Metric: at[0], Label: at[1], On: labels}, make([]string, len(keys))}
		for i, k := range keys {
			if v := s.values[k]; v != "" {
				g.values[i] = v
				n++
			}
		}
		if len(s.spread) > 1 {
			n += len(keys)
		}
		switch had := most[at[1]]; {
		case n <= had:
		case had > 0:
			out[slices.IndexFunc(out, func(o gained) bool { return o.Label == at[1] })] = g
			most[at[1]] = n
		default:
			out = append(out, g)
			most[at[1]] = n
		}
	}
	return out
}

// shared returns each row's key by some labels and the values of those labels
// that are few; nil where most rows lack one of them.
func shared(rows []member, labels []string) (keys []string, narrow []expr.Only) {
	for _, name := range labels {
		var values []string
		n := 0
		for _, m := range rows {
			if v := value(m.labels, name); v != "" {
				n++
				values = append(values, v)
			}
		}
		if n < (len(rows)+1)/2 {
			return nil, nil
		}
		slices.Sort(values)
		if values = slices.Compact(values); len(values) <= maxNarrow {
			narrow = append(narrow, expr.Only{Label: name, Values: values})
		}
	}
	keys = make([]string, len(rows))
	for i, m := range rows {
		keys[i] = on(m, labels)
	}
	return keys, narrow
}

// on writes what a member has of some labels.
func on(m member, names []string) string {
	own := make([]page.Label, len(names))
	for i, name := range names {
		own[i] = page.Label{Name: name, Value: value(m.labels, name)}
	}
	return key(own)
}

// columnsGained adds what info metrics said.
func (c *inquiry) columnsGained(t *enrich.Table) {
	for _, g := range c.gains {
		col := enrich.Column{Name: g.Label, Role: c.source.roles.Of(g.Label), Dict: []string{""}, Codes: make([]uint32, t.Rows())}
		codes := map[string]uint32{"": 0}
		for i, v := range g.values {
			code, ok := codes[v]
			if !ok {
				code = uint32(len(col.Dict))
				codes[v] = code
				col.Dict = append(col.Dict, v)
			}
			col.Codes[i] = code
		}
		t.Cols = append(t.Cols, col)
	}
}
