package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
)

// Sender behaves like an Alertmanager: it posts the same body again until it
// is answered 2xx, and gives up on an answer that says the body is wrong.
type Sender struct {
	URL, Token string
	Client     *http.Client
	Rand       *rand.Rand // of the pouring goroutine
	// Lose is the share of webhooks whose 2xx is taken for lost: the same body
	// comes again.
	Lose float64
	// Severities are those of the problems, in turn; nil: all are critical.
	Severities []string
	// Told, if set, holds the end of a problem back until it is true of the
	// problem's name, or Patience is over: see Life.Until.
	Told     func(name string) bool
	Patience time.Duration

	accepted atomic.Int64
	mu       sync.Mutex
	all      []*problem
}

// problem is one group as the sender knows it.
type problem struct {
	name     string
	severity string
	fired    bool // the firing webhook was answered 2xx
	resolved bool // the resolved one too
	refused  string
}

// Life is how long a problem lasts, until each of its webhooks after the first.
type Life struct {
	Grows  time.Duration // until a second alert joins; 0: none does
	Lasts  time.Duration // from there until it resolves
	Repeat int           // how many of its webhooks are posted again after their 2xx
	// Until, if set, holds the resolve back until it is true. A page that is
	// over before PagerDuty could be told pages nobody, which is no loss.
	Until func() bool
}

// Accepted counts the webhooks that were answered 2xx.
func (s *Sender) Accepted() int64 { return s.accepted.Load() }

// Pour opens problems at half the rate until stop closes, resolves each a
// little later, and returns when every webhook was accepted or ctx has ended.
func (s *Sender) Pour(ctx context.Context, stop <-chan struct{}, rate float64) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for n := 0; ; n++ {
		// Independent arrivals: the gaps are exponential.
		gap := time.NewTimer(time.Duration(s.Rand.ExpFloat64() * 2 / rate * float64(time.Second)))
		select {
		case <-stop:
			gap.Stop()
			return
		case <-gap.C:
		}
		l := Life{Lasts: time.Duration((0.5 + 3*s.Rand.Float64()) * float64(time.Second))}
		if s.Rand.Float64() < s.Lose {
			l.Repeat = 2
		}
		p := s.problem(n)
		if s.Told != nil {
			patient := time.Now().Add(s.Patience)
			l.Until = func() bool { return s.Told(p.name) || time.Now().After(patient) }
		}
		wg.Go(func() { s.live(ctx, p, l) })
	}
}

// Live posts the webhooks of problem n, one after the other.
func (s *Sender) Live(ctx context.Context, n int, l Life) { s.live(ctx, s.problem(n), l) }

// Once posts, and posts once, the end of a problem that never was, which pages
// nobody. It returns the status, 0 where there was no answer.
func (s *Sender) Once(ctx context.Context, n int) int {
	now := time.Now()
	status, err := s.try(ctx, (&problem{name: Name(n), severity: "critical"}).body(now.Add(-time.Minute), now, 1))
	if err != nil {
		return 0
	}
	return status
}

// Name is how problem n is called: the value of its label service.
func Name(n int) string { return fmt.Sprintf("svc-%06d", n) }

func (s *Sender) problem(n int) *problem {
	p := &problem{name: Name(n), severity: "critical"}
	if len(s.Severities) > 0 {
		p.severity = s.Severities[n%len(s.Severities)]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, p)
	return p
}

func (s *Sender) live(ctx context.Context, p *problem, l Life) {
	began := time.Now()
	post := func(alerts int, ended time.Time) bool {
		b := p.body(began, ended, alerts)
		again := l.Repeat > 0
		l.Repeat--
		return s.post(ctx, p, b) && (!again || s.post(ctx, p, b))
	}
	if !post(1, time.Time{}) {
		return
	}
	s.note(func() { p.fired = true })
	alerts := 1
	if l.Grows > 0 {
		if !wait(ctx, l.Grows) || !post(2, time.Time{}) {
			return
		}
		alerts = 2
	}
	for l.Until != nil && !l.Until() {
		if !wait(ctx, 20*time.Millisecond) {
			return
		}
	}
	if wait(ctx, l.Lasts) && post(alerts, time.Now()) {
		s.note(func() { p.resolved = true })
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (s *Sender) note(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// problems returns a copy of what is known by now.
func (s *Sender) problems() []problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]problem, len(s.all))
	for i, p := range s.all {
		out[i] = *p
	}
	return out
}

// Judge asks the ledgers what became of all that was accepted by now.
func (s *Sender) Judge(slack fakeslack.Ledger, pd fakepagerduty.Ledger) Verdict {
	return judge(s.problems(), slack, pd)
}

// post sends a body until it is accepted.
func (s *Sender) post(ctx context.Context, p *problem, body []byte) bool {
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	for {
		status, err := s.try(ctx, body)
		switch {
		case err == nil && status/100 == 2:
			s.accepted.Add(1)
			return true
		case err == nil && status/100 == 4:
			s.note(func() { p.refused = http.StatusText(status) })
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-retry.C:
		}
	}
}

func (s *Sender) try(ctx context.Context, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	return res.StatusCode, err
}

// body is the webhook of a group of so many alerts, version 4.
func (p *problem) body(began, ended time.Time, alerts int) []byte {
	service, status := p.name, "firing"
	if !ended.IsZero() {
		status = "resolved"
	}
	group := map[string]string{"alertname": "CrashTest", "cluster": "lab", "service": service}
	notes := map[string]string{"summary": service + " is part of a crash test"}
	var list []map[string]any
	for i := range alerts {
		list = append(list, map[string]any{
			"status": status, "annotations": notes, "startsAt": began, "endsAt": ended,
			"labels": map[string]string{
				"alertname": "CrashTest", "cluster": "lab", "service": service, "severity": p.severity, "instance": fmt.Sprint(i),
			},
			"generatorURL": "http://prometheus.example.org/graph?g0.tab=1&g0.expr=" + url.QueryEscape(`crash_test{service="`+service+`"} > 0`),
			"fingerprint":  fmt.Sprintf("%016x", began.UnixNano()+int64(i)),
		})
	}
	common := maps.Clone(group)
	common["severity"] = p.severity
	b, err := json.Marshal(map[string]any{
		"version": "4", "status": status, "receiver": "lab",
		"groupKey":    fmt.Sprintf(`{}:{alertname="CrashTest", cluster="lab", service=%q}`, service),
		"groupLabels": group, "commonLabels": common, "commonAnnotations": notes,
		"externalURL": "http://alertmanager.example.org", "truncatedAlerts": 0,
		"alerts": list,
	})
	if err != nil {
		panic(err) // strings and times always marshal
	}
	return b
}
