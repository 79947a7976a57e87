package pagerduty

import (
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// Config is the section of one PagerDuty service.
type Config struct {
	RoutingKeyFile     config.SecretFile   `yaml:"routing_key_file" need:"true" doc:"File with the integration key (32 characters) of an Events API v2 integration."`
	EventsURL          string              `yaml:"events_url" doc:"Base address of the Events API; https://events.eu.pagerduty.com for accounts in the EU."`
	SeverityMap        map[string]string   `yaml:"severity_map" doc:"What PagerDuty is told instead of a page's severity (critical, error, warning, info), in the same words: {error: critical}."`
	Acknowledge        bool                `yaml:"acknowledge" doc:"Acknowledge the incident when somebody takes the problem elsewhere (Slack, its page), so that PagerDuty stops escalating."`
	ChangeEvents       bool                `yaml:"change_events" doc:"Tell PagerDuty of the deploys a problem follows and of remediation runs, as change events of the service."`
	EventsPerMinute    float64             `yaml:"events_per_minute" doc:"Events a minute of this integration key: PagerDuty takes about 120, or more where it was asked for more."`
	APITokenFile       config.SecretFile   `yaml:"api_token_file" doc:"File with a REST API token: late context then becomes a note on the incident."`
	From               string              `yaml:"from" doc:"E-mail address of the PagerDuty user who writes those notes."`
	APIURL             string              `yaml:"api_url" doc:"Base address of the REST API; https://api.eu.pagerduty.com for accounts in the EU."`
	WebhookSecretFiles []config.SecretFile `yaml:"webhook_secret_files" doc:"Files with the signing secrets of a v3 webhook subscription: what people do in PagerDuty then shows elsewhere. Two while one is rotated."`
}

func defaults() *Config {
	return &Config{EventsURL: "https://events.pagerduty.com", APIURL: "https://api.pagerduty.com", Acknowledge: true, EventsPerMinute: 110}
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, config.Bad(field, format, args...)) }
	if c.EventsPerMinute <= 0 || c.EventsPerMinute > 600_000 {
		bad("events_per_minute", "%g: write 110, or what PagerDuty allows you", c.EventsPerMinute)
	}
	if c.RoutingKeyFile == "" {
		bad("routing_key_file", "name the file that holds the integration key")
	}
	if _, ok := page.WebURL(c.EventsURL); !ok {
		bad("events_url", "write it as https://events.pagerduty.com")
	}
	if _, ok := page.WebURL(c.APIURL); !ok {
		bad("api_url", "write it as https://api.pagerduty.com")
	}
	if european(c.EventsURL) != european(c.APIURL) && (c.APITokenFile != "" || european(c.APIURL)) {
		bad("api_url", "an account is either in the EU or not: write https://events.eu.pagerduty.com with https://api.eu.pagerduty.com, or https://events.pagerduty.com with https://api.pagerduty.com")
	}
	for _, from := range slices.Sorted(maps.Keys(c.SeverityMap)) {
		if !slices.Contains(severities(), from) {
			bad("severity_map."+from, "%q is not a page's severity: write %s", from, strings.Join(severities(), ", "))
		}
		if to := c.SeverityMap[from]; !slices.Contains(severities(), to) {
			bad("severity_map."+from, "%q is not a severity PagerDuty knows: write one of %s", to, strings.Join(severities(), ", "))
		}
	}
	switch a, err := mail.ParseAddress(c.From); {
	case c.APITokenFile != "" && c.From == "":
		bad("from", "write the e-mail address of a PagerDuty user: a note has an author")
	case c.APITokenFile == "" && c.From != "":
		bad("api_token_file", "name the file that holds a REST API token, or leave out from: notes are written with it")
	case c.From != "" && (err != nil || a.Address != c.From):
		bad("from", "%q is not an e-mail address: write it as oncall-bot@example.org", c.From)
	}
	for i, f := range c.WebhookSecretFiles {
		if f == "" {
			bad(fmt.Sprintf("webhook_secret_files[%d]", i), "name the file that holds the subscription's signing secret")
		}
	}
	return errors.Join(errs...)
}

func severities() []string {
	return []string{string(page.Critical), string(page.Error), string(page.Warning), string(page.Info)}
}

// european reports whether an address is of PagerDuty's service region EU.
func european(address string) bool {
	u, err := url.Parse(address)
	return err == nil && strings.HasSuffix(u.Hostname(), ".eu.pagerduty.com")
}

// secrets are what the files of a section hold.
type secrets struct {
	key      config.Secret
	token    config.Secret // "" where no notes are written
	webhooks []config.Secret
}

func (c *Config) read() (secrets, error) {
	var s secrets
	var errs []error
	read := func(field string, f config.SecretFile) config.Secret {
		secret, err := f.Read()
		if err != nil {
			errs = append(errs, config.Bad(field, "%v", err))
		}
		return secret
	}
	s.key = read("routing_key_file", c.RoutingKeyFile)
	if n := len(s.key.Reveal()); n != keyLength && len(errs) == 0 {
		errs = append(errs, config.Bad("routing_key_file", "an integration key has %d characters, the file's content has %d", keyLength, n))
	}
	if c.APITokenFile != "" {
		s.token = read("api_token_file", c.APITokenFile)
	}
	for i, f := range c.WebhookSecretFiles {
		s.webhooks = append(s.webhooks, read(fmt.Sprintf("webhook_secret_files[%d]", i), f))
	}
	return s, errors.Join(errs...)
}
