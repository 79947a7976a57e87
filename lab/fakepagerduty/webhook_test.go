package fakepagerduty_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
)

// endpoint receives webhooks and answers what the test says.
type endpoint struct {
	*httptest.Server
	status int
	kinds  []string
	ids    []string
	signed []string
	bodies [][]byte
}

func receive(t *testing.T) *endpoint {
	e := &endpoint{status: http.StatusAccepted}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var in struct {
			Event struct {
				Type string `json:"event_type"`
			} `json:"event"`
		}
		_ = json.Unmarshal(body, &in)
		e.kinds, e.ids = append(e.kinds, in.Event.Type), append(e.ids, r.Header.Get("X-Webhook-Id"))
		e.signed, e.bodies = append(e.signed, r.Header.Get("X-PagerDuty-Signature")), append(e.bodies, body)
		w.WriteHeader(e.status)
	}))
	t.Cleanup(e.Close)
	return e
}

func TestWebhooksAreSignedAndInOrder(t *testing.T) {
	a, e := open(t, fakepagerduty.Options{}), receive(t)
	a.Subscribe(fakepagerduty.Subscription{URL: e.URL, Secrets: []string{"old", "new"}})
	a.event("trigger", "k", "s")
	require.NoError(t, a.Do(fakepagerduty.Human{Incident: "k", Do: "acknowledge", Who: "Jane"}))
	require.NoError(t, a.Do(fakepagerduty.Human{Incident: "k", Do: "note", Text: "hm"}))
	a.event("resolve", "k", "")
	require.Equal(t, 4, a.Deliver(t.Context()))
	require.Equal(t, []string{"incident.triggered", "incident.acknowledged", "incident.annotated", "incident.resolved"}, e.kinds)
	require.Equal(t, fakepagerduty.Sign(e.bodies[0], "old", "new"), e.signed[0])
	require.Contains(t, string(e.bodies[1]), `"summary":"Jane"`)
	require.NotContains(t, string(e.bodies[2]), "incident_key", "a note names the incident, not its key")
	require.Zero(t, a.Deliver(t.Context()))
	require.Equal(t, 4, a.Replay(t.Context()))
	require.Equal(t, e.ids[:4], e.ids[4:], "a repeat has the same X-Webhook-Id")
}

func TestWebhooksAreTriedAgainFor48Hours(t *testing.T) {
	a, e := open(t, fakepagerduty.Options{}), receive(t)
	a.Subscribe(fakepagerduty.Subscription{URL: e.URL, Events: []string{"incident.triggered", "incident.resolved"}})
	e.status = http.StatusServiceUnavailable
	a.event("trigger", "k", "s")
	a.event("resolve", "k", "")
	a.event("trigger", "other", "s")
	require.Equal(t, 2, a.Deliver(t.Context()), "the resolve waits for the trigger before it")
	for range 47 {
		a.now = a.now.Add(time.Hour)
		a.Deliver(t.Context())
	}
	require.Zero(t, a.Ledger().Webhooks[0].Dropped)
	e.status = http.StatusOK
	a.now = a.now.Add(time.Hour)
	a.Deliver(t.Context())
	require.Equal(t, 3, a.Ledger().Webhooks[0].Delivered)

	e.status = http.StatusServiceUnavailable
	a.event("trigger", "third", "s")
	for range 50 {
		a.now = a.now.Add(time.Hour)
		a.Deliver(t.Context())
	}
	require.Equal(t, 1, a.Ledger().Webhooks[0].Dropped, "given up")
}

func TestThreeDroppedDisable(t *testing.T) {
	a, e := open(t, fakepagerduty.Options{}), receive(t)
	id := a.Subscribe(fakepagerduty.Subscription{URL: e.URL})
	e.status = http.StatusForbidden
	for _, key := range []string{"1", "2", "3", "4", "5"} {
		a.event("trigger", key, "s")
	}
	require.Equal(t, 3, a.Deliver(t.Context()))
	hook := a.Ledger().Webhooks[0]
	require.Equal(t, 1, hook.Disables)
	require.Equal(t, 5, hook.Dropped, "with what waited")
	e.status = http.StatusOK
	a.event("trigger", "6", "s")
	require.Zero(t, a.Deliver(t.Context()))
	a.now = a.now.Add(24 * time.Hour)
	a.event("trigger", "7", "s")
	require.Equal(t, 1, a.Deliver(t.Context()))

	auth := []string{"Authorization", "Token token=" + fakepagerduty.DefaultAPIToken}
	status, _ := a.do(http.MethodPost, "/webhook_subscriptions/"+id+"/enable", "", auth...)
	require.Equal(t, 200, status)
	status, body := a.do(http.MethodPost, "/webhook_subscriptions", `{"webhook_subscription":{"delivery_method":{"type":"http_delivery_method","url":"`+e.URL+`"},"events":["incident.resolved"]}}`, auth...)
	require.Equal(t, 201, status)
	require.Contains(t, body, `"secret"`)
}

func TestMischief(t *testing.T) {
	a, e := open(t, fakepagerduty.Options{Seed: 3}), receive(t)
	a.Subscribe(fakepagerduty.Subscription{URL: e.URL, Duplicate: 1, Unordered: true})
	a.event("trigger", "k", "s")
	for range 10 {
		require.NoError(t, a.Do(fakepagerduty.Human{Incident: "k", Do: "note", Text: "n"}))
	}
	require.Equal(t, 22, a.Deliver(t.Context()), "each twice")
	sorted := true
	for i := range e.ids[1:] {
		sorted = sorted && e.ids[i] <= e.ids[i+1]
	}
	require.False(t, sorted, "some overtake")
}
