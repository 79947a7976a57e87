package pagerduty_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/page"
)

// hear subscribes the notifier's call-back to the fake.
func (s *stage) hear(d *desk, sub fakepagerduty.Subscription) {
	srv := httptest.NewServer(s.Notifier.(notify.Caller).Callback(d))
	s.t.Cleanup(srv.Close)
	sub.URL = srv.URL + "/callback/pagerduty/ops"
	if sub.Secrets == nil {
		sub.Secrets = []string{secret}
	}
	s.Subscribe(sub)
}

func (s *stage) human(do, who, text string) {
	s.t.Helper()
	require.NoError(s.t, s.Do(fakepagerduty.Human{Incident: delivery, Do: do, Who: who, Text: text}))
	s.pass(time.Second)
}

// post sends one webhook to the call-back and returns the answer's status.
func (s *stage) post(d notify.Desk, body string, signature ...string) int {
	s.t.Helper()
	req := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/callback/pagerduty/ops", strings.NewReader(body))
	for _, sig := range signature {
		req.Header.Add("X-PagerDuty-Signature", sig)
	}
	res := httptest.NewRecorder()
	s.Notifier.(notify.Caller).Callback(d).ServeHTTP(res, req)
	return res.Code
}

func (s *stage) sent(d notify.Desk, body string) int {
	s.t.Helper()
	return s.post(d, body, fakepagerduty.Sign([]byte(body), secret))
}

func TestWhatPeopleDoThereIsHeard(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{}), &desk{}
	s.hear(d, fakepagerduty.Subscription{})
	p := notifytest.Page()
	r := s.open(p)
	d.receipts = []page.Receipt{r}
	s.human("acknowledge", "Jane Doe", "")
	s.human("note", "Jane Doe", "looking\n\u202eat it")
	s.human("priority", "Bob", "P1")
	s.human("reassign", "Bob", "Ann")
	s.human("unacknowledge", "Bob", "")
	s.human("resolve", "Bob", "")
	s.human("reopen", "Bob", "")
	s.Deliver(t.Context())
	require.Equal(t, []string{
		"ack Jane Doe: ", "note Jane Doe: looking at it", "note Bob: priority P1 in PagerDuty",
		"note Bob: reassigned in PagerDuty to Ann", "unack Bob: ", "note Bob: resolved in PagerDuty by Bob",
		"note Bob: reopened in PagerDuty by Bob",
	}, d.acts())
	for _, e := range d.events {
		require.Equal(t, page.Acted, e.Kind)
		require.Equal(t, p.Problem, e.Problem)
		require.Equal(t, 1, e.Episode)
		require.Equal(t, target, e.Actor)
		require.Equal(t, target, e.Act.Via)
		require.True(t, strings.HasPrefix(e.ID, target+"/01EVENT"), e.ID)
	}
	require.Zero(t, s.Ledger().Webhooks[0].Dropped)
}

func TestWhatWeDidOurselvesIsNot(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{}), &desk{}
	s.hear(d, fakepagerduty.Subscription{})
	p := notifytest.Page()
	p.Ack = &page.Ack{By: "Jane", Via: "slack/payments"}
	r := s.open(p)
	d.receipts = []page.Receipt{r}
	r = s.mustFollow(p, r, update(1, page.UpdateAcked, "Jane took it"))
	s.resolve(p, r)
	require.Equal(t, []string{"resolved"}, s.statuses())
	require.Len(t, s.Ledger().Incidents[0].Notes, 1)
	require.Equal(t, 4, s.Deliver(t.Context()), "triggered, acknowledged, annotated, resolved")
	require.Empty(t, d.acts())
}

func TestATimeoutTakesItBack(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{AckTimeout: 30 * time.Minute, AutoResolve: 4 * time.Hour}), &desk{}
	s.hear(d, fakepagerduty.Subscription{})
	d.receipts = []page.Receipt{s.open(notifytest.Page())}
	s.human("acknowledge", "Jane", "")
	s.Deliver(t.Context())
	require.Equal(t, "Jane", d.taken())
	s.pass(30 * time.Minute)
	s.Deliver(t.Context())
	require.Empty(t, d.taken())
	s.pass(4 * time.Hour)
	s.Deliver(t.Context())
	require.Equal(t, []string{"ack Jane: ", "unack PagerDuty: ", "note PagerDuty: resolved by PagerDuty"}, d.acts())
}

func TestAFurtherIncidentIsTheSameProblem(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{}), &desk{}
	s.hear(d, fakepagerduty.Subscription{})
	r := s.open(notifytest.Page())
	p, updates := gotWorse(1)
	r = s.mustFollow(p, r, updates...)
	d.receipts = []page.Receipt{r}
	require.NoError(t, s.Do(fakepagerduty.Human{Incident: r.Further[0], Do: "acknowledge", Who: "Jane"}))
	s.Deliver(t.Context())
	require.Equal(t, "Jane", d.taken())
	require.Equal(t, r.Problem, d.events[0].Problem)
}

// A webhook about a note names no key: it is known from earlier ones, or asked for.
func TestWhichIncidentANoteIsOn(t *testing.T) {
	for _, change := range [][]func(*pagerduty.Config){nil, {noToken}} {
		s, d := set(t, fakepagerduty.Options{}, change...), &desk{}
		s.hear(d, fakepagerduty.Subscription{Events: []string{"incident.annotated", "incident.priority_updated"}})
		d.receipts = []page.Receipt{s.open(notifytest.Page())}
		s.human("note", "Jane", "one")
		s.Deliver(t.Context())
		require.Equal(t, change == nil, len(d.acts()) == 1)
		s.human("priority", "Jane", "P1")
		s.human("note", "Jane", "two")
		s.Deliver(t.Context())
		require.Contains(t, d.acts(), "note Jane: two")
		require.Zero(t, s.Ledger().Webhooks[0].Dropped)
	}
}

func webhookBody(kind, data string) string {
	return fmt.Sprintf(`{"event":{"id":"01A","event_type":%q,"occurred_at":"2026-03-01T12:04:00.000Z","agent":{"type":"user_reference","summary":"Jane"},"data":%s}}`, kind, data)
}

func TestAnswersToWebhooks(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{}), &desk{}
	d.receipts = []page.Receipt{{Delivery: delivery, Problem: "p", Episode: 1}}
	ack := webhookBody("incident.acknowledged", `{"id":"Q1","incident_key":"`+delivery+`"}`)
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"an acknowledgement":       {ack, 202},
		"somebody else's incident": {webhookBody("incident.acknowledged", `{"id":"Q2","incident_key":"k"}`), 202},
		"no key at all":            {webhookBody("incident.acknowledged", `{}`), 202},
		"an incident that is gone": {webhookBody("incident.annotated", `{"content":"x","incident":{"id":"Q404"}}`), 202},
		"an unknown type":          {webhookBody("incident.sung", `{}`), 202},
		"another resource":         {webhookBody("service.updated", `{"id":"PF9KMXH"}`), 202},
		"a ping":                   {webhookBody("pagey.ping", `{"message":"Hello from your friend Pagey!","type":"ping"}`), 202},
		"not JSON":                 {`{"event":`, 202},
		"other JSON":               {`[1,2]`, 202},
		"nothing":                  {``, 202},
		"data of another form":     {webhookBody("incident.acknowledged", `[]`), 202},
		"no data":                  {webhookBody("incident.acknowledged", `null`), 202},
	} {
		require.Equal(t, c.want, s.sent(d, c.body), name)
	}
	require.Equal(t, "Jane", d.taken())

	require.Equal(t, 401, s.post(d, ack), "no signature")
	require.Equal(t, 401, s.post(d, ack, fakepagerduty.Sign([]byte(ack), "another")))
	require.Equal(t, 401, s.post(d, ack+" ", fakepagerduty.Sign([]byte(ack), secret)), "another body")
	big := webhookBody("incident.acknowledged", `{"x":"`+strings.Repeat("x", 256<<10)+`"}`)
	require.Equal(t, 413, s.sent(d, big), "PagerDuty sends none of that size")
	require.Equal(t, 202, s.sent(d, big[:200<<10]))
	get := httptest.NewRecorder()
	s.Notifier.(notify.Caller).Callback(d).ServeHTTP(get, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	require.Equal(t, 405, get.Code)
}

func TestTroubleOfOursIs503(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{}), &desk{trouble: errors.New("no space left on device")}
	d.receipts = []page.Receipt{{Delivery: delivery}}
	ack := webhookBody("incident.acknowledged", `{"id":"Q1","incident_key":"`+delivery+`"}`)
	require.Equal(t, 503, s.sent(d, ack))
	d.trouble = nil
	require.Equal(t, 202, s.sent(d, ack), "it is sent again")
	require.Equal(t, "Jane", d.taken())

	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(ack))
	req.Header.Set("X-PagerDuty-Signature", fakepagerduty.Sign([]byte(ack), secret))
	res := httptest.NewRecorder()
	s.Notifier.(notify.Caller).Callback(&desk{hang: true, receipts: d.receipts}).ServeHTTP(res, req)
	require.Equal(t, 503, res.Code, "a desk that hangs")

	req = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", iotest.ErrReader(io.ErrUnexpectedEOF))
	res = httptest.NewRecorder()
	s.Notifier.(notify.Caller).Callback(d).ServeHTTP(res, req)
	require.Equal(t, 503, res.Code, "half a body")

	bare := set(t, fakepagerduty.Options{}, func(c *pagerduty.Config) { c.WebhookSecretFiles = nil })
	require.Equal(t, 503, bare.sent(d, ack), "no secret is configured")
	require.Contains(t, bare.log.String(), "webhook_secret_files")
}

func TestSignatures(t *testing.T) {
	s := set(t, fakepagerduty.Options{}, func(c *pagerduty.Config) {
		c.WebhookSecretFiles = []config.SecretFile{secretFile(t, "old"), secretFile(t, "new")}
	})
	body := webhookBody("pagey.ping", `{}`)
	sign := func(secrets ...string) string { return fakepagerduty.Sign([]byte(body), secrets...) }
	for name, c := range map[string]struct {
		headers []string
		want    int
	}{
		"the old secret":           {[]string{sign("old")}, 202},
		"the new one":              {[]string{sign("new")}, 202},
		"PagerDuty rotates":        {[]string{sign("unknown", "new")}, 202},
		"with spaces":              {[]string{strings.ReplaceAll(sign("unknown", "new"), ",", " , ")}, 202},
		"two header lines":         {[]string{sign("unknown"), sign("old")}, 202},
		"a version to come":        {[]string{"v2=00," + sign("old")}, 202},
		"upper case":               {[]string{"v1=" + strings.ToUpper(sign("old")[3:])}, 202},
		"another version's prefix": {[]string{strings.Replace(sign("old"), "v1=", "v2=", 1)}, 401},
		"none":                     {[]string{""}, 401},
		"the empty secret":         {[]string{sign("")}, 401},
		"cut":                      {[]string{sign("old")[:40]}, 401},
		"not hex":                  {[]string{"v1=" + strings.Repeat("z", 64)}, 401},
		"empty ones":               {[]string{"v1=,v1=,,,="}, 401},
		"behind a thousand others": {[]string{strings.Repeat("v1="+strings.Repeat("0", 64)+",", 1000) + sign("old")}, 401},
	} {
		require.Equal(t, c.want, s.post(&desk{}, body, c.headers...), name)
	}
}

// F13: duplicates, reordering, replays and forgeries: the state converges, and
// the subscription stays on.
func TestFaultWebhooksConverge(t *testing.T) {
	for seed := range uint64(20) {
		s, d := set(t, fakepagerduty.Options{Seed: seed}), &desk{}
		s.hear(d, fakepagerduty.Subscription{Duplicate: .5, Unordered: true, Secrets: []string{"rotated away", secret}})
		d.receipts = []page.Receipt{s.open(notifytest.Page())}
		s.human("acknowledge", "Jane", "")
		s.human("note", "Jane", "looking")
		s.human("unacknowledge", "Jane", "")
		s.human("acknowledge", "Bob", "")
		s.human("note", "Bob", "found it")
		s.Deliver(t.Context())
		s.pass(48 * time.Hour)
		s.Replay(t.Context())
		require.Equal(t, "Bob", d.taken(), "seed %d: %q", seed, d.acts())
		notes := 0
		for _, a := range d.acts() {
			if strings.HasPrefix(a, "note") {
				notes++
			}
		}
		require.Equal(t, 2, notes, "each once")
		hook := s.Ledger().Webhooks[0]
		require.Zero(t, hook.Disables)
		require.Zero(t, hook.Dropped)
	}
}

// F13: the store is sick for two days; PagerDuty tries until it is well.
func TestFaultWebhooksOutlastTwoDays(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{}), &desk{trouble: errors.New("disk full")}
	s.hear(d, fakepagerduty.Subscription{})
	d.receipts = []page.Receipt{s.open(notifytest.Page())}
	s.human("acknowledge", "Jane", "")
	s.human("unacknowledge", "Jane", "")
	s.human("acknowledge", "Bob", "")
	for range 47 {
		s.Deliver(t.Context())
		s.pass(time.Hour)
	}
	require.Empty(t, d.acts())
	d.mu.Lock()
	d.trouble = nil
	d.mu.Unlock()
	s.Deliver(t.Context())
	require.Equal(t, []string{"ack Jane: ", "unack Jane: ", "ack Bob: "}, d.acts())
	hook := s.Ledger().Webhooks[0]
	require.Zero(t, hook.Dropped)
	require.Zero(t, hook.Disables)
}

func TestAnOldRecordingIsNotHeard(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{}), &desk{receipts: []page.Receipt{{Delivery: delivery}}}
	ack := webhookBody("incident.acknowledged", `{"id":"Q1","incident_key":"`+delivery+`"}`)
	s.pass(73 * time.Hour)
	require.Equal(t, 202, s.sent(d, ack))
	require.Empty(t, d.acts())
}

func TestAnEventWithoutIDHasThatOfItsBody(t *testing.T) {
	s, d := set(t, fakepagerduty.Options{}), &desk{receipts: []page.Receipt{{Delivery: delivery}}}
	body := webhookBody("incident.annotated", `{"content":"x","incident":{"id":"Q1"},"incident_key":"`+delivery+`"}`)
	for _, id := range []string{"", "../../x", strings.Repeat("x", 300)} {
		other := strings.Replace(body, "01A", id, 1)
		require.Equal(t, 202, s.sent(d, other))
		require.Equal(t, 202, s.sent(d, other), "a repeat")
	}
	require.Len(t, d.acts(), 3)
	for _, e := range d.events {
		require.Len(t, e.ID, len(target)+1+64)
	}
}
