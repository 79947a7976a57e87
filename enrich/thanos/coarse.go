package thanos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/expr"
)

// Bounds of what is asked where members are too many to be read.
const (
	sizeFor    = 10 * time.Minute // the size of a population serves so long
	maxSizes   = 1000             // populations whose size is kept
	maxLabels  = 24               // labels whose values are counted
	topValues  = 50               // of a label with too many values the worst are asked about
	overCounts = 1.5              // a population is counted by its raw series: so many times as many members are let in
)

// errWide ends a question whose answer would be too large.
var errWide = errors.New("too many members")

// sizes remembers how many series are behind the members of each rule.
type sizes struct {
	mu    sync.Mutex
	known map[string]sized
}

type sized struct {
	series float64
	at     time.Time
}

func (s *sizes) get(query string, now time.Time) (float64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.known[query]
	return one.series, ok && now.Sub(one.at) < sizeFor
}

func (s *sizes) set(query string, series float64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxSizes {
		clear(s.known)
	}
	s.known[query] = sized{series, now}
}

// fine asks for single members, unless they are known to be too many. While
// their number is not known it is asked for beside them, and ends a question
// that is too large before its answer is.
func (c *inquiry) fine(ctx context.Context) ([]member, error) {
	if c.alert.Shape == expr.Absence { // only what one member was can be compared with what it is
		return c.members(ctx)
	}
	text, limit := c.alert.Size(c.who), overCounts*float64(c.source.cfg.MaxSeries)
	n, known := c.source.sizes.get(text, c.source.now())
	switch {
	case known && n > limit:
		return nil, errWide
	case known:
		return c.members(ctx)
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var probe sync.WaitGroup
	probe.Go(func() {
		a, cost, err := c.evaluate(ctx, text, c.at)
		if err != nil || len(a.rows) != 1 || len(a.rows[0].labels) > 0 || !(a.rows[0].all > limit) {
			return // not to be had, or small: the limits hold all the same
		}
		c.source.sizes.set(text, a.rows[0].all, c.source.now())
		c.note(cost, a)
		giveUp(errWide)
	})
	rows, err := c.members(ctx)
	giveUp(nil) // nobody waits for a count that is not needed any more; the first word stands
	probe.Wait()
	switch {
	case errors.Is(context.Cause(ctx), errWide):
		return nil, errWide
	case err == nil && !c.cut:
		c.source.sizes.set(text, float64(len(rows)), c.source.now())
	}
	return rows, err
}

// coarse asks by few labels instead of for single members: those that play a
// role first, as many as keep the answer small. Of one role that has too many
// values, the worst of them are told apart.
func (c *inquiry) coarse(ctx context.Context) ([]member, error) {
	c.cut = false
	labels, wide, err := c.labels(ctx)
	if err != nil {
		return nil, err
	}
	c.who.By = labels
	var top []string
	var errTop error
	var both sync.WaitGroup
	if wide != "" {
		both.Go(func() { top, errTop = c.worst(ctx, wide) })
	}
	rows, err := c.members(ctx)
	both.Wait()
	c.notes = append(c.notes, fmt.Sprintf("too many members to read one by one: asked by %s only", strings.Join(labels, ", ")))
	if err != nil || errTop != nil || len(top) == 0 || c.cut {
		return rows, err
	}
	top = top[:min(len(top), max(1, c.source.cfg.MaxSeries/max(1, len(rows))))]
	slices.Sort(top)
	ask, who := c.ask, c.who
	c.who.By, c.who.Only = append(slices.Clone(labels), wide), expr.Only{Label: wide, Values: top}
	apart, err := c.members(ctx)
	c.ask, c.who = ask, who
	if err != nil || c.cut {
		c.cut = false
		return rows, nil //nolint:nilerr // the coarse answer stands
	}
	c.notes = append(c.notes, fmt.Sprintf("%s has too many values: the %d worst were asked about", wide, len(top)))
	c.patched = true
	return c.told(rows, apart, wide), nil
}

// told takes the members that were told apart by one more label out of those
// that hold them.
func (c *inquiry) told(rows, apart []member, label string) []member {
	at := make(map[string]int, len(rows))
	for i, m := range rows {
		at[key(m.labels)] = i
	}
	for _, m := range apart {
		i, ok := at[key(without(slices.Clone(m.labels), []string{label}))]
		if !ok {
			continue
		}
		rows[i].bad, rows[i].all = rows[i].bad-m.bad, rows[i].all-m.all
		rows[i].value = rows[i].bad / rows[i].all
	}
	rows = slices.DeleteFunc(rows, func(m member) bool { return m.all <= 0 })
	return append(rows, apart...)
}

// labels chooses the labels to ask by, and one role among those left out.
func (c *inquiry) labels(ctx context.Context) (chosen []string, wide string, err error) {
	candidates := c.candidates()
	sets := make([][]string, len(candidates))
	for i, name := range candidates {
		sets[i] = []string{name}
	}
	counts, err := c.counts(ctx, sets)
	if err != nil {
		return nil, "", err
	}
	order := slices.DeleteFunc(c.ranked(candidates, counts), func(i int) bool {
		return counts[i] <= 1 && !slices.Contains(c.alert.Grouping(), candidates[i]) // all alike: nothing to tell apart
	})
	limit := float64(c.source.cfg.MaxSeries)
	var prefixes [][]string
	for i := range order {
		var set []string
		for _, at := range order[:i+1] {
			set = append(set, candidates[at])
		}
		prefixes = append(prefixes, set)
	}
	if len(prefixes) == 0 {
		return nil, "", errors.New("members have no label to be told apart by")
	}
	together, err := c.counts(ctx, prefixes)
	if err != nil {
		return nil, "", err
	}
	for i := range prefixes {
		if together[i] > limit {
			break
		}
		chosen = prefixes[i]
	}
	for _, at := range order[len(chosen):] {
		if c.source.roles.Of(candidates[at]) != "" {
			wide = candidates[at]
			break
		}
	}
	if len(chosen) == 0 {
		return nil, "", fmt.Errorf("%w, whatever they are asked by", errWide)
	}
	return chosen, wide, nil
}

// candidates are the labels that may tell members apart: those of the rule,
// those with a role, and those that were seen before the answer was too large.
func (c *inquiry) candidates() []string {
	out := slices.Clone(c.alert.Grouping())
	add := func(name string) {
		hidden := slices.Concat(c.source.cfg.ReplicaLabels, c.source.cfg.DenyLabels, []string{"le", "__name__"})
		if len(out) < maxLabels && !slices.Contains(out, name) && !slices.Contains(hidden, name) {
			out = append(out, name)
		}
	}
	for _, role := range sortedKeys(c.source.roles) {
		for _, name := range c.source.roles[role] {
			add(name)
		}
	}
	for _, name := range sortedKeys(c.who.Group) {
		if name != "alertname" && name != "severity" {
			add(name)
		}
	}
	for _, name := range c.seen {
		add(name)
	}
	return out
}

// ranked orders labels: the rule's own, then those with a role, then the
// others; of each kind the ones with fewer values first.
func (c *inquiry) ranked(names []string, counts []float64) []int {
	order := make([]int, len(names))
	kind := make([]int, len(names))
	for i, name := range names {
		order[i] = i
		switch {
		case slices.Contains(c.alert.Grouping(), name):
			kind[i] = 0
		case c.source.roles.Of(name) != "":
			kind[i] = 1
		default:
			kind[i] = 2
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(kind[a], kind[b]), cmp.Compare(counts[a], counts[b])) })
	return order
}

// counts asks how many values each set of labels has together.
func (c *inquiry) counts(ctx context.Context, sets [][]string) ([]float64, error) {
	a, err := c.query(ctx, c.alert.Sizes(c.who, sets))
	out := make([]float64, len(sets))
	for _, m := range a.rows {
		if i, err := strconv.Atoi(value(m.labels, expr.PartLabel)); err == nil && i >= 0 && i < len(out) {
			out[i] = m.all
		}
	}
	return out, err
}

// worst asks for the values of a label with the most badness, the worst first.
func (c *inquiry) worst(ctx context.Context, label string) ([]string, error) {
	who := c.who
	who.By = nil
	a, err := c.query(ctx, c.alert.Top(who, label, topValues))
	slices.SortFunc(a.rows, func(a, b member) int { return cmp.Compare(b.all, a.all) })
	var out []string
	for _, m := range a.rows {
		if v := value(m.labels, label); v != "" && m.all > 0 {
			out = append(out, v)
		}
	}
	return out, err
}

// names are the labels of some rows, sorted.
func names(rows []member) []string {
	seen := map[string]bool{}
	for _, m := range rows {
		for _, l := range m.labels {
			seen[l.Name] = true
		}
	}
	return sortedKeys(seen)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
