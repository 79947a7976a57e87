package openapi

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/exporters/openapi/observe"
	"github.com/tocsin/tocsin/exporters/openapi/probe"
	"github.com/tocsin/tocsin/exporters/openapi/values"
)

// Probe asks a service what its document says it answers.
type Probe struct {
	// Targets are base URLs that are asked every interval.
	Targets []string `yaml:"targets"`
	// Allow are base URLs that /probe may be asked for beside those: https://*.example.org is every host below.
	Allow []string `yaml:"allow"`
	// Interval between two rounds.
	Interval time.Duration `yaml:"interval"`
	// Timeout of one request.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is how many requests a target has at a time.
	Concurrency int `yaml:"concurrency"`
	// MaxBody of an answer in bytes; a longer one is a failure.
	MaxBody int64 `yaml:"max_body"`
	// Skip are operations that are not asked.
	Skip []string `yaml:"skip"`
	// Unsafe are operations that are asked though they are no GET or HEAD.
	Unsafe []string `yaml:"unsafe"`
	// Parameters are values by operation and name, before the document's examples; * is every operation that requires it.
	Parameters map[string]map[string]string `yaml:"parameters"`
	// BearerTokenFile is sent as Authorization: Bearer.
	BearerTokenFile string `yaml:"bearer_token_file"`
	// BasicAuth is sent as Authorization: Basic.
	BasicAuth BasicAuth `yaml:"basic_auth"`
	// HeaderFiles are headers by name, and files of their values.
	HeaderFiles map[string]string `yaml:"header_files"`
	// CAFile has the certificates that are trusted instead of the system's.
	CAFile string `yaml:"ca_file"`
	// InsecureSkipVerify trusts any certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
	// LinkLocal allows link-local and metadata addresses.
	LinkLocal bool `yaml:"link_local"`
}

// BasicAuth is a user with a password.
type BasicAuth struct {
	// Username is sent.
	Username string `yaml:"username"`
	// PasswordFile has the password.
	PasswordFile string `yaml:"password_file"`
}

// Values makes metrics of what is answered.
type Values struct {
	// Sample reads what the proxy samples too.
	Sample bool `yaml:"sample"`
	// MaxSeries of one metric in one answer.
	MaxSeries int `yaml:"max_series"`
	// MaxElements of one array or map.
	MaxElements int `yaml:"max_elements"`
	// MaxLabel in bytes.
	MaxLabel int `yaml:"max_label"`
	// Stale is when series vanish that no answer had again.
	Stale time.Duration `yaml:"stale"`
	// Metrics of documents that are not annotated.
	Metrics []values.Metric `yaml:"metrics"`
}

func (p *Probe) defaults(folder string) {
	if p == nil {
		return
	}
	setDefault(&p.Interval, time.Minute)
	setDefault(&p.Timeout, min(5*time.Second, p.Interval))
	setDefault(&p.Concurrency, 4)
	setDefault(&p.MaxBody, 4<<20)
	files := []*string{&p.BearerTokenFile, &p.BasicAuth.PasswordFile, &p.CAFile}
	for _, file := range files {
		*file = within(folder, *file)
	}
	for name, file := range p.HeaderFiles {
		p.HeaderFiles[name] = within(folder, file)
	}
}

func (v *Values) defaults() {
	if v == nil {
		return
	}
	setDefault(&v.MaxSeries, 1000)
	setDefault(&v.MaxElements, 10_000)
	setDefault(&v.MaxLabel, 128)
	setDefault(&v.Stale, 5*time.Minute)
}

func setDefault[T comparable](field *T, value T) {
	var none T
	if *field == none {
		*field = value
	}
}

func within(folder, file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(folder, file)
}

func (p *Probe) check() error {
	if p == nil {
		return nil
	}
	var err error
	wrong := func(format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("probe."+format, args...))
	}
	if len(p.Targets)+len(p.Allow) == 0 {
		wrong("targets and allow: there is none, so nothing may be asked")
	}
	for i, target := range p.Targets {
		if e := probe.CheckTarget(target); e != nil {
			wrong("targets: %w", e)
		} else if strings.Contains(target, "*") {
			wrong("targets: target %q: * is for allow", target)
		}
		if slices.Contains(p.Targets[:i], target) {
			wrong("targets: %q stands there twice", target)
		}
	}
	for _, target := range p.Allow {
		if e := probe.CheckTarget(target); e != nil {
			wrong("allow: %w", e)
		}
	}
	if p.Interval < time.Second {
		wrong("interval: less than 1s")
	}
	if p.Timeout < 0 || p.Timeout > p.Interval {
		wrong("timeout: not between 0 and the interval %v", p.Interval)
	}
	if p.Concurrency < 1 || p.Concurrency > 64 {
		wrong("concurrency: not between 1 and 64")
	}
	if p.MaxBody < 1 || p.MaxBody > 64<<20 {
		wrong("max_body: not between 1 and 64 MiB")
	}
	if (p.BasicAuth.Username == "") != (p.BasicAuth.PasswordFile == "") {
		wrong("basic_auth: username and password_file belong together")
	}
	if p.BearerTokenFile != "" && p.BasicAuth.Username != "" {
		wrong("bearer_token_file: basic_auth is set too")
	}
	for name, file := range p.HeaderFiles {
		if !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(name) || file == "" {
			wrong("header_files: %q: a header's name and a file", name)
		}
	}
	return err
}

// checkValues says what is wrong with the values of a service.
func (s *Service) checkValues() error {
	v := s.Values
	if v == nil {
		return nil
	}
	var err error
	wrong := func(format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("values."+format, args...))
	}
	switch {
	case v.Sample && (s.Proxy == nil || *s.Sample.Ratio == 0):
		wrong("sample: answers are sampled of a proxy only, with a sample.ratio above 0")
	case !v.Sample && s.Probe == nil:
		wrong("sample: is false, and there is no probe: nothing would be read")
	}
	for _, limit := range []struct {
		name       string
		is, atMost int
	}{{"max_series", v.MaxSeries, 100_000}, {"max_elements", v.MaxElements, 1_000_000}, {"max_label", v.MaxLabel, 1024}} {
		if limit.is < 1 || limit.is > limit.atMost {
			wrong("%s: not between 1 and %d", limit.name, limit.atMost)
		}
	}
	if v.Stale < time.Second || s.Probe != nil && len(s.Probe.Targets) > 0 && v.Stale < s.Probe.Interval {
		wrong("stale: less than 1s, or than probe.interval: series would come and go")
	}
	for i, m := range v.Metrics {
		if e := m.Check(); e != nil {
			wrong("metrics[%d].%w", i, e)
		}
	}
	return err
}

func (s *Service) probe() probe.Options {
	p := s.Probe
	o := probe.Options{
		Service: s.Name, Targets: p.Targets, Interval: p.Interval, Timeout: p.Timeout, Concurrency: p.Concurrency, MaxBody: p.MaxBody,
		Allow: p.Allow, LinkLocal: p.LinkLocal, Skip: p.Skip, Unsafe: p.Unsafe, Parameters: map[string]string{}, CAFile: p.CAFile, Insecure: p.InsecureSkipVerify,
		Credentials: probe.Credentials{BearerFile: p.BearerTokenFile, User: p.BasicAuth.Username, PasswordFile: p.BasicAuth.PasswordFile, HeaderFiles: map[string]string{}},
	}
	for operation, parameters := range p.Parameters {
		for name, value := range parameters {
			o.Parameters[operation+" "+name] = value
		}
	}
	for name, file := range p.HeaderFiles {
		o.Credentials.HeaderFiles[http.CanonicalHeaderKey(name)] = file
	}
	return o
}

func (s *Service) values() values.Options {
	v := s.Values
	return values.Options{MaxSeries: v.MaxSeries, MaxElements: v.MaxElements, MaxLabel: v.MaxLabel, Stale: v.Stale, Metrics: v.Metrics}
}

// sampled gives what the proxy samples to who reads values.
type sampled struct{ *values.Service }

// Read is for observe.Observer.
func (s sampled) Read(a observe.Answer) {
	s.Take(values.Answer{Operation: a.Operation.ID, Code: a.Operation.Declared(a.Status), Body: a.Body, Part: a.Part})
}
