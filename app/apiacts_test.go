package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/web"
)

// What operators ask of the API about a page, and do to it.
func TestActsAndHistoryByTheAPI(t *testing.T) {
	h := run(t, "")
	require.Equal(t, http.StatusAccepted, h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", fires("Acted"), nil).code)
	var found web.Found
	history := func(query string) []web.Row {
		a := h.ask(t, http.MethodGet, h.operators, "/api/v1/history"+query, "eve-secret", nil)
		require.Equal(t, http.StatusOK, a.code, a.body)
		require.NoError(t, json.Unmarshal([]byte(a.body), &found))
		return found.Pages
	}
	require.Eventually(t, func() bool { return len(history("?q=acted")) == 1 }, 20*time.Second, 10*time.Millisecond)
	require.Len(t, history("?match=alertname=Acted&match=service=checkout&severity=critical&receiver=team&state=open"), 1)
	id := found.Pages[0].Problem
	require.Empty(t, history("?match=alertname=Act"))
	require.Empty(t, history("?state=resolved"))

	get := func(path string, v any) int {
		a := h.ask(t, http.MethodGet, h.operators, "/api/v1/pages/"+id+path, "eve-secret", nil)
		if a.code == http.StatusOK {
			require.NoError(t, json.Unmarshal([]byte(a.body), v))
		}
		return a.code
	}
	var shown page.Page
	require.Equal(t, http.StatusOK, get("?episode=1", &shown))
	require.Equal(t, id, shown.Problem)
	require.Equal(t, http.StatusNotFound, get("?episode=2", &shown))
	var entries []page.Entry
	require.Equal(t, http.StatusOK, get("/timeline", &entries))
	require.Equal(t, http.StatusNotFound, get("/timeline?episode=2", &entries))

	act := func(body, key string, edit func(*http.Request)) (int, map[string]string) {
		a := h.send(t, http.MethodPost, h.operators, "/api/v1/pages/"+id+"/acts", "alice-secret", body, func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json")
			if key != "" {
				r.Header.Set("Idempotency-Key", key)
			}
			if edit != nil {
				edit(r)
			}
		})
		var said map[string]string
		if strings.HasPrefix(a.body, "{") {
			require.NoError(t, json.Unmarshal([]byte(a.body), &said))
		}
		return a.code, said
	}
	code, said := act(`{"verb":"ack","episode":1}`, "k1", nil)
	require.Equal(t, http.StatusAccepted, code, said)
	code, same := act(`{"verb":"ack","id":"k1"}`, "", nil)
	require.Equal(t, http.StatusAccepted, code)
	require.Equal(t, said, same, "the header and the body say one key")
	for body, says := range map[string]string{
		`{"verb":"explode"}`:                                           "write ack",
		`{"verb":"silence","for":"soon"}`:                              "write it as 1h",
		`{"verb":"silence","for":"1h","until":"2099-01-01T00:00:00Z"}`: "not both",
		`{"verb":"silence"}`:                                           "from 1m to 30d",
		`{"verb":"ack","wrong":1}`:                                     `unknown field "wrong"`,
		`{"verb":"ack"}{}`:                                             "more than one object",
		`{`:                                                            "read body",
		`{"verb":"note","text":"` + strings.Repeat("x", 70<<10) + `"}`: "too large",
		`{"verb":"ack","id":"a"}`:                                      "says another",
	} {
		key := ""
		if says == "says another" {
			key = "b"
		}
		code, said := act(body, key, nil)
		require.Equal(t, http.StatusBadRequest, code, "%.60s", body)
		require.Contains(t, said["error"], says, "%.60s", body)
	}
	code, _ = act(`{"verb":"ack","episode":9}`, "", nil)
	require.Equal(t, http.StatusConflict, code)
	code, _ = act(`{"verb":"ack"}`, "", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	require.Equal(t, http.StatusBadRequest, code, "a form of another site can send this type unasked")
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.org"} {
		code, _ = act(`{"verb":"ack"}`, "", func(r *http.Request) { r.Header.Set(name, value) })
		require.Equal(t, http.StatusForbidden, code, name)
	}
	h.stop()
	require.Contains(t, h.log.String(), "operator=alice verb=ack")
	require.Equal(t, 1, strings.Count(h.log.String(), "kind=acted"), "one wish, one event")
}
