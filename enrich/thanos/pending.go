package thanos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/prometheus"
)

var _ enrich.Pender = (*Source)(nil)

// Bounds of what pending alerts are looked up by.
const (
	ruleFor     = time.Minute      // a rule serves so long
	externalFor = 10 * time.Minute // and external labels, or that there are none
	maxLookups  = 20               // rules that one look asks for
	maxKnown    = 1000             // rules that are kept
)

// held is what is known of the rules that hold alerts back.
type held struct {
	mu       sync.Mutex
	rules    map[string]heldRule // by alertname
	external page.Labels
	until    time.Time // external is asked for again then
}

type heldRule struct {
	rules []prometheus.Rule
	until time.Time
}

// Pending lists the alerts that will fire within a while.
func (s *Source) Pending(ctx context.Context, within time.Duration) ([]page.Alert, error) {
	if s.web == nil {
		return nil, fmt.Errorf("list alerts: %w is known: http is not configured", enrich.ErrNoRule)
	}
	alerts, err := s.web.Alerts(ctx)
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Status == http.StatusNotFound {
		return nil, fmt.Errorf("list alerts: %w: the server has none", enrich.ErrNoRule)
	}
	if err != nil {
		return nil, err
	}
	var out []page.Alert
	lookups := 0
	now := s.now()
	for _, a := range alerts {
		if a.State != "pending" {
			continue
		}
		rules, ok := s.held.known(a.Labels["alertname"], now)
		if !ok {
			if lookups++; lookups > maxLookups {
				continue // the next look finds it
			}
			if rules, err = s.web.Rules(ctx, a.Labels["alertname"]); err != nil {
				return out, err
			}
			s.held.learn(a.Labels["alertname"], rules, now)
		}
		rule, ok := ruleOf(rules, a.Labels)
		if !ok || a.ActiveAt.Add(time.Duration(rule.For*float64(time.Second))).Sub(now) > within {
			continue
		}
		labels := s.sent(ctx, rule.Labels, a.Labels, now)
		out = append(out, page.Alert{
			ID: labels.ID(), Status: page.Firing, Labels: labels, StartsAt: a.ActiveAt,
			GeneratorURL: "/graph?g0.expr=" + url.QueryEscape(rule.Expr),
		})
	}
	return out, nil
}

// ruleOf is the rule of an alert among those of its name, with the labels that all
// that fit agree on; false where they have several expressions.
func ruleOf(rules []prometheus.Rule, labels page.Labels) (prometheus.Rule, bool) {
	var out prometheus.Rule
	for _, r := range rules {
		switch _, fits := fitting(r.Labels, labels); {
		case !fits:
		case out.Expr == "":
			out = r
			out.Labels = r.Labels.Clone()
		case r.Expr != out.Expr:
			return out, false
		default:
			maps.DeleteFunc(out.Labels, func(name, v string) bool { return r.Labels[name] != v })
		}
	}
	return out, out.Expr != ""
}

// sent are the labels of an alert as Alertmanager will see them: with the
// server's external ones, which Thanos puts on rules but not on their alerts, and
// without those that tell replicas apart.
func (s *Source) sent(ctx context.Context, rule, labels page.Labels, now time.Time) page.Labels {
	out := s.externals(ctx, now).Clone()
	if out == nil {
		out = page.Labels{}
	}
	for name, v := range rule {
		if !strings.Contains(v, "{{") {
			out[name] = v
		}
	}
	maps.Copy(out, labels)
	for _, name := range s.cfg.ReplicaLabels {
		delete(out, name)
	}
	return out
}

func (s *Source) externals(ctx context.Context, now time.Time) page.Labels {
	s.held.mu.Lock()
	known, until := s.held.external, s.held.until
	s.held.mu.Unlock()
	if now.Before(until) {
		return known
	}
	fresh, err := s.web.ExternalLabels(ctx)
	if err == nil {
		known = fresh
	}
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	s.held.external, s.held.until = known, now.Add(externalFor)
	return known
}

func (h *held) known(name string, now time.Time) ([]prometheus.Rule, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rules[name]
	return r.rules, ok && now.Before(r.until)
}

func (h *held) learn(name string, rules []prometheus.Rule, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rules) >= maxKnown || h.rules == nil {
		h.rules = map[string]heldRule{}
	}
	h.rules[name] = heldRule{rules, now.Add(ruleFor)}
}
