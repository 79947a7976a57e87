package fakepagerduty_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
)

func TestWhatPeopleDo(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	a.event("trigger", "k", "s")
	do := func(what, text string) int {
		status, _ := a.do(http.MethodPost, "/_human", `{"incident":"k","do":"`+what+`","who":"Jane Doe","text":"`+text+`"}`)
		return status
	}
	require.Equal(t, 400, do("unacknowledge", ""), "nobody acknowledged it")
	require.Equal(t, 204, do("acknowledge", ""))
	require.Equal(t, 204, do("unacknowledge", ""))
	require.Equal(t, 204, do("note", "looking"))
	require.Equal(t, 204, do("priority", "P1"))
	require.Equal(t, 204, do("reassign", "Bob"))
	require.Equal(t, 204, do("resolve", ""))
	require.Equal(t, 400, do("acknowledge", ""))
	require.Equal(t, 204, do("reopen", ""))
	require.Equal(t, 400, do("sing", ""))
	status, _ := a.do(http.MethodPost, "/_human", `{"incident":"unknown","do":"resolve"}`)
	require.Equal(t, 400, status)
	status, _ = a.do(http.MethodPost, "/_human", "incident=Q0000000000001&do=sing&who=ann")
	require.Equal(t, 400, status)
	in := a.Ledger().Incidents[0]
	require.Equal(t, "triggered", in.Status)
	require.Equal(t, 3, in.Notified, "by the trigger, by the end of the acknowledgement, by the reopening")
	require.Equal(t, []string{"Jane Doe"}, in.AckedBy)
	require.Equal(t, "P1", in.Priority)
	require.Equal(t, "Bob", in.Assigned)
	require.Equal(t, "looking", in.Notes[0].Content)
	_, shown := a.do(http.MethodGet, "/", "")
	require.Contains(t, shown, "acknowledged by Jane Doe")
	require.Contains(t, shown, "Jane Doe: looking")
	require.Contains(t, shown, `value="acknowledge"`)
	status, _ = a.do(http.MethodPost, "/_human", "incident=Q0000000000001&do=acknowledge&who=ann")
	require.Equal(t, 303, status, "a press on the page")
	require.Equal(t, []string{"Jane Doe", "ann"}, a.Ledger().Incidents[0].AckedBy)
}

func TestTimeouts(t *testing.T) {
	a := open(t, fakepagerduty.Options{AckTimeout: 30 * time.Minute, AutoResolve: 4 * time.Hour})
	a.event("trigger", "k", "s")
	a.event("acknowledge", "k", "")
	a.now = a.now.Add(29 * time.Minute)
	require.Equal(t, "acknowledged", a.Ledger().Incidents[0].Status)
	a.now = a.now.Add(time.Minute)
	require.Equal(t, "triggered", a.Ledger().Incidents[0].Status)
	require.Equal(t, 2, a.Ledger().Incidents[0].Notified)
	a.now = a.now.Add(4 * time.Hour)
	require.Equal(t, "resolved", a.Ledger().Incidents[0].Status)
}

func TestChangeEvents(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	const key = fakepagerduty.DefaultKey
	for body, want := range map[string]string{
		`{"routing_key":"` + key + `","payload":{"summary":"deploy v42","timestamp":"2026-03-01T12:00:00Z"},"links":[{"href":"https://ci.example.org"}]}`: "Change event processed",
		`{"routing_key":"` + key + `","payload":{}}`:                                              "summary",
		`{"routing_key":"` + key + `","payload":{"summary":"` + strings.Repeat("s", 1025) + `"}}`: "1024",
		`{"routing_key":"` + key + `","payload":{"summary":"s","timestamp":"noon"}}`:              "ISO 8601",
		`{"routing_key":"` + key + `","payload":{"summary":"s","custom_details":"x"}}`:            "custom_details",
		`{"routing_key":"` + key + `","dedup_key":"k","payload":{"summary":"s"}}`:                 "dedup_key",
		`{"routing_key":"` + key + `","images":[],"payload":{"summary":"s"}}`:                     "images",
		`{"routing_key":"` + key + `","links":[{}],"payload":{"summary":"s"}}`:                    "href",
		`{"routing_key":"short","payload":{"summary":"s"}}`:                                       "32 characters",
	} {
		_, answer := a.do(http.MethodPost, "/v2/change/enqueue", body)
		require.Contains(t, answer, want)
	}
	require.Len(t, a.Ledger().Changes, 1)
	require.Empty(t, a.Ledger().Incidents, "a change pages nobody")
}

func TestRESTFilters(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	auth := []string{"Authorization", "Token token=" + fakepagerduty.DefaultAPIToken}
	a.event("trigger", "k", "first")
	a.event("resolve", "k", "")
	a.now = a.now.Add(time.Hour)
	a.event("trigger", "k", "second")
	count := func(query string) int {
		status, body := a.do(http.MethodGet, "/incidents?"+query, "", auth...)
		require.Equal(t, 200, status)
		return strings.Count(body, `"incident_key"`)
	}
	require.Equal(t, 2, count("incident_key=k"))
	require.Equal(t, 1, count("incident_key=k&statuses[]=triggered&statuses[]=acknowledged"))
	require.Equal(t, 1, count("incident_key=k&since="+a.now.Add(-time.Minute).Format(time.RFC3339)))
	require.Equal(t, 1, count("incident_key=k&limit=1"))
	require.Equal(t, 0, count("incident_key=other"))
	_, body := a.do(http.MethodGet, "/incidents?incident_key=k&limit=1&sort_by=created_at:desc", "", auth...)
	require.Contains(t, body, "second")
	status, _ := a.do(http.MethodGet, "/incidents?since=noon", "", auth...)
	require.Equal(t, 400, status)
	status, body = a.do(http.MethodGet, "/incidents/"+a.Ledger().Incidents[0].ID, "", auth...)
	require.Equal(t, 200, status)
	require.Contains(t, body, `"incident_key":"k"`)
	status, _ = a.do(http.MethodGet, "/incidents/none", "", auth...)
	require.Equal(t, 404, status)
}

func TestRESTRate(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	auth := []string{"Authorization", "Token token=" + fakepagerduty.DefaultAPIToken}
	for range 960 {
		status, _ := a.do(http.MethodGet, "/incidents?limit=1", "", auth...)
		require.Equal(t, 200, status)
	}
	status, body := a.do(http.MethodGet, "/incidents", "", auth...)
	require.Equal(t, 429, status)
	require.Contains(t, body, "2020")
	a.now = a.now.Add(time.Minute)
	status, _ = a.do(http.MethodGet, "/incidents", "", auth...)
	require.Equal(t, 200, status)
}
