package fakepagerduty

import (
	"bytes"
	"context"
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Webhook delivery as PagerDuty documents it (developer docs, docs/webhooks).
const (
	hookTimeout = 5 * time.Second
	hookRetries = 48 * time.Hour // how long a webhook that is not answered is tried again
	hookFirst   = 10 * time.Second
	hookLongest = time.Hour
	strikesOut  = 3 // dropped in a row
	hookPause   = 24 * time.Hour
	maxHook     = 256 << 10 // larger ones are never sent
	keptHooks   = 10_000
)

// Subscription is where webhooks go.
type Subscription struct {
	URL       string
	Secrets   []string // each signs: two while one is rotated; one is made if nil
	Events    []string // event types; nil: all
	Duplicate float64  // probability that a webhook which was answered 2xx is sent once more
	Unordered bool     // webhooks of one incident may overtake each other
}

type subscription struct {
	Subscription
	id       string
	queue    []*hook
	sent     []*hook
	strikes  int
	attempts int
	good     int
	dropped  int
	disables int
	until    time.Time
	last     string
}

// hook is one webhook under way.
type hook struct {
	id       string // X-Webhook-Id
	incident string
	body     []byte
	born     time.Time
	due      time.Time
	attempt  int
	again    bool // a duplicate, which has none itself
}

// Subscribe adds a subscription and returns its id.
func (f *Fake) Subscribe(s Subscription) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addHook(s).id
}

func (f *Fake) addHook(s Subscription) *subscription {
	if s.Secrets == nil {
		s.Secrets = []string{crand.Text()}
	}
	sub := &subscription{Subscription: s, id: fmt.Sprintf("PSUB%03d", len(f.hooks)+1)}
	f.hooks = append(f.hooks, sub)
	return sub
}

func (f *Fake) subscribe(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Subscription struct {
			Method struct {
				Type string `json:"type"`
				URL  string `json:"url"`
			} `json:"delivery_method"`
			Events []string `json:"events"`
		} `json:"webhook_subscription"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body)
	in := body.Subscription
	if err != nil || !strings.HasPrefix(in.Method.URL, "http") || len(in.Events) == 0 {
		restError(w, http.StatusBadRequest, 2001, "Invalid Input Provided")
		return
	}
	s := f.addHook(Subscription{URL: in.Method.URL, Events: in.Events})
	answer(w, http.StatusCreated, map[string]any{"webhook_subscription": map[string]any{
		"id": s.id, "type": "webhook_subscription", "active": true, "events": s.Events,
		"delivery_method": map[string]any{"type": "http_delivery_method", "url": s.URL, "secret": s.Secrets[0]},
	}})
}

func (f *Fake) enable(w http.ResponseWriter, r *http.Request) {
	for _, s := range f.hooks {
		if s.id == r.PathValue("id") {
			s.until, s.strikes = time.Time{}, 0
			answer(w, http.StatusOK, map[string]any{"webhook_subscription": map[string]any{"id": s.id, "active": true}})
			return
		}
	}
	restError(w, http.StatusNotFound, 2100, "Not Found")
}

// emit queues an event for whoever subscribed to it.
func (f *Fake) emit(kind string, by actor, in *Incident, data any) {
	f.emitted++
	ref := in.form("fake.pagerduty.example")
	if note, ok := data.(map[string]any); ok {
		note["incident"] = map[string]any{"id": in.ID, "type": "incident_reference", "summary": in.Title, "html_url": ref["html_url"]}
	} else {
		data = ref
	}
	var agent any
	if by.Kind != "" {
		agent = map[string]any{"id": UserID(by.Name), "type": by.Kind, "summary": by.Name}
	}
	body, _ := json.Marshal(map[string]any{"event": map[string]any{ // strings and maps of them always encode
		"id": fmt.Sprintf("01EVENT%019d", f.emitted), "event_type": kind, "resource_type": "incident",
		"occurred_at": by.At.UTC().Format("2006-01-02T15:04:05.000Z"), "agent": agent, "client": nil, "data": data,
	}})
	for _, s := range f.hooks {
		if s.Events != nil && !slices.Contains(s.Events, kind) {
			continue
		}
		if s.until.After(f.opts.Now()) || len(body) > maxHook {
			s.dropped++
			continue
		}
		s.queue = append(s.queue, &hook{
			id: fmt.Sprintf("%s-%08d", s.id, f.emitted), incident: in.ID, body: body, born: f.opts.Now(), due: f.opts.Now(),
		})
	}
}

// UserID is the ID of the person of this name.
func UserID(name string) string { return fmt.Sprintf("P%X", sha256.Sum256([]byte(name)))[:7] }

// Run sends webhooks as they fall due, until ctx ends.
func (f *Fake) Run(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		f.Deliver(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Deliver sends every webhook that is due by now and returns how many attempts
// it made.
func (f *Fake) Deliver(ctx context.Context) int {
	f.sending.Lock()
	defer f.sending.Unlock()
	attempts := 0
	for ctx.Err() == nil {
		s, h := f.next()
		if h == nil {
			break
		}
		attempts++
		status, err := s.post(ctx, h)
		f.settle(s, h, status, err)
	}
	return attempts
}

// Replay sends everything once more that was answered 2xx, as a retry would
// whose first answer was lost.
func (f *Fake) Replay(ctx context.Context) int {
	f.mu.Lock()
	for _, s := range f.hooks {
		for _, h := range s.sent {
			s.queue = append(s.queue, &hook{id: h.id, incident: h.incident, body: h.body, born: h.born, due: f.opts.Now(), again: true})
		}
	}
	f.mu.Unlock()
	return f.Deliver(ctx)
}

// next takes a webhook that is due: one of an incident waits for the one before.
func (f *Fake) next() (*subscription, *hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ingest()
	now := f.opts.Now()
	for _, s := range f.hooks {
		if s.until.After(now) {
			continue
		}
		var ready []*hook
		busy := map[string]bool{}
		for _, h := range s.queue {
			if (s.Unordered || !busy[h.incident]) && !h.due.After(now) {
				ready = append(ready, h)
			}
			busy[h.incident] = true
		}
		switch {
		case len(ready) > 0 && s.Unordered:
			return s, ready[f.rng.IntN(len(ready))]
		case len(ready) > 0:
			return s, ready[0]
		}
	}
	return nil, nil
}

func (s *subscription) post(ctx context.Context, h *hook) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(h.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Webhook-Id", h.id)
	req.Header.Set("X-PagerDuty-Signature", Sign(h.body, s.Secrets...))
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// Sign returns the X-PagerDuty-Signature of a body: one signature per secret.
func Sign(body []byte, secrets ...string) string {
	var out []string
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		out = append(out, "v1="+hex.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(out, ",")
}

// settle decides what becomes of a webhook: 2xx is done, 5xx, 429 and silence
// are tried again, everything else is dropped for good.
func (f *Fake) settle(s *subscription, h *hook, status int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.opts.Now()
	s.attempts++
	h.attempt++
	s.last = fmt.Sprint("status ", status)
	if err != nil {
		s.last = err.Error()
	}
	again := err != nil || status >= 500 || status == http.StatusTooManyRequests
	if again && now.Sub(h.born) < hookRetries {
		h.due = now.Add(min(hookFirst<<min(h.attempt-1, 20), hookLongest))
		return
	}
	s.queue = slices.DeleteFunc(s.queue, func(o *hook) bool { return o == h })
	if !again && status >= 200 && status < 300 {
		s.good++
		s.strikes = 0
		if !h.again {
			s.sent = append(s.sent, h)
			s.sent = s.sent[max(0, len(s.sent)-keptHooks):]
			if f.rng.Float64() < s.Duplicate {
				s.queue = append(s.queue, &hook{id: h.id, incident: h.incident, body: h.body, born: h.born, due: now, again: true})
			}
		}
		return
	}
	s.dropped++
	if s.strikes++; s.strikes >= strikesOut {
		s.dropped += len(s.queue)
		s.queue, s.strikes, s.until = nil, 0, now.Add(hookPause)
		s.disables++
	}
}

func (s *subscription) state() Webhook {
	return Webhook{
		ID: s.id, URL: s.URL, Waiting: len(s.queue), Attempts: s.attempts, Delivered: s.good,
		Dropped: s.dropped, Disables: s.disables, Until: s.until, Last: s.last,
	}
}
