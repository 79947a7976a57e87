package alertmanager_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
)

func serving(t *testing.T, path, body string, asked *string) *alertmanager.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.Path + "?" + r.URL.Query().Encode()
		if r.URL.Path != path {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return &alertmanager.Client{Base: s.URL, Remote: remote.New(http.DefaultTransport, alertmanager.MaxAnswer)}
}

func TestOnlySilencesInForceAreReturned(t *testing.T) {
	var asked string
	c := serving(t, "/api/v2/silences", `[
		{"id":"a","matchers":[{"name":"host","value":"web-.*","isRegex":true,"isEqual":true},{"name":"env","value":"dev","isRegex":false,"isEqual":false}],
		 "createdBy":"alice","comment":"disk swap","endsAt":"2026-01-02T03:04:05Z","status":{"state":"active"}},
		{"id":"b","matchers":[{"name":"host","value":"x","isEqual":true}],"status":{"state":"expired"}},
		{"id":"c","matchers":[{"name":"host","value":"x","isEqual":true}],"status":{"state":"pending"}}]`, &asked)
	got, err := c.InForce(t.Context())
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "a", got[0].ID)
	require.Equal(t, "alice", got[0].By)
	require.Equal(t, `{host=~"web-.*",env!="dev"}`, got[0].Matchers.String())
	require.Equal(t, 2026, got[0].Until.Year())
}

func TestASilenceThatCannotBeReadIsAnError(t *testing.T) {
	var asked string
	c := serving(t, "/api/v2/silences", `[{"id":"a","matchers":[{"name":"host","value":"(","isRegex":true,"isEqual":true}],"status":{"state":"active"}}]`, &asked)
	_, err := c.InForce(t.Context())
	require.ErrorContains(t, err, "list silences")
}

func TestUnresolvedAsksForSilencedAlertsToo(t *testing.T) {
	var asked string
	c := serving(t, "/api/v2/alerts", `[{"labels":{"alertname":"Down","host":"web-1"},"startsAt":"2026-01-02T03:04:05Z"}]`, &asked)
	got, err := c.Unresolved(t.Context(), page.Labels{"cluster": `a"b`})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "web-1", got[0].Labels["host"])
	require.Equal(t, `/api/v2/alerts?filter=cluster%3D%22a%5C%22b%22`, asked, "Alertmanager leaves nothing out unless it is asked to")
}
