package app

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Guards ask a server that wants to know who asks; a token that was exchanged is
// heeded with the next question.
func TestGuardSourcesSendTheirCredentials(t *testing.T) {
	want := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != want {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}`))
	}))
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "secret")
	write := func(s string) { require.NoError(t, os.WriteFile(file, []byte(s+"\n"), 0o600)) }
	ask := func(s GuardSource) ([]float64, error) {
		c, err := s.client(http.DefaultTransport)
		require.NoError(t, err)
		a, err := remediate.Prometheus{First: "main", Clients: map[string]*prometheus.Client{"main": c}}.Ask(t.Context(), "", "up", time.Now())
		return a.Values, err
	}
	write("one")
	bearer := GuardSource{Name: "main", URL: srv.URL, BearerTokenFile: config.SecretFile(file)}
	basic := GuardSource{Name: "main", URL: srv.URL, Basic: &GuardLogin{Username: "tocsin", PasswordFile: config.SecretFile(file)}}
	require.NoError(t, bearer.validate())
	require.NoError(t, basic.validate())
	want = "Bearer one"
	got, err := ask(bearer)
	require.NoError(t, err)
	require.Equal(t, []float64{7}, got)
	want = "Basic dG9jc2luOm9uZQ=="
	_, err = ask(basic)
	require.NoError(t, err)
	_, err = ask(GuardSource{Name: "main", URL: srv.URL})
	require.Error(t, err)
	write("two")
	want = "Bearer two"
	_, err = ask(bearer)
	require.NoError(t, err)

	require.NoError(t, os.Remove(file))
	_, err = bearer.client(http.DefaultTransport)
	require.ErrorContains(t, err, "bearer_token_file", "it is said before it serves")
	bearer.Basic = basic.Basic
	require.ErrorContains(t, bearer.validate(), "write one of them")
	basic.Basic = &GuardLogin{}
	require.ErrorContains(t, basic.validate(), "needs both username and password_file")
}
