package pagerduty_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/page"
)

func TestWhatTheConfigSaysIsWrong(t *testing.T) {
	for want, wrong := range map[string]func(*pagerduty.Config){
		"routing_key_file: name the file":                                    func(c *pagerduty.Config) { c.RoutingKeyFile = "" },
		"events_url: write it as https://events.pagerduty.com":               func(c *pagerduty.Config) { c.EventsURL = "events" },
		"api_url: write it as https://api.pagerduty.com":                     func(c *pagerduty.Config) { c.APIURL = "" },
		"from: write the e-mail address of a PagerDuty user":                 func(c *pagerduty.Config) { c.APITokenFile = "token" },
		"api_token_file: name the file that holds a REST API token":          func(c *pagerduty.Config) { c.From = "bot@example.org" },
		`from: "the bot" is not an e-mail address`:                           func(c *pagerduty.Config) { c.APITokenFile, c.From = "token", "the bot" },
		`from: "Bot <bot@example.org>" is not an e-mail address`:             func(c *pagerduty.Config) { c.APITokenFile, c.From = "token", "Bot <bot@example.org>" },
		`severity_map.high: "high" is not a page's severity`:                 func(c *pagerduty.Config) { c.SeverityMap = map[string]string{"high": "error"} },
		`severity_map.error: "P1" is not a severity PagerDuty knows`:         func(c *pagerduty.Config) { c.SeverityMap = map[string]string{"error": "P1"} },
		"webhook_secret_files[0]: name the file that holds the subscription": func(c *pagerduty.Config) { c.WebhookSecretFiles = []config.SecretFile{""} },
		"api_url: an account is either in the EU or not": func(c *pagerduty.Config) {
			c.EventsURL, c.APITokenFile, c.From = "https://events.eu.pagerduty.com", "token", "bot@example.org"
		},
	} {
		c := section(t, "https://events.pagerduty.com", fakepagerduty.DefaultKey)
		wrong(c)
		require.ErrorContains(t, c.Validate(), want)
	}
	c := section(t, "https://events.eu.pagerduty.com", fakepagerduty.DefaultKey)
	require.NoError(t, c.Validate(), "without a token the REST API is not used")
	c.APIURL = "https://api.eu.pagerduty.com"
	c.SeverityMap = map[string]string{"error": "critical", "info": "warning"}
	require.NoError(t, c.Validate())

	c.WebhookSecretFiles = []config.SecretFile{"/nowhere/secret"}
	c.APITokenFile = "/nowhere/token"
	_, err := pagerduty.Kind().New(c, notify.Deps{Name: "ops"})
	require.ErrorContains(t, err, "webhook_secret_files[0]: ")
	require.ErrorContains(t, err, "api_token_file: ")
}

func TestSeverityMap(t *testing.T) {
	s := set(t, fakepagerduty.Options{}, func(c *pagerduty.Config) { c.SeverityMap = map[string]string{"error": "critical", "info": "warning"} })
	for severity, want := range map[page.Severity]string{
		page.Critical: "critical", page.Error: "critical", page.Warning: "warning", page.Info: "warning", "strange": "warning",
	} {
		p := notifytest.Page()
		p.Problem, p.Severity = string(severity), severity
		_, err := s.Notify(t.Context(), s.message(p, notify.VerbOpen, page.Receipt{Delivery: strings.Repeat("d", 20) + string(severity)}))
		require.NoError(t, err)
		in := s.Ledger().Incidents
		require.Equal(t, want, in[len(in)-1].Severity, severity)
	}
}

func TestCheck(t *testing.T) {
	s := set(t, fakepagerduty.Options{})
	c := s.Notifier.(notify.Checker)
	require.NoError(t, c.Check(t.Context()))
	require.Zero(t, s.pages(), "it tells nobody")
	s.faults(fault.Fault{Kind: fault.Status, Status: 401, Path: "incidents", Body: `{"error":{"code":2006,"message":"no such token"}}`})
	require.ErrorContains(t, c.Check(t.Context()), "list incidents: status 401: no such token (2006)")

	wrong := section(t, "http://127.0.0.1:1", strings.Repeat("f", 32))
	n, err := pagerduty.Kind().New(wrong, notify.Deps{Name: "ops", Transport: &http.Transport{}, Now: s.clock})
	require.NoError(t, err)
	require.ErrorContains(t, n.(notify.Checker).Check(t.Context()), "enqueue event")
}

// Every status of the REST API is sorted; none shows the token.
func TestStatusesOfREST(t *testing.T) {
	for status := 300; status < 600; status++ {
		if http.StatusText(status) == "" || status == http.StatusNotModified {
			continue
		}
		s := set(t, fakepagerduty.Options{})
		s.faults(fault.Fault{Kind: fault.Status, Status: status, Path: "incidents", Body: `{"error":{"code":1,"message":"` + fakepagerduty.DefaultAPIToken + `"}}`})
		err := s.Notifier.(notify.Checker).Check(t.Context())
		require.ErrorContains(t, err, "status")
		require.NotContains(t, err.Error(), fakepagerduty.DefaultAPIToken)
	}
}
