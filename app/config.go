package app

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/store/etcd"
)

// Config is the whole file. Its doc tags are the reference (docs/reference/config.md)
// and the words of the JSON Schema.
type Config struct {
	Listen               string            `yaml:"listen" doc:"Address of the webhook, /metrics and health."`
	WebConfigFile        config.SecretFile `yaml:"web_config_file" doc:"Prometheus web config file (TLS, client certificates, basic auth users) for both listeners. rate_limit is refused: Alertmanager never retries its 429."`
	AllowUnauthenticated bool              `yaml:"allow_unauthenticated" doc:"Accept webhooks without credentials on an address beyond loopback. Anyone who reaches it can page you."`
	PublicURL            string            `yaml:"public_url" doc:"Address at which people reach the operators' listener, through your proxy or SSO: messages link to the problem's own page there. Empty: no such link."`
	Alertmanagers        []Alertmanager    `yaml:"alertmanagers" need:"true" doc:"The clusters that send webhooks."`
	Operators            Operators         `yaml:"operators" doc:"The operators' listener: API, reload. Webhook tokens change nothing there."`
	Changes              Changes           `yaml:"changes" doc:"Who may report changes at /webhook/changes, beside those who may send webhooks."`
	Store                Store             `yaml:"store" doc:"Where state is kept."`
	Sources              []Part            `yaml:"sources" doc:"Who is asked what the failing share."`
	Traits               Traits            `yaml:"traits" doc:"What labels mean here."`
	Prewarm              Prewarm           `yaml:"prewarm" doc:"What is asked before there is a page, so that its first message has its context (docs/prewarm.md)."`
	Deadline             Deadline          `yaml:"deadline" doc:"When a page leaves at the latest, with whatever is known."`
	Storms               Storms            `yaml:"storms" doc:"When new problems are too many to tell of each."`
	Flapping             Flapping          `yaml:"flapping" doc:"Problems that come and go."`
	Silences             Silences          `yaml:"silences" doc:"What people may silence from a page."`
	LastResort           *Part             `yaml:"last_resort" doc:"Target of what no receiver takes: Tocsin's own alarms, webhooks for receivers that are not below."`
	Fallbacks            []Part            `yaml:"fallbacks" doc:"Targets that are told of nothing by themselves, only in the place of those that name them as fallback."`
	Receivers            []Receiver        `yaml:"receivers" need:"true" doc:"By Alertmanager's receiver name: who is told."`
	Remediation          Remediation       `yaml:"remediation" doc:"What machines may do about problems, under guard (docs/remediation.md). Nothing acts unless a receiver names a policy."`
	Apps                 Apps              `yaml:"apps" doc:"What layers of rules set for single apps beside their rules: how far policies go, how long pages wait."`
	Owners               []Owner           `yaml:"owners" doc:"Whose problems are, and whom to mention for them: the first that matches. Without a match the alerts' label owner or team names the owner."`
	Canary               Canary            `yaml:"canary" doc:"Tocsin tries itself."`
	Heartbeat            Heartbeat         `yaml:"heartbeat" doc:"Tocsin tells somebody outside that it is well."`
	People               []Person          `yaml:"people" doc:"Who may press which buttons at Slack and PagerDuty. Without people everybody who can reach the channel may do what a responder may."`
	Tracing              Tracing           `yaml:"tracing" doc:"OpenTelemetry traces; off unless an endpoint is set."`
}

// Alertmanager is one cluster of Alertmanagers, however many peers it has.
type Alertmanager struct {
	Name              string              `yaml:"name" need:"true" doc:"Name of the cluster, part of every problem's identity: keep it."`
	URL               string              `yaml:"url" doc:"Address of its API v2: asked whether a late alert is real, and, at a start and after trouble, what fires."`
	InboundTokenFiles []config.SecretFile `yaml:"inbound_token_files" doc:"Bearer tokens its webhooks may carry; two while one is rotated."`
	InboundUsers      []string            `yaml:"inbound_users" doc:"Basic auth users of web_config_file that are this cluster."`
	InboundCerts      []string            `yaml:"inbound_certs" doc:"Names in client certificates (DNS name or common name) that are this cluster."`
	Watchdog          Watchdog            `yaml:"watchdog" doc:"The heartbeat that is expected of it."`
}

// Operators is the listener for people and scripts.
type Operators struct {
	Listen string     `yaml:"listen" doc:"Address of the operators' listener."`
	Tokens []Operator `yaml:"tokens" doc:"Who may use it. Without tokens it must stay on loopback."`
}

// Operator is one bearer token of the operators' listener.
type Operator struct {
	Name      string            `yaml:"name" need:"true" doc:"Who it is, for the log."`
	Role      string            `yaml:"role" enum:"viewer,operator" doc:"viewer reads; operator also acts."`
	TokenFile config.SecretFile `yaml:"token_file" need:"true" doc:"File with the token."`
}

// Changes says who may report changes.
type Changes struct {
	GitHubSecretFiles []config.SecretFile `yaml:"github_secret_files" doc:"Secrets of webhooks at GitHub (content type application/json, events deployment and deployment_status): what they signed needs no other credentials. Two while one is rotated."`
}

// Store chooses the engine, of which exactly one is set, and how long what is
// over is kept.
type Store struct {
	Bolt bolt.Config `yaml:"bolt" doc:"One bbolt file: nothing else to run. This is what is used if nothing is written."`
	Etcd etcd.Config `yaml:"etcd" doc:"An etcd cluster that is there already: two or more replicas of Tocsin share it."`

	Retention config.Duration `yaml:"retention" doc:"How long problems that are over are kept, with their pages and receipts, and work for targets that are no longer configured. 0s: for ever."`
	History   string          `yaml:"history" doc:"File to which problems are appended as JSON lines before they go; at 64 MiB it is renamed to FILE.TIME and begun anew. Empty: they are not kept."`
}

// Part names a kind, gives it a name, and holds its own section.
type Part struct {
	Kind string         `yaml:"kind" need:"true" doc:"One of the kinds below."`
	Name string         `yaml:"name" need:"true" doc:"Name in logs, metrics and receipts: keep it."`
	With config.Section `yaml:"with" doc:"The kind's own keys."`
}

// Traits says what labels mean in this installation.
type Traits struct {
	Roles  Roles    `yaml:"roles" doc:"Role to the labels that play it, best first: host, deploy, user, datacentre, or your own. What is written replaces all of the default."`
	Redact []string `yaml:"redact" doc:"Roles whose values never leave Tocsin."`

	Exemplars enrich.Traces `yaml:"exemplars" doc:"Single events that sources over Prometheus keep beside their counts: links to their traces, and what only they carry."`
}

// Roles are labels by the role they play.
type Roles map[string][]string

// UnmarshalYAML reads the roles in place of those that are there: merged with
// the default ones, a role could not be taken away.
func (r *Roles) UnmarshalYAML(n *yaml.Node) error {
	fresh := map[string][]string{}
	if err := n.Decode(&fresh); err != nil {
		return err
	}
	*r = fresh
	return nil
}

// Deadline is how long after its acceptance a page leaves at the latest.
type Deadline struct {
	Critical config.Duration `yaml:"critical" doc:"For severity critical."`
	Other    config.Duration `yaml:"other" doc:"For every other severity."`
}

// Prewarm is how pending alerts are asked for ahead of their pages.
type Prewarm struct {
	Poll    config.Duration `yaml:"poll" doc:"How often sources with http are asked for pending alerts; 0s: never."`
	Lead    config.Duration `yaml:"lead" doc:"How long before its for is over a pending alert is looked at."`
	Max     int             `yaml:"max" doc:"Pending alerts that are looked at in one poll, the most severe first."`
	GroupBy []string        `yaml:"group_by" doc:"group_by of Alertmanager's routes, for alerts of which no page was seen yet; later it is learned from their webhooks."`
}

// Receiver is one of Alertmanager's receivers.
type Receiver struct {
	Name   string   `yaml:"name" need:"true" doc:"Alertmanager's receiver name."`
	Shadow bool     `yaml:"shadow" doc:"true: everything is done but the sending, to run beside today's receiver; tocsin shadow report tells what would have been sent. An episode that was sent before goes on being sent to its end; when the receiver leaves the shadow, what is open is sent."`
	Notify []Target `yaml:"notify" need:"true" doc:"Its targets; each is told once."`

	Remediate []string `yaml:"remediate" doc:"Names of the policies (remediation.policies) that may act on its problems."`
}

// Target is a part that tells people, and who does when it cannot.
type Target struct {
	Part     `yaml:",inline"`
	Fallback []string `yaml:"fallback" doc:"Names of the targets (as name, or as kind/name) that are told, in order, of a critical page which this one does not take within a minute; last_resort comes after them, where no target of the receiver was told. They may stand in any receiver or in fallbacks."`
}

// Owner is somebody whose problems some are.
type Owner struct {
	Name  string            `yaml:"name" need:"true" doc:"How the owner is called. An alert's label owner or team may say it too."`
	Match map[string]string `yaml:"match" doc:"Labels that all alerts of the problem have."`
	Slack string            `yaml:"slack" doc:"ID of the Slack user (U0123ABCD) or user group (S0123ABCD) that is mentioned. Nothing else is ever mentioned."`
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
		Store:     Store{Bolt: bolt.DefaultConfig(), Etcd: etcd.Config{Prefix: etcd.DefaultPrefix}, Retention: config.Duration(30 * 24 * time.Hour)},
		Traits: Traits{Roles: Roles{
			"host":       {"host", "node", "instance"},
			"deploy":     {"deploy", "deploy_id", "version"},
			"user":       {"user", "tenant"},
			"datacentre": {"datacentre", "dc", "zone"},
			"operation":  {"operation"},
		}, Exemplars: enrich.DefaultTraces()},
		Prewarm: Prewarm{
			Poll: config.Duration(5 * time.Second), Lead: config.Duration(20 * time.Second), Max: 100,
			GroupBy: []string{"alertname", "cluster", "service"},
		},
		Deadline: Deadline{Critical: config.Duration(5 * time.Second), Other: config.Duration(10 * time.Second)},
		Canary:   Canary{Every: config.Duration(time.Minute)}, Heartbeat: Heartbeat{Every: config.Duration(time.Minute)},
		Storms: defaultStorms(), Flapping: defaultFlapping(), Silences: Silences{Max: config.Duration(24 * time.Hour)},
		Tracing: Tracing{SampleRatio: 1},
	}
}
