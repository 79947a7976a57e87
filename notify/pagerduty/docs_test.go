package pagerduty_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/page"
)

// docs is docs/pagerduty.md.
func docs(t *testing.T) string {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "pagerduty.md"))
	require.NoError(t, err)
	return string(b)
}

func TestDocsShowConfigsThatAreRight(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(docs(t), -1)
	require.Len(t, blocks, 2)
	all := ""
	for _, b := range blocks {
		section, err := config.Parse("docs.yml", []byte(b[1]))
		require.NoError(t, err)
		var c struct {
			Receivers []struct {
				Name   string `yaml:"name"`
				Notify []struct {
					Kind string         `yaml:"kind"`
					Name string         `yaml:"name"`
					With config.Section `yaml:"with"`
				} `yaml:"notify"`
			} `yaml:"receivers"`
		}
		require.NoError(t, section.Decode(&c))
		require.NoError(t, c.Receivers[0].Notify[0].With.Decode(pagerduty.Kind().Config()))
		all += b[1]
	}
	for key := range config.SchemaOf(pagerduty.Kind().Config()).Properties {
		require.Contains(t, all, key+":", "every key is shown")
	}
}

func TestDocsSayWhatBecomesANote(t *testing.T) {
	want := noted(t)
	said := map[page.UpdateKind]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| (yes|no)").FindAllStringSubmatch(docs(t), -1) {
		said[page.UpdateKind(row[1])] = row[2] == "yes"
	}
	require.Equal(t, want, said)
}

func TestDocsListTheEventsThatAreHeard(t *testing.T) {
	said := regexp.MustCompile("`(incident\\.[a-z_]+)`").FindAllStringSubmatch(docs(t), -1)
	var listed []string
	for _, m := range said {
		listed = append(listed, m[1])
	}
	var heard []string
	for _, kind := range []string{ // all of v3's that are about incidents
		"incident.acknowledged", "incident.annotated", "incident.conference_bridge.updated", "incident.custom_field_values.updated",
		"incident.delegated", "incident.escalated", "incident.incident_type.changed", "incident.priority_updated",
		"incident.reassigned", "incident.reopened", "incident.resolved", "incident.responder.added", "incident.responder.replied",
		"incident.role.assigned", "incident.service_updated", "incident.status_update_published", "incident.triggered",
		"incident.unacknowledged", "incident.workflow.started", "incident.workflow.completed",
	} {
		s, d := set(t, fakepagerduty.Options{}), &desk{receipts: []page.Receipt{{Delivery: delivery}}}
		require.Equal(t, 202, s.sent(d, webhookBody(kind, `{"id":"Q1","incident_key":"`+delivery+`","content":"x"}`)))
		if len(d.acts()) > 0 {
			heard = append(heard, kind)
		}
	}
	require.ElementsMatch(t, heard, listed)
}

// calls remembers what is asked of the REST API.
type calls struct {
	mu   sync.Mutex
	made map[string]bool
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	path := regexp.MustCompile(`^/incidents/[^/]+`).ReplaceAllString(r.URL.Path, "/incidents/{id}")
	if !strings.HasPrefix(path, "/v2/") {
		c.made[r.Method+" "+path] = true
	}
	c.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

func TestDocsListTheCallsThatAreMade(t *testing.T) {
	fake := fakepagerduty.New(fakepagerduty.Options{Now: began})
	srv := httptest.NewServer(fake)
	defer srv.Close()
	c := section(t, srv.URL, fakepagerduty.DefaultKey)
	c.APIURL, c.APITokenFile, c.From = srv.URL, secretFile(t, fakepagerduty.DefaultAPIToken), "bot@example.org"
	c.WebhookSecretFiles = []config.SecretFile{secretFile(t, secret)}
	made := &calls{made: map[string]bool{}}
	s := set(t, fakepagerduty.Options{})
	s.Fake = fake
	var err error
	s.Notifier, err = pagerduty.Kind().New(c, notify.Deps{Name: "ops", Transport: made, Now: began, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, s.Notifier.(notify.Checker).Check(t.Context()))
	p := notifytest.Page()
	r := s.open(p)
	s.find(p, notify.VerbOpen, r)
	s.mustFollow(p, r, update(1, page.UpdateRun, "step"))
	s.find(p, notify.VerbFollow, r, update(1, page.UpdateRun, "step"))
	require.Equal(t, 202, s.sent(&desk{}, webhookBody("incident.annotated", `{"content":"x","incident":{"id":"`+s.Ledger().Incidents[0].ID+`"}}`)))
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:GET|POST|PUT|DELETE) [^`]+)` \\|").FindAllStringSubmatch(docs(t), -1) {
		listed = append(listed, row[1])
	}
	for _, call := range listed {
		require.True(t, made.made[call], "%s is never made", call)
	}
	require.Len(t, listed, len(made.made), "%v", made.made)
}

func TestDocsSayTheLimits(t *testing.T) {
	text := docs(t)
	p := notifytest.Oversize()[1]
	s := set(t, fakepagerduty.Options{})
	b, err := s.Notifier.(notify.Renderer).Render(s.message(p, notify.VerbOpen, page.Receipt{}))
	require.NoError(t, err)
	require.LessOrEqual(t, len(b), 500<<10)
	require.Contains(t, text, "| 512 KB | 500 KB: alerts are folded to 50, 25, 12 … |")
	alerts := func(p page.Page) int {
		b, err := s.Notifier.(notify.Renderer).Render(s.message(p, notify.VerbOpen, page.Receipt{}))
		require.NoError(t, err)
		var e struct {
			Payload struct {
				Details struct {
					Alerts []any `json:"alerts"`
				} `json:"custom_details"`
			} `json:"payload"`
		}
		require.NoError(t, json.Unmarshal(b, &e))
		return len(e.Payload.Details.Alerts)
	}
	require.Contains(t, []int{25, 12, 6}, alerts(p), "alerts of many bytes are folded further")
	small := notifytest.Page()
	small.Alerts = slices.Repeat(small.Alerts, 20)
	require.Equal(t, 50, alerts(small))
}
