package alertmanager_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
)

// silencing behaves as Alertmanager's API v2 does about silences: it makes a
// new one for each request, lists those whose matchers fit the filters, and
// answers 500 to the end of one that has ended.
type silencing struct {
	mu      sync.Mutex
	there   []map[string]any
	posts   int
	refuse  int  // status of every POST, 0: it takes them
	swallow bool // it takes a POST and the answer is lost
}

func (s *silencing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, one := strings.CutPrefix(r.URL.Path, "/api/v2/silence/")
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/api/v2/silences":
		_ = json.NewEncoder(w).Encode(s.filtered(r.URL.Query()["filter"]))
	case r.Method == http.MethodPost && r.URL.Path == "/api/v2/silences":
		s.post(w, r)
	case one:
		for _, x := range s.there {
			state := x["status"].(map[string]string)
			switch {
			case x["id"] != id:
			case r.Method == http.MethodGet:
				_ = json.NewEncoder(w).Encode(x)
				return
			case state["state"] == "expired":
				http.Error(w, `"silence already expired"`, http.StatusInternalServerError)
				return
			default:
				state["state"] = "expired"
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (s *silencing) filtered(filters []string) []map[string]any {
	out := []map[string]any{}
	for _, x := range s.there {
		values := map[string]string{}
		for _, m := range x["matchers"].([]any) {
			values[m.(map[string]any)["name"].(string)] = m.(map[string]any)["value"].(string)
		}
		fits := true
		for _, f := range filters {
			m, err := labels.ParseMatcher(f)
			fits = fits && err == nil && m.Matches(values[m.Name])
		}
		if fits {
			out = append(out, x)
		}
	}
	return out
}

func (s *silencing) post(w http.ResponseWriter, r *http.Request) {
	s.posts++
	if s.refuse != 0 {
		http.Error(w, `"start time must be before end time"`, s.refuse)
		return
	}
	raw, _ := io.ReadAll(r.Body)
	var x map[string]any
	if json.Unmarshal(raw, &x) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	x["id"], x["status"] = fmt.Sprintf("id-%d", s.posts), map[string]string{"state": "active"}
	s.there = append(s.there, x)
	if s.swallow {
		s.swallow = false
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"silenceID": x["id"]})
}

func silencer(t *testing.T) (*silencing, *alertmanager.Client) {
	t.Helper()
	s := &silencing{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, &alertmanager.Client{Base: server.URL, Remote: remote.New(http.DefaultTransport, alertmanager.MaxAnswer)}
}

func wish(marker string) alertmanager.Silence {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return alertmanager.Silence{
		Labels: page.Labels{"alertname": "Slow", "path": `a"b\c{x=~".*"}`}, By: "Jane", From: at, Until: at.Add(time.Hour), Marker: marker,
	}
}

func TestSilenceHasExactMatchersOfAllLabels(t *testing.T) {
	s, c := silencer(t)
	id, err := c.Silence(t.Context(), wish("e1"))
	require.NoError(t, err)
	require.Equal(t, "id-1", id)
	require.Equal(t, []any{
		map[string]any{"name": "alertname", "value": "Slow", "isRegex": false, "isEqual": true},
		map[string]any{"name": "path", "value": `a"b\c{x=~".*"}`, "isRegex": false, "isEqual": true},
	}, s.there[0]["matchers"])
	require.Equal(t, "Jane", s.there[0]["createdBy"])
	require.Equal(t, "2026-03-01T13:00:00Z", s.there[0]["endsAt"])
	require.Contains(t, s.there[0]["comment"], "e1")
}

func TestARepeatAdoptsTheSilenceWithItsMarker(t *testing.T) {
	s, c := silencer(t)
	s.swallow = true
	_, err := c.Silence(t.Context(), wish("e1"))
	require.Equal(t, remote.Unknown, remote.ClassOf(err))
	id, err := c.Silence(t.Context(), wish("e1"))
	require.NoError(t, err)
	require.Equal(t, "id-1", id)
	require.Equal(t, 1, s.posts, "nothing was doubled")
	id, err = c.Silence(t.Context(), wish("e"))
	require.NoError(t, err)
	require.Equal(t, "id-2", id, "a marker that another begins with is another")
}

func TestARefusedSilenceSaysWhy(t *testing.T) {
	s, c := silencer(t)
	s.refuse = http.StatusBadRequest
	_, err := c.Silence(t.Context(), wish("e1"))
	require.Equal(t, remote.Content, remote.ClassOf(err))
	require.ErrorContains(t, err, "start time must be before end time")
	s.refuse = http.StatusForbidden
	_, err = c.Silence(t.Context(), wish("e1"))
	require.Equal(t, remote.Config, remote.ClassOf(err))
	s.refuse = http.StatusServiceUnavailable
	_, err = c.Silence(t.Context(), wish("e1"))
	require.Equal(t, remote.Unknown, remote.ClassOf(err))
	posts := s.posts
	_, err = c.Silence(t.Context(), alertmanager.Silence{By: "Jane", Marker: "e1"})
	require.Equal(t, remote.Content, remote.ClassOf(err), "without labels it would hide all")
	require.Equal(t, posts, s.posts)
}

func TestUnsilence(t *testing.T) {
	_, c := silencer(t)
	id, err := c.Silence(t.Context(), wish("e1"))
	require.NoError(t, err)
	require.NoError(t, c.Unsilence(t.Context(), id))
	require.NoError(t, c.Unsilence(t.Context(), id), "it has ended already")
	require.NoError(t, c.Unsilence(t.Context(), "no such"), "it is not there")
	broken := &alertmanager.Client{Base: "http://127.0.0.1:1", Remote: remote.New(http.DefaultTransport, 1<<20)}
	require.Equal(t, remote.NotSent, remote.ClassOf(broken.Unsilence(t.Context(), id)))
}
