package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/web"
)

// dying is an API over one page of a user, and dead letters of it and of a page
// that is gone.
func dying(t *testing.T, hidden ...string) *api {
	a := manyPages(t, 0, 0)
	a.redact = func() []string { return hidden }
	a.archive = newArchive(a.store, a.redact)
	a.acts = &web.Acts{Now: time.Now}
	l := page.Labels{"alertname": "Slow", "user": "a.smith"}
	p := page.Problem{
		ID: "p1", Episode: 2, State: page.Open, Group: page.Notification{GroupLabels: l},
		Members: map[string]page.Member{"m": {Open: true, Alert: page.Alert{ID: "m", Labels: l}}},
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for key, v := range map[string]any{
		store.ProblemKey("p1"):              p,
		store.PageKey("p1", 2):              p.View(),
		store.DeadKey("slack/old", "p0", 1): notify.DeadLetter{At: at, Target: "slack/old", Problem: "p0", Episode: 1, Verb: "open", Title: "Slow · user=b.jones"},
		store.DeadKey("slack/x", "p1", 2):   notify.DeadLetter{At: at.Add(time.Hour), Target: "slack/x", Problem: "p1", Episode: 2, Verb: "open", Title: "Slow · user=a.smith"},
	} {
		value, err := store.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, a.store.Apply(t.Context(), store.Put(key, value)))
	}
	return a
}

func TestDeadLettersByTheAPI(t *testing.T) {
	for hidden, want := range map[string][]string{
		"":     {"Slow · user=a.smith", "Slow · user=b.jones"},
		"user": {"Slow · user=<redacted>", ""},
	} {
		a := dying(t, strings.Fields(hidden)...)
		w := httptest.NewRecorder()
		a.dead(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/dead", nil))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var letters []notify.DeadLetter
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &letters))
		require.Len(t, letters, 2)
		require.Equal(t, want, []string{letters[0].Title, letters[1].Title}, "newest first; %q is hidden", hidden)
	}
}

func TestRedriveByTheAPI(t *testing.T) {
	a := dying(t)
	send := func(kind, body string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/dead/redrive", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		a.redrive(w, r, web.Operator{Name: "alice"})
		return w.Code, w.Body.String()
	}
	for body, says := range map[string]string{
		`{"target":"slack/x","problem":"p1"}`:                       "write target, problem and episode",
		`{"target":"slack/x","problem":"p1","episode":2,"why":"x"}`: "unknown field",
		`{`: "read body",
	} {
		code, said := send("application/json", body)
		require.Equal(t, http.StatusBadRequest, code, body)
		require.Contains(t, said, says)
	}
	const good = `{"target":"slack/x","problem":"p1","episode":2}`
	code, _ := send("text/plain", good)
	require.Equal(t, http.StatusBadRequest, code, "a form of another site can send this type unasked")
	code, _ = send("application/json", `{"target":"slack/old","problem":"p0","episode":1}`)
	require.Equal(t, http.StatusNotFound, code, "its page is gone")
	code, said := send("application/json", good)
	require.Equal(t, http.StatusAccepted, code, said)
	_, err := a.store.Take(t.Context(), store.LaneDeliver+"slack/x", time.Minute)
	require.NoError(t, err)
	code, _ = send("application/json", good)
	require.Equal(t, http.StatusNotFound, code, "it is no dead letter any more")
}
