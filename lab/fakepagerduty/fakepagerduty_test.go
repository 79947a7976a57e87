package fakepagerduty_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
)

type account struct {
	t *testing.T
	*fakepagerduty.Fake
	url string
	now time.Time
}

func open(t *testing.T, o fakepagerduty.Options) *account {
	a := &account{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	o.Now = func() time.Time { return a.now }
	a.Fake = fakepagerduty.New(o)
	srv := httptest.NewServer(a.Fake)
	t.Cleanup(srv.Close)
	a.url = srv.URL
	return a
}

func (a *account) do(method, path, body string, header ...string) (int, string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, strings.NewReader(body))
	require.NoError(a.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(a.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(a.t, err)
	return res.StatusCode, string(b)
}

func (a *account) event(action, key, summary string) int {
	a.t.Helper()
	body := fmt.Sprintf(`{"routing_key":%q,"event_action":%q,"dedup_key":%q,"payload":{"summary":%q,"source":"s","severity":"critical","custom_details":{"said":%q}}}`,
		fakepagerduty.DefaultKey, action, key, summary, summary)
	status, _ := a.do(http.MethodPost, "/v2/enqueue", body)
	return status
}

func TestAlertStates(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	require.Equal(t, 202, a.event("resolve", "k", ""))
	require.Equal(t, 202, a.event("trigger", "k", "first"))
	require.Equal(t, 202, a.event("trigger", "k", "second"))
	require.Equal(t, 202, a.event("acknowledge", "k", ""))
	require.Equal(t, 202, a.event("trigger", "k", "third"))
	l := a.Ledger()
	require.Len(t, l.Incidents, 1)
	require.Len(t, l.Dropped, 1, "a resolve that overtakes its trigger is dropped")
	in := l.Incidents[0]
	require.Equal(t, "first", in.Title)
	require.Equal(t, "third", in.Summary)
	require.JSONEq(t, `{"said":"first"}`, string(in.Details), "details stay those of the first event")
	require.Equal(t, "acknowledged", in.Status)
	require.Equal(t, map[string]int{"k": 1}, l.Paged)

	require.True(t, a.Resolve(fakepagerduty.DefaultKey, "k"))
	require.False(t, a.Resolve(fakepagerduty.DefaultKey, "k"))
	a.event("trigger", "k", "again")
	require.Equal(t, map[string]int{"k": 2}, a.Ledger().Paged, "a trigger after the resolve pages again")
}

func TestChecks(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	const key = fakepagerduty.DefaultKey
	payload := `"payload":{"summary":"s","source":"s","severity":"info"}`
	for body, want := range map[string]string{
		`{`: "not an event",
		`{"routing_key":"short","event_action":"trigger",` + payload + `}`:                                                                                "32 characters",
		`{"routing_key":"` + strings.Repeat("f", 32) + `","event_action":"trigger",` + payload + `}`:                                                      "not a known",
		`{"routing_key":"` + key + `","event_action":"sing",` + payload + `}`:                                                                             "event_action",
		`{"routing_key":"` + key + `","event_action":"resolve"}`:                                                                                          "dedup_key",
		`{"routing_key":"` + key + `","event_action":"trigger","dedup_key":"` + strings.Repeat("k", 256) + `",` + payload + `}`:                           "dedup_key",
		`{"routing_key":"` + key + `","event_action":"trigger","payload":{"source":"s","severity":"info"}}`:                                               "summary",
		`{"routing_key":"` + key + `","event_action":"trigger","payload":{"summary":"` + strings.Repeat("s", 1025) + `","source":"s","severity":"info"}}`: "summary",
		`{"routing_key":"` + key + `","event_action":"trigger","payload":{"summary":"s","severity":"info"}}`:                                              "source",
		`{"routing_key":"` + key + `","event_action":"trigger","payload":{"summary":"s","source":"s","severity":"bad"}}`:                                  "severity",
		`{"routing_key":"` + key + `","event_action":"trigger","images":[{"src":"http://x"}],` + payload + `}`:                                            "https",
		`{"routing_key":"` + key + `","event_action":"trigger","client":"` + strings.Repeat("c", 513<<10) + `",` + payload + `}`:                          "524288 bytes",
	} {
		status, answer := a.do(http.MethodPost, "/v2/enqueue", body)
		require.Equal(t, 400, status, want)
		require.Contains(t, answer, want)
	}
	require.Empty(t, a.Ledger().Incidents)
}

func TestRateLimitIsNotIngested(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	for i := range 120 {
		require.Equal(t, 202, a.event("trigger", fmt.Sprint(i), "s"))
	}
	require.Equal(t, 429, a.event("trigger", "over", "s"))
	require.Len(t, a.Ledger().Incidents, 120)
	a.now = a.now.Add(time.Minute)
	require.Equal(t, 202, a.event("trigger", "over", "s"))
}

func TestIngestDelay(t *testing.T) {
	a := open(t, fakepagerduty.Options{IngestDelay: 3 * time.Second})
	a.event("trigger", "k", "s")
	a.event("resolve", "k", "")
	require.Equal(t, 2, a.Ledger().Waiting)
	require.Empty(t, a.Ledger().Incidents)
	a.now = a.now.Add(3 * time.Second)
	require.Equal(t, "resolved", a.Ledger().Incidents[0].Status)
}

func TestREST(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	a.event("trigger", "k", "s")
	auth := []string{"Authorization", "Token token=" + fakepagerduty.DefaultAPIToken}
	status, _ := a.do(http.MethodGet, "/incidents?incident_key=k", "")
	require.Equal(t, 401, status)
	status, body := a.do(http.MethodGet, "/incidents?incident_key=k", "", auth...)
	require.Equal(t, 200, status)
	var list struct{ Incidents []struct{ ID string } }
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Len(t, list.Incidents, 1)
	notes := "/incidents/" + list.Incidents[0].ID + "/notes"
	status, _ = a.do(http.MethodPost, notes, `{"note":{"content":"hi"}}`, auth...)
	require.Equal(t, 400, status, "no From")
	status, _ = a.do(http.MethodPost, notes, `{"note":{"content":"hi"}}`, append(auth, "From", "a@example.org")...)
	require.Equal(t, 200, status)
	require.Equal(t, "hi", a.Ledger().Incidents[0].Notes[0].Content)
}

func TestPage(t *testing.T) {
	a := open(t, fakepagerduty.Options{})
	a.event("trigger", "k", "38 of 40 <script>alert(1)</script>")
	a.event("trigger", "k", "39 of 40")
	status, page := a.do(http.MethodGet, "/", "")
	require.Equal(t, 200, status)
	require.Contains(t, page, "38 of 40 &lt;script&gt;")
	require.NotContains(t, page, "<script>")
	require.Contains(t, page, "summary by now: 39 of 40")
	require.Contains(t, page, "<b>1</b> would have paged a human")
	a.Reset()
	_, page = a.do(http.MethodGet, "/", "")
	require.Contains(t, page, "No incidents yet")
}
