// Package thanos asks Thanos Query, or any server that speaks Prometheus' HTTP
// API, about the members of an alert: the failing and the healthy.
package thanos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// Config of one source. Of grpc and http one is enough: gRPC is the cheaper way
// to ask Thanos, HTTP knows the rules and is all that Prometheus has.
type Config struct {
	GRPC            string            `yaml:"grpc,omitempty" doc:"host:port of Thanos Query's gRPC API; queries go there when it is set"`
	HTTP            string            `yaml:"http,omitempty" doc:"address of Thanos Query, its frontend or Prometheus: queries when grpc is not set, rules, links"`
	ExternalURL     string            `yaml:"external_url,omitempty" doc:"address under which people open the server's graphs; default: http"`
	Timeout         config.Duration   `yaml:"timeout" doc:"longest time for the answer to one question, also past a page's deadline"`
	MaxSeries       int               `yaml:"max_series" doc:"most series that are read of one query's answer"`
	MaxBytes        int64             `yaml:"max_bytes" doc:"most bytes that are read of one query's answer"`
	PartialResponse bool              `yaml:"partial_response" doc:"take what Thanos has when a store does not answer; the page says so"`
	ReplicaLabels   []string          `yaml:"replica_labels" doc:"labels that tell replicas of one Prometheus apart: Thanos folds them, they are never traits"`
	DenyLabels      []string          `yaml:"deny_labels,omitempty" doc:"further labels that are never traits; they are summed over"`
	Baselines       []config.Duration `yaml:"baselines" doc:"how long before the alert its members are looked at too, after the page has left; [] for never"`
	Info            []Info            `yaml:"info" doc:"metrics whose labels that play a role are joined to members which lack them; [] for none"`
	TLS             *TLS              `yaml:"tls,omitempty" doc:"for gRPC, which is plain text without it, and for https with a CA or a certificate of your own"`
	BearerTokenFile config.SecretFile `yaml:"bearer_token_file,omitempty" doc:"file with a token that is sent with each request"`
	Basic           *Basic            `yaml:"basic_auth,omitempty" doc:"user name and password that are sent with each HTTP request"`
}

// TLS of the connections to a source.
type TLS struct {
	CAFile             config.SecretFile `yaml:"ca_file,omitempty" doc:"PEM file of the authorities to trust; default: the system's"`
	CertFile           config.SecretFile `yaml:"cert_file,omitempty" doc:"PEM file of the client certificate"`
	KeyFile            config.SecretFile `yaml:"key_file,omitempty" doc:"PEM file of the client certificate's key"`
	ServerName         string            `yaml:"server_name,omitempty" doc:"name that the server's certificate must carry; default: the host"`
	InsecureSkipVerify bool              `yaml:"insecure_skip_verify,omitempty" doc:"trust any certificate"`
}

// Basic is HTTP basic authentication.
type Basic struct {
	Username     string            `yaml:"username" doc:"user name"`
	PasswordFile config.SecretFile `yaml:"password_file" doc:"file with the password"`
}

// Kind is this kind's line on the menu.
func Kind() enrich.Kind { return enrich.Kind{Name: "thanos", Config: defaults, New: open} }

func defaults() any {
	return &Config{
		Timeout: config.Duration(20 * time.Second), MaxSeries: 20_000, MaxBytes: 64 << 20,
		PartialResponse: true, ReplicaLabels: []string{"replica", "prometheus_replica"},
		Info:      defaultInfo(),
		Baselines: []config.Duration{config.Duration(time.Hour), config.Duration(24 * time.Hour), config.Duration(7 * 24 * time.Hour)},
	}
}

// Validate says what is wrong with the section.
func (c *Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, config.Bad(field, format, args...)) }
	if c.GRPC == "" && c.HTTP == "" {
		bad("http", "is missing, and so is grpc: write one of them")
	}
	if err := validGRPC(c.GRPC); err != nil {
		errs = append(errs, err)
	}
	for field, u := range map[string]string{"http": c.HTTP, "external_url": c.ExternalURL} {
		if _, ok := page.WebURL(u); u != "" && !ok {
			bad(field, "is not an address: write it as http://thanos-query:10902")
		}
	}
	if c.Timeout <= 0 {
		bad("timeout", "must be longer than 0s")
	}
	if c.MaxSeries <= 0 {
		bad("max_series", "must be at least 1")
	}
	if c.MaxBytes <= 0 {
		bad("max_bytes", "must be at least 1")
	}
	if err := validInfo(c.Info); err != nil {
		errs = append(errs, err)
	}
	for _, d := range c.Baselines {
		if d.D() < time.Minute {
			bad("baselines", "must each be at least 1m")
		}
	}
	if c.BearerTokenFile != "" && c.Basic != nil {
		bad("basic_auth", "stands beside bearer_token_file: write one of them")
	}
	if c.BearerTokenFile != "" && c.GRPC != "" && c.TLS == nil {
		bad("tls", "is missing: gRPC would send the bearer token in plain text; write tls: {} to use the system's authorities")
	}
	if c.Basic != nil && (c.Basic.Username == "" || c.Basic.PasswordFile == "") {
		bad("basic_auth", "needs both username and password_file")
	}
	if c.TLS != nil && (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls.key_file", "and cert_file go together: write both or none")
	}
	return errors.Join(errs...)
}

// validGRPC refuses what is no host and port: gRPC would only find out with the
// first question.
func validGRPC(target string) error {
	if target == "" {
		return nil
	}
	if scheme, rest, ok := strings.Cut(target, "://"); ok && scheme != "dns" {
		host, _, _ := strings.Cut(rest, "/")
		return config.Bad("grpc", "is host:port, without %s://: write %s, and tls: {} beside it where the server has TLS; an address of HTTP goes into http", scheme, host)
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(target, "dns:///"))
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		return config.Bad("grpc", "%q is not host:port: write it as thanos-query:10901", target)
	}
	return nil
}

// Source asks one server.
type Source struct {
	name  string
	cfg   Config
	roles enrich.Roles
	now   func() time.Time
	ask   transport
	web   *prometheus.Client // nil where only gRPC is known
	rules *recordings
	sizes sizes
	plans plans
	mute  silence      // of exemplars
	held  held         // alerts
	link  *url.URL     // nil where nothing is
	close func() error // nil where nothing is held open
}

var (
	_ enrich.Source  = (*Source)(nil)
	_ enrich.Ruler   = (*Source)(nil)
	_ enrich.Linker  = (*Source)(nil)
	_ enrich.Checker = (*Source)(nil)
	_ enrich.Keyer   = (*Source)(nil)

	_ enrich.Resolver = (*Source)(nil)
)

// transport evaluates queries, at one time and over a span of time.
type transport interface {
	// Query calls each with every sample; the labels are sorted and reused. An
	// error comes with what was read before it.
	Query(ctx context.Context, text string, at time.Time, limits prometheus.Limits, each func([]page.Label, float64)) (prometheus.Answer, error)
	// Range does the same with every series and its points.
	Range(ctx context.Context, text string, from, to time.Time, step time.Duration, limits prometheus.Limits, each func([]page.Label, []prometheus.Point)) (prometheus.Answer, error)
}

func open(section any, d enrich.Deps) (enrich.Source, error) {
	c, ok := section.(*Config)
	if !ok {
		return nil, fmt.Errorf("section is a %T", section)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	secure, err := c.TLS.load()
	if err != nil {
		return nil, config.Under("tls", err)
	}
	s := &Source{name: d.Name, cfg: *c, roles: d.Roles, now: d.Now, sizes: sizes{known: map[string]sized{}}, plans: plans{known: map[string]plan{}}}
	if c.HTTP != "" {
		s.web, err = prometheus.New(prometheus.Options{
			URL: c.HTTP, Transport: c.transport(d.Transport, secure), Authorize: c.authorize, Params: c.params(),
		})
		if err != nil {
			return nil, config.Under("http", err)
		}
		s.ask = s.web
	}
	s.rules = &recordings{web: s.web, now: d.Now}
	if c.GRPC != "" {
		st, err := dial(c, secure)
		if err != nil {
			return nil, config.Under("grpc", err)
		}
		s.ask, s.close = st, st.conn.Close
	}
	if shown, ok := page.WebURL(firstOf(c.ExternalURL, c.HTTP)); ok {
		s.link, _ = url.Parse(shown) // WebURL parsed it
	}
	return s, nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// transport is the house's own, or one with this source's certificates.
func (c *Config) transport(house http.RoundTripper, secure *tls.Config) http.RoundTripper {
	if secure == nil {
		return house
	}
	own, ok := house.(*http.Transport)
	if !ok {
		own = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	own = own.Clone()
	own.TLSClientConfig = secure
	return own
}

// params are hints that Thanos takes and Prometheus ignores.
func (c *Config) params() url.Values {
	return url.Values{
		"dedup": {"true"}, "replicaLabels[]": c.ReplicaLabels,
		"partial_response": {strconv.FormatBool(c.PartialResponse)},
	}
}

// Check asks the server to evaluate a constant.
func (s *Source) Check(ctx context.Context) error {
	n := 0
	_, err := s.ask.Query(ctx, "vector(1)", s.now(), s.limits(), func([]page.Label, float64) { n++ })
	if err == nil && n != 1 {
		err = fmt.Errorf("vector(1) has %d samples, not 1", n)
	}
	return err
}

// Close ends the connection that is kept to the server. No question may be
// under way.
func (s *Source) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

func (s *Source) limits() prometheus.Limits {
	return prometheus.Limits{Series: s.cfg.MaxSeries, Bytes: s.cfg.MaxBytes}
}

// Link opens a query in the server's own graph page, at the time it was asked for.
func (s *Source) Link(query string, at time.Time) string {
	if s.link == nil {
		return ""
	}
	u := s.link.JoinPath("graph")
	u.RawQuery = url.Values{
		"g0.expr": {query}, "g0.tab": {"1"}, "g0.moment_input": {at.UTC().Format(time.DateTime)},
	}.Encode()
	return u.String()
}

// Expr finds the rule of an alert among the server's own.
func (s *Source) Expr(ctx context.Context, alertname string, labels page.Labels) (string, error) {
	if s.web == nil {
		return "", fmt.Errorf("list rules: %w is known: http is not configured", enrich.ErrNoRule)
	}
	rules, err := s.web.Rules(ctx, alertname)
	if err != nil {
		return "", err
	}
	best, most, unsure := "", -1, false
	for _, r := range rules {
		n, fits := fitting(r.Labels, labels)
		switch {
		case !fits || n < most:
		case n > most:
			best, most, unsure = r.Expr, n, false
		case r.Expr != best:
			unsure = true
		}
	}
	switch {
	case best == "":
		return "", fmt.Errorf("list rules: %w of this name fits", enrich.ErrNoRule)
	case unsure:
		return "", fmt.Errorf("list rules: %w alone fits, several of this name do", enrich.ErrNoRule)
	}
	return best, nil
}
