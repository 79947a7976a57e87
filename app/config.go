package app

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/store/bolt"
)

// Config is the whole file. Its doc tags are the reference (docs/reference/config.md)
// and the words of the JSON Schema.
type Config struct {
	Listen               string            `yaml:"listen" doc:"Address of the webhook, /metrics and health."`
	WebConfigFile        config.SecretFile `yaml:"web_config_file" doc:"Prometheus web config file (TLS, client certificates, basic auth users) for both listeners. rate_limit is refused: Alertmanager never retries its 429."`
	AllowUnauthenticated bool              `yaml:"allow_unauthenticated" doc:"Accept webhooks without credentials on an address beyond loopback. Anyone who reaches it can page you."`
	PublicURL            string            `yaml:"public_url" doc:"Address people reach Tocsin at, for links on the page."`
	Alertmanagers        []Alertmanager    `yaml:"alertmanagers" need:"true" doc:"The clusters that send webhooks."`
	Operators            Operators         `yaml:"operators" doc:"The operators' listener: API, reload. Webhook tokens change nothing there."`
	Store                Store             `yaml:"store" doc:"Where state is kept."`
	Sources              []Part            `yaml:"sources" doc:"Who is asked what the failing share."`
	Traits               Traits            `yaml:"traits" doc:"What labels mean here."`
	Deadline             Deadline          `yaml:"deadline" doc:"When a page leaves at the latest, with whatever is known."`
	LastResort           *Part             `yaml:"last_resort" doc:"Target of what no receiver takes: Tocsin's own alarms, webhooks for receivers that are not below."`
	Receivers            []Receiver        `yaml:"receivers" need:"true" doc:"By Alertmanager's receiver name: who is told."`
	Tracing              Tracing           `yaml:"tracing" doc:"OpenTelemetry traces; off unless an endpoint is set."`
}

// Alertmanager is one cluster of Alertmanagers, however many peers it has.
type Alertmanager struct {
	Name              string              `yaml:"name" need:"true" doc:"Name of the cluster, part of every problem's identity: keep it."`
	URL               string              `yaml:"url" doc:"Address of its API v2, to ask whether a late alert is real."`
	InboundTokenFiles []config.SecretFile `yaml:"inbound_token_files" doc:"Bearer tokens its webhooks may carry; two while one is rotated."`
	InboundUsers      []string            `yaml:"inbound_users" doc:"Basic auth users of web_config_file that are this cluster."`
	InboundCerts      []string            `yaml:"inbound_certs" doc:"Names in client certificates (DNS name or common name) that are this cluster."`
}

// Operators is the listener for people and scripts.
type Operators struct {
	Listen string     `yaml:"listen" doc:"Address of the operators' listener."`
	Tokens []Operator `yaml:"tokens" doc:"Who may use it. Without tokens it must stay on loopback."`
}

// Operator is one bearer token of the operators' listener.
type Operator struct {
	Name      string            `yaml:"name" need:"true" doc:"Who it is, for the log."`
	Role      string            `yaml:"role" doc:"viewer reads; operator also acts."`
	TokenFile config.SecretFile `yaml:"token_file" need:"true" doc:"File with the token."`
}

// Store chooses the engine; exactly one is set.
type Store struct {
	Bolt bolt.Config `yaml:"bolt" doc:"One bbolt file: nothing else to run."`
}

// Part names a kind, gives it a name, and holds its own section.
type Part struct {
	Kind string         `yaml:"kind" need:"true" doc:"One of the kinds below."`
	Name string         `yaml:"name" need:"true" doc:"Name in logs, metrics and receipts: keep it."`
	With config.Section `yaml:"with" doc:"The kind's own keys."`
}

// Traits says what labels mean in this installation.
type Traits struct {
	Roles  map[string][]string `yaml:"roles" doc:"Role to the labels that play it, best first: host, deploy, user, datacentre, or your own."`
	Redact []string            `yaml:"redact" doc:"Roles whose values never leave Tocsin."`
}

// Deadline is how long after its acceptance a page leaves at the latest.
type Deadline struct {
	Critical config.Duration `yaml:"critical" doc:"For severity critical."`
	Other    config.Duration `yaml:"other" doc:"For every other severity."`
}

// Receiver is one of Alertmanager's receivers.
type Receiver struct {
	Name   string `yaml:"name" need:"true" doc:"Alertmanager's receiver name."`
	Notify []Part `yaml:"notify" need:"true" doc:"Its targets; each is told once."`
}

// Tracing is where traces go.
type Tracing struct {
	OTLPEndpoint string  `yaml:"otlp_endpoint" doc:"OTLP/HTTP address, http://collector:4318. Empty: no traces."`
	SampleRatio  float64 `yaml:"sample_ratio" doc:"Share of webhooks traced."`
}

// DefaultConfig is what a key that is not written means.
func DefaultConfig() *Config {
	return &Config{
		Listen:    "127.0.0.1:9095",
		Operators: Operators{Listen: "127.0.0.1:9096"},
		Store:     Store{Bolt: bolt.Config{Path: "data/tocsin.db"}},
		Traits: Traits{Roles: map[string][]string{
			"host":       {"host", "node", "instance"},
			"deploy":     {"deploy", "deploy_id", "version"},
			"user":       {"user", "tenant"},
			"datacentre": {"datacentre", "dc", "zone"},
		}},
		Deadline: Deadline{Critical: config.Duration(5 * time.Second), Other: config.Duration(10 * time.Second)},
		Tracing:  Tracing{SampleRatio: 1},
	}
}

// maxTargets keeps one problem's batch within store.MaxOps.
const maxTargets = 80

// Validate says what is wrong with c by itself; what its kinds say comes after.
func (c *Config) Validate() error {
	errs := []error{c.validateDoors(), c.validateReceivers()}
	if c.Deadline.Critical < 0 || c.Deadline.Other < 0 {
		errs = append(errs, config.Bad("deadline", "a deadline cannot be negative; 0s sends at once"))
	}
	if c.Deadline.Critical.D() > time.Minute || c.Deadline.Other.D() > time.Minute {
		errs = append(errs, config.Bad("deadline", "a page that may wait more than 1m misses what Tocsin is for; write 5s"))
	}
	for _, role := range c.Traits.Redact {
		if _, ok := c.Traits.Roles[role]; !ok {
			errs = append(errs, config.Bad("traits.redact", "role %q is not among traits.roles", role))
		}
	}
	if c.Tracing.SampleRatio < 0 || c.Tracing.SampleRatio > 1 {
		errs = append(errs, config.Bad("tracing.sample_ratio", "must be between 0 and 1"))
	}
	errs = append(errs, uniqueParts("sources", c.Sources)...)
	return errors.Join(errs...)
}

func (c *Config) validateDoors() error {
	var errs []error
	if c.PublicURL != "" && !webURL(c.PublicURL) {
		errs = append(errs, config.Bad("public_url", "write it as https://tocsin.example.org"))
	}
	if len(c.Alertmanagers) == 0 {
		errs = append(errs, config.Bad("alertmanagers", "name at least one cluster: - {name: dc1, url: http://alertmanager:9093, inbound_token_files: [am-dc1.token]}"))
	}
	names := map[string]bool{}
	for i, am := range c.Alertmanagers {
		at := index("alertmanagers", i)
		switch {
		case am.Name == "":
			errs = append(errs, config.Bad(at+".name", "give the cluster a name"))
		case am.Name == "tocsin":
			errs = append(errs, config.Bad(at+".name", "%q is the name of Tocsin's own alarms; choose another", am.Name))
		case names[am.Name]:
			errs = append(errs, config.Bad(at+".name", "%q stands twice: two peers of one cluster are one entry", am.Name))
		}
		names[am.Name] = true
		if am.URL != "" && !webURL(am.URL) {
			errs = append(errs, config.Bad(at+".url", "write it as http://alertmanager:9093"))
		}
		if (len(am.InboundUsers) > 0 || len(am.InboundCerts) > 0) && c.WebConfigFile == "" {
			errs = append(errs, config.Bad(at, "inbound_users and inbound_certs need web_config_file, which checks them"))
		}
	}
	for i, op := range c.Operators.Tokens {
		at := index("operators.tokens", i)
		if op.Name == "" || op.TokenFile == "" {
			errs = append(errs, config.Bad(at, "write name and token_file"))
		}
		if !slices.Contains([]string{"", "viewer", "operator"}, op.Role) {
			errs = append(errs, config.Bad(at+".role", "%q is no role; write viewer or operator", op.Role))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateReceivers() error {
	var errs []error
	if len(c.Receivers) == 0 {
		errs = append(errs, config.Bad("receivers", "name at least one receiver, as Alertmanager calls it"))
	}
	names := map[string]bool{}
	for i, r := range c.Receivers {
		at := index("receivers", i)
		switch {
		case r.Name == "":
			errs = append(errs, config.Bad(at+".name", "write Alertmanager's receiver name"))
		case names[r.Name]:
			errs = append(errs, config.Bad(at+".name", "%q stands twice", r.Name))
		}
		names[r.Name] = true
		if len(r.Notify) == 0 {
			errs = append(errs, config.Bad(at+".notify", "a receiver without targets tells nobody; add one"))
		}
		if len(r.Notify) > maxTargets {
			errs = append(errs, config.Bad(at+".notify", "%d targets are more than %d", len(r.Notify), maxTargets))
		}
		errs = append(errs, uniqueParts(at+".notify", r.Notify)...)
	}
	return errors.Join(errs...)
}

func uniqueParts(at string, parts []Part) []error {
	var errs []error
	names := map[string]bool{}
	for i, p := range parts {
		id := p.Kind + "/" + p.Name
		switch {
		case p.Name == "" || strings.ContainsAny(p.Name, "/ \t\n"):
			errs = append(errs, config.Bad(index(at, i)+".name", "give it a name without spaces and slashes"))
		case names[id]:
			errs = append(errs, config.Bad(index(at, i)+".name", "%s stands twice", id))
		}
		names[id] = true
	}
	return errs
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}
