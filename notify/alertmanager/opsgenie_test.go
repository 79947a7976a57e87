package alertmanager_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify/alertmanager"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/remote"
)

// opsgenie behaves like the Opsgenie Alert API: it asks for a key, and folds
// alerts that are open into one by their alias.
type opsgenie struct {
	mu     sync.Mutex
	alerts []*opsgenieAlert
}

type opsgenieAlert struct {
	Alias, Message, Description string
	Details                     map[string]string
	rings                       int
	closed                      bool
}

func (o *opsgenie) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	answer := func(status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"result": text, "requestId": "1"})
	}
	if r.Header.Get("Authorization") != "GenieKey "+secret {
		answer(http.StatusForbidden, "Could not authenticate")
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v2/alerts/"); ok {
		alias, _ := strings.CutSuffix(rest, "/close")
		for _, a := range o.alerts {
			a.closed = a.closed || a.Alias == alias
		}
		answer(http.StatusAccepted, "Request will be processed")
		return
	}
	body, _ := io.ReadAll(r.Body)
	a := &opsgenieAlert{}
	if json.Unmarshal(body, a) != nil || a.Message == "" || len([]rune(a.Message)) > 130 {
		answer(http.StatusUnprocessableEntity, "Request body is not processable")
		return
	}
	for _, have := range o.alerts {
		if have.Alias == a.Alias && !have.closed {
			answer(http.StatusAccepted, "Request will be processed")
			return
		}
	}
	a.rings = 1
	o.alerts = append(o.alerts, a)
	answer(http.StatusAccepted, "Request will be processed")
}

func (o *opsgenie) shown() []notifytest.Shown {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []notifytest.Shown
	for _, a := range o.alerts {
		s := notifytest.Shown{Delivery: a.Details["delivery"], Text: a.Description, Resolved: a.closed, Pages: a.rings}
		out = append(out, s)
	}
	return out
}

// Opsgenie knows a repeat by its key: it can keep the whole contract.
func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Suite{
		Kind: alertmanager.Kind(),
		Start: func(t *testing.T) notifytest.Service {
			o := &opsgenie{}
			faults := fault.New(1)
			srv := httptest.NewServer(faults.Wrap(o))
			t.Cleanup(func() { faults.Clear(); srv.Close() })
			closed := httptest.NewServer(nil)
			closed.Close()
			cfg := func(base, key string) *alertmanager.Config {
				path := write(t, base, `
receiver:
  opsgenie_configs:
    - api_url: URL/
      api_key_file: key
      message: '{{ .CommonAnnotations.tocsin_title }}'
      description: '{{ template "tocsin.text" . }}'
      details: {delivery: '{{ reReplaceAll "-.*" "" .CommonAnnotations.tocsin_message }}'}
external_url: https://alertmanager.example.org
`)
				require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "key"), []byte(key), 0o600))
				return decode(t, path)
			}
			return notifytest.Service{
				Config: cfg(srv.URL, secret), Wrong: cfg(srv.URL, "another"), Down: cfg(closed.URL, secret),
				Secret: secret, Faults: faults, Shown: o.shown,
			}
		},
		Class: func(status int) remote.Class {
			switch {
			case status == http.StatusTooManyRequests:
				return remote.NotSent
			case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
				return remote.Content
			case status >= 500, status == http.StatusRequestTimeout:
				return remote.Unknown
			default:
				return remote.Config
			}
		},
	})
}
