package world

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/lab/expressions"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
)

// Plan is where everything listens and how it is set: all that the world's
// config files are made from.
type Plan struct {
	Settings      ttn.Settings
	Fleet         string
	Slack         string
	PagerDuty     string
	Tocsin        string
	Operators     string
	Prometheus    []string
	Alertmanagers []string
	Gossip        []string // of the Alertmanagers, where there are two
	Sidecars      []Thanos // one per Prometheus, none without Thanos
	Query         Thanos   // zero without Thanos
	Channel       string   // of the fake Slack
	SecretFiles   Secrets
	Expressions   []expressions.Expression // the rules, in place of the lab's own three; nil: those
	Services      []string                 // that the rules of Expressions are made for
	RuleFiles     []string                 // beside rules.yml
	Native        bool                     // Prometheus scrapes native histograms, as with Expressions
	AWX           string                   // "": nothing is remediated
	Remediate     []string                 // policies of policies.yml that the receiver names
}

// Thanos is the two addresses of a Thanos component.
type Thanos struct{ GRPC, HTTP string }

// Secrets are the files that hold them, relative to the run folder.
type Secrets struct {
	Alertmanager, Operator           string
	Slack, SlackApp                  string // tokens of the bot and of Socket Mode
	SlackSigning                     string // of clicks, where they come by HTTP
	PagerDuty, PagerDutySpare        string // integration keys of the service and of the one that stands in
	PagerDutyToken, PagerDutyWebhook string // of the REST API and of the subscription
	AWX                              string // token of the account
}

// SecretsIn names the files in a folder.
func SecretsIn(dir string) Secrets {
	return Secrets{
		Alertmanager: dir + "/alertmanager", Operator: dir + "/operator",
		Slack: dir + "/slack", SlackApp: dir + "/slack-app", SlackSigning: dir + "/slack-signing",
		PagerDuty: dir + "/pagerduty", PagerDutySpare: dir + "/pagerduty-spare",
		PagerDutyToken: dir + "/pagerduty-token", PagerDutyWebhook: dir + "/pagerduty-webhook",
		AWX: dir + "/awx",
	}
}

// Manned reports whether people may look at the world: buttons work, services
// call back, somebody stands in for Slack, and the watchdog is awake. A world
// that only counts pages has none of it.
func (p Plan) Manned() bool { return len(p.Alertmanagers) > 0 && p.Expressions == nil }

// Querier is the address that answers PromQL for people: Thanos where there is one.
func (p Plan) Querier() string {
	if p.Query.HTTP != "" {
		return "http://" + p.Query.HTTP
	}
	if len(p.Prometheus) > 0 {
		return "http://" + p.Prometheus[0]
	}
	return ""
}

// Replica names a Prometheus replica: a, b.
func Replica(i int) string { return string(rune('a' + i)) }

//go:embed templates
var templates embed.FS

// Files renders the config files, by name.
func (p Plan) Files() (map[string][]byte, error) {
	t, err := template.New("").Funcs(template.FuncMap{
		"dur":     func(d time.Duration) string { return model.Duration(d).String() },
		"percent": func(f float64) string { return fmt.Sprintf("%g %%", 100*f) },
		"join":    strings.Join,
		"userID":  fakepagerduty.UserID,
	}).ParseFS(templates, "templates/*.tmpl")
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	render := func(file, name string, data any) {
		var b bytes.Buffer
		if err == nil {
			err = t.ExecuteTemplate(&b, name+".tmpl", data)
		}
		out[file] = b.Bytes()
	}
	for i := range p.Prometheus {
		render("prometheus-"+Replica(i)+".yml", "prometheus.yml", struct {
			Plan
			Replica string
			Timeout time.Duration
		}{p, Replica(i), min(p.Settings.Scrape, 10*time.Second)})
	}
	switch {
	case len(p.Prometheus) == 0:
	case p.Expressions != nil:
		rules, e := expressions.Rules(p.Expressions, p.Services, p.Settings.Eval, p.Settings.ForState)
		out["rules.yml"], err = rules, cmp.Or(err, e)
	default:
		render("rules.yml", "rules.yml", struct {
			Plan
			AlertErrors, AlertLatency, AlertDown string
			LatencyBound                         float64
		}{p, scenario.AlertErrors, scenario.AlertLatency, scenario.AlertDown, ttn.LatencyBound})
	}
	if len(p.Alertmanagers) > 0 {
		render("alertmanager.yml", "alertmanager.yml", p)
	}
	render("tocsin.yml", "tocsin.yml", p)
	return out, err
}
