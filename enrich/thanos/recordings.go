package thanos

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Bounds of what the rules API is asked.
const (
	rulesFor    = time.Minute             // a list of recording rules serves so long
	rulesFailed = 5 * time.Second         // and a refusal so long
	rulesQuiet  = time.Minute             // and so long where no rule may be wanted at all
	rulesWithin = 1500 * time.Millisecond // a page waits no longer for it
)

// recordings is the server's recording rules, as far as they are known.
type recordings struct {
	web *prometheus.Client
	now func() time.Time

	asking sync.Mutex // held while the server is asked: the others want the same

	mu     sync.Mutex
	known  map[string][]expr.Recording
	until  time.Time
	failed time.Time
}

// resolve replaces recorded series in an alert's expression by what records
// them. Where the rules are not to be had, the recorded series are asked for.
func (r *recordings) resolve(ctx context.Context, text string) string {
	if r.web == nil {
		return text
	}
	// A colon is the mark of a recorded series. Any other name may be one too: that
	// is worth a wait while no list is known at all, and later an old one will do.
	known := r.list(ctx, slices.ContainsFunc(expr.Metrics(text), marked))
	return expr.Resolve(text, func(name string) []expr.Recording { return known[name] })
}

func marked(name string) bool { return strings.Contains(name, ":") }

// about reports whether an expression reads a series that is recorded, as far
// as is known.
func (r *recordings) about(text string) bool {
	known, _ := r.have()
	return slices.ContainsFunc(expr.Metrics(text), func(name string) bool { return marked(name) || known[name] != nil })
}

// have returns the list as it is known, and whether it is young.
func (r *recordings) have() (map[string][]expr.Recording, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known, r.now().Before(r.until)
}

// list asks for the rules once a minute. An old list is better than none, and
// enough for who is not sure to want one.
func (r *recordings) list(ctx context.Context, sure bool) map[string][]expr.Recording {
	known, young := r.have()
	switch {
	case young:
		return known
	case sure:
	case known != nil:
		if r.asking.TryLock() {
			go func() {
				defer r.asking.Unlock()
				r.fetch(context.WithoutCancel(ctx))
			}()
		}
		return known
	case r.quiet():
		return nil
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	if known, young = r.have(); !young {
		r.fetch(ctx)
		known, _ = r.have()
	}
	return known
}

func (r *recordings) quiet() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.failed.IsZero() && r.now().Before(r.failed.Add(rulesQuiet))
}

func (r *recordings) fetch(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, rulesWithin)
	defer stop()
	rules, err := r.web.Recordings(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.until, r.failed = r.now().Add(rulesFailed), r.now()
		return
	}
	r.until = r.now().Add(rulesFor)
	r.known = map[string][]expr.Recording{} // who reads the old one goes on
	for _, rule := range rules {
		same := func(have expr.Recording) bool { return have.Expr == rule.Expr }
		if len(rule.Labels) == 0 && slices.ContainsFunc(r.known[rule.Name], same) {
			continue // one rule, evaluated by each replica
		}
		r.known[rule.Name] = append(r.known[rule.Name], expr.Recording{
			Expr: rule.Expr, Labels: rule.Labels, Interval: time.Duration(rule.Interval * float64(time.Second)),
		})
	}
}

// Resolve implements enrich.Resolver.
func (s *Source) Resolve(ctx context.Context, text string) string { return s.rules.resolve(ctx, text) }
