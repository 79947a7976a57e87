package thanos

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Bounds of what the rules API is asked.
const (
	rulesFor    = time.Minute             // a list of recording rules serves so long
	rulesFailed = 5 * time.Second         // and a refusal so long
	rulesWithin = 1500 * time.Millisecond // a page waits no longer for it
)

// recordings is the server's recording rules, as far as they are known.
type recordings struct {
	web *prometheus.Client
	now func() time.Time

	mu    sync.Mutex // held while the server is asked: the others want the same
	known map[string][]expr.Recording
	until time.Time
}

// resolve replaces recorded series in an alert's expression by what records
// them. Where the rules are not to be had, the recorded series are asked for.
func (r *recordings) resolve(ctx context.Context, text string) string {
	if r.web == nil || len(expr.Recorded(text)) == 0 {
		return text
	}
	known := r.list(ctx)
	return expr.Resolve(text, func(name string) []expr.Recording { return known[name] })
}

// list asks for the rules once a minute. An old list is better than none.
func (r *recordings) list(ctx context.Context) map[string][]expr.Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Before(r.until) {
		return r.known
	}
	ctx, stop := context.WithTimeout(ctx, rulesWithin)
	defer stop()
	rules, err := r.web.Recordings(ctx)
	if err != nil {
		r.until = r.now().Add(rulesFailed)
		return r.known
	}
	r.until = r.now().Add(rulesFor)
	r.known = map[string][]expr.Recording{}
	for _, rule := range rules {
		same := func(have expr.Recording) bool { return have.Expr == rule.Expr }
		if len(rule.Labels) == 0 && slices.ContainsFunc(r.known[rule.Name], same) {
			continue // one rule, evaluated by each replica
		}
		r.known[rule.Name] = append(r.known[rule.Name], expr.Recording{
			Expr: rule.Expr, Labels: rule.Labels, Interval: time.Duration(rule.Interval * float64(time.Second)),
		})
	}
	return r.known
}
