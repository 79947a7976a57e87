package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
)

var _ pipeline.Silencer = asker(nil)

// A silence goes to the Alertmanager that the config has for the cluster.
func TestASilenceGoesToItsCluster(t *testing.T) {
	asked := map[string][]string{}
	server := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[name] = append(asked[name], r.Method+" "+r.URL.Path)
			body, _ := io.ReadAll(r.Body)
			switch r.Method {
			case http.MethodGet:
				_, _ = io.WriteString(w, "[]")
			case http.MethodPost:
				var x struct{ CreatedBy string }
				if json.Unmarshal(body, &x) != nil || x.CreatedBy != "Jane" {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				_, _ = io.WriteString(w, `{"silenceID":"`+name+`-1"}`)
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	a := asker{}
	for _, name := range []string{"dc1", "dc2"} {
		a[name] = &alertmanager.Client{Base: server(name), Remote: remote.New(http.DefaultTransport, alertmanager.MaxAnswer)}
	}
	a["far"] = &alertmanager.Client{}
	s := page.Silence{By: "Jane", At: time.Now(), Until: time.Now().Add(time.Hour)}
	id, err := a.Silence(t.Context(), "dc2", page.Labels{"alertname": "Slow"}, s, "e1")
	require.NoError(t, err)
	require.Equal(t, "dc2-1", id)
	require.NoError(t, a.Unsilence(t.Context(), "dc2", id))
	require.Equal(t, map[string][]string{"dc2": {"GET /api/v2/silences", "POST /api/v2/silences", "DELETE /api/v2/silence/dc2-1"}}, asked)
	for _, cluster := range []string{"far", "tocsin"} {
		_, err = a.Silence(t.Context(), cluster, page.Labels{"alertname": "Slow"}, s, "e1")
		require.Equal(t, remote.Config, remote.ClassOf(err))
		require.ErrorContains(t, err, "no url in the config")
		require.Error(t, a.Unsilence(t.Context(), cluster, id))
	}
}
