package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// sender behaves like an Alertmanager: it posts the same body again until it
// is answered 2xx, and gives up on an answer that says the body is wrong.
type sender struct {
	url, token string
	client     *http.Client
	rng        *rand.Rand // of the pouring goroutine

	accepted atomic.Int64
	mu       sync.Mutex
	all      []*problem
}

// problem is one group as the sender knows it.
type problem struct {
	name     string
	fired    bool // the firing webhook was answered 2xx
	resolved bool // the resolved one too
	refused  string
}

// pour opens problems at half the rate until stop closes, resolves each a
// little later, and returns when every webhook was accepted or ctx has ended.
func (s *sender) pour(ctx context.Context, stop <-chan struct{}, rate float64) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for n := 0; ; n++ {
		// Independent arrivals: the gaps are exponential.
		gap := time.NewTimer(time.Duration(s.rng.ExpFloat64() * 2 / rate * float64(time.Second)))
		select {
		case <-stop:
			gap.Stop()
			return
		case <-gap.C:
		}
		p := &problem{name: fmt.Sprintf("svc-%06d", n)}
		s.mu.Lock()
		s.all = append(s.all, p)
		s.mu.Unlock()
		lasts := time.Duration((0.5 + 3*s.rng.Float64()) * float64(time.Second))
		wg.Go(func() { s.live(ctx, p, lasts) })
	}
}

// live posts a problem's two webhooks, one after the other.
func (s *sender) live(ctx context.Context, p *problem, lasts time.Duration) {
	began := time.Now()
	if !s.post(ctx, p, body(p.name, began, time.Time{})) {
		return
	}
	s.note(func() { p.fired = true })
	select {
	case <-ctx.Done():
		return
	case <-time.After(lasts):
	}
	if s.post(ctx, p, body(p.name, began, time.Now())) {
		s.note(func() { p.resolved = true })
	}
}

func (s *sender) note(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// problems returns a copy of what is known by now.
func (s *sender) problems() []problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]problem, len(s.all))
	for i, p := range s.all {
		out[i] = *p
	}
	return out
}

// post sends a body until it is accepted.
func (s *sender) post(ctx context.Context, p *problem, body []byte) bool {
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

func (s *sender) try(ctx context.Context, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	return res.StatusCode, err
}

// body is the webhook of a group of one alert, version 4.
func body(service string, began, ended time.Time) []byte {
	status := "firing"
	if !ended.IsZero() {
		status = "resolved"
	}
	labels := map[string]string{"alertname": "CrashTest", "cluster": "lab", "service": service, "severity": "critical"}
	b, err := json.Marshal(map[string]any{
		"version": "4", "status": status, "receiver": "lab",
		"groupKey":    fmt.Sprintf(`{}:{alertname="CrashTest", cluster="lab", service=%q}`, service),
		"groupLabels": map[string]string{"alertname": "CrashTest", "cluster": "lab", "service": service}, "commonLabels": labels,
		"commonAnnotations": map[string]string{"summary": service + " is part of a crash test"},
		"externalURL":       "http://alertmanager.example.org", "truncatedAlerts": 0,
		"alerts": []map[string]any{{
			"status": status, "labels": labels, "annotations": map[string]string{"summary": service + " is part of a crash test"},
			"startsAt": began, "endsAt": ended, "generatorURL": "", "fingerprint": fmt.Sprintf("%016x", began.UnixNano()),
		}},
	})
	if err != nil {
		panic(err) // strings and times always marshal
	}
	return b
}
