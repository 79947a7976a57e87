package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/exporters/openapi/logs"
	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/exporters/openapi/observe"
	"github.com/tocsin/tocsin/exporters/openapi/proxy"
)

// Config is the config file.
type Config struct {
	// Buckets of the classic histogram of durations, in seconds.
	Buckets []float64 `yaml:"buckets"`
	// Services are what is observed.
	Services []Service `yaml:"services"`
}

// Service is one API.
type Service struct {
	// Name is the label service.
	Name string `yaml:"name"`
	// Document is a file or a folder of them, from the config file's folder, or an http or https URL.
	Document string `yaml:"document"`
	// Root is the folder that a document's references may reach. Default: the document's own.
	Root string `yaml:"root"`
	// Bases are base paths instead of those of the document's servers.
	Bases []string `yaml:"bases"`
	// TrailingSlash is lenient, or strict where /pets and /pets/ are different paths.
	TrailingSlash string `yaml:"trailing_slash"`
	// Reload is how often the document is looked at. SIGHUP looks at once.
	Reload time.Duration `yaml:"reload"`
	// Sample says which requests are checked against the document.
	Sample Sample `yaml:"sample"`
	// Proxy stands in front of the service.
	Proxy *Proxy `yaml:"proxy"`
	// Logs are access logs of who stands in front of the service.
	Logs []Log `yaml:"logs"`
	// Probe asks the service.
	Probe *Probe `yaml:"probe"`
	// Values makes metrics of what is answered.
	Values *Values `yaml:"values"`
}

// Log is an access log that is followed.
type Log struct {
	// File is followed as it grows and is rotated.
	File string `yaml:"file"`
	// Format is combined, common, envoy, json, or a log_format of nginx.
	Format string `yaml:"format"`
	// Fields say what is where in JSON.
	Fields logs.Fields `yaml:"fields"`
}

// Sample says which requests are checked.
type Sample struct {
	// Ratio is the share of each operation's requests; 0 is none.
	Ratio *float64 `yaml:"ratio"`
	// PerSecond is the most of all operations together.
	PerSecond float64 `yaml:"per_second"`
	// BodyLimit in bytes: a longer body is not judged.
	BodyLimit int `yaml:"body_limit"`
}

// Proxy stands in front of a service.
type Proxy struct {
	// Listen is where requests come in.
	Listen string `yaml:"listen"`
	// Upstream is the service's http or https URL.
	Upstream string `yaml:"upstream"`
	// UpstreamHTTP2 speaks HTTP/2 without TLS to an http upstream, as gRPC needs it.
	UpstreamHTTP2 bool `yaml:"upstream_http2"`
	// MaxInFlight requests at a time, further ones are answered 503; 0 is no limit.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxBody of a request in bytes, a longer one is answered 413; 0 is no limit.
	MaxBody int64 `yaml:"max_body"`
	// HeaderTimeout for the first byte of an answer, then 504; 0 is none.
	HeaderTimeout time.Duration `yaml:"header_timeout"`
	// Drain is the time for requests under way at the end.
	Drain time.Duration `yaml:"drain"`
}

// Read reads a config file. Every error in it is told at once.
func Read(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c, err := Parse(data, filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// Parse reads a config, whose files are in folder.
func Parse(data []byte, folder string) (*Config, error) {
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(c.Services) == 0 {
		return nil, errors.New("services: there is none")
	}
	var err error
	if !slices.IsSorted(c.Buckets) {
		err = errors.New("buckets: not in ascending order")
	}
	names, listens := map[string]bool{}, map[string]bool{}
	for i := range c.Services {
		s := &c.Services[i]
		s.defaults(folder)
		if e := s.check(); e != nil {
			err = errors.Join(err, fmt.Errorf("services[%d] %s: %w", i, s.Name, e))
		}
		if names[s.Name] {
			err = errors.Join(err, fmt.Errorf("services[%d] %s: the name is taken", i, s.Name))
		}
		names[s.Name] = true
		if s.Proxy != nil {
			if listens[s.Proxy.Listen] {
				err = errors.Join(err, fmt.Errorf("services[%d] %s: proxy.listen %s is taken", i, s.Name, s.Proxy.Listen))
			}
			listens[s.Proxy.Listen] = true
		}
	}
	return &c, err
}

func (s *Service) defaults(folder string) {
	if !strings.Contains(s.Document, "://") && s.Document != "" && !filepath.IsAbs(s.Document) {
		s.Document = filepath.Join(folder, s.Document)
	}
	if s.Root != "" && !filepath.IsAbs(s.Root) {
		s.Root = filepath.Join(folder, s.Root)
	}
	if s.TrailingSlash == "" {
		s.TrailingSlash = "lenient"
	}
	if s.Reload == 0 {
		s.Reload = 30 * time.Second
	}
	if s.Sample.Ratio == nil {
		ratio := 0.01
		s.Sample.Ratio = &ratio
	}
	if s.Sample.PerSecond == 0 {
		s.Sample.PerSecond = 20
	}
	if s.Sample.BodyLimit == 0 {
		s.Sample.BodyLimit = 256 << 10
	}
	for i := range s.Logs {
		if l := &s.Logs[i]; l.File != "" && !filepath.IsAbs(l.File) {
			l.File = filepath.Join(folder, l.File)
		}
	}
	s.Probe.defaults(folder)
	s.Values.defaults()
	if s.Proxy != nil && s.Proxy.Drain == 0 {
		s.Proxy.Drain = 30 * time.Second
	}
}

func (s *Service) check() error {
	var err error
	wrong := func(format string, args ...any) { err = errors.Join(err, fmt.Errorf(format, args...)) }
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`).MatchString(s.Name) {
		wrong("name %q: letters, digits, dots, dashes and underscores, 63 at most", s.Name)
	}
	if s.Document == "" {
		wrong("document: missing")
	} else if scheme, _, remote := strings.Cut(s.Document, "://"); remote && scheme != "http" && scheme != "https" {
		wrong("document: %s is not read, http and https are", scheme)
	}
	if s.TrailingSlash != "lenient" && s.TrailingSlash != "strict" {
		wrong("trailing_slash %q: lenient or strict", s.TrailingSlash)
	}
	for _, base := range s.Bases {
		if !strings.HasPrefix(base, "/") {
			wrong("bases: %q does not begin with a slash", base)
		}
	}
	if s.Reload < time.Second {
		wrong("reload: less than 1s")
	}
	if r := *s.Sample.Ratio; !(r >= 0 && r <= 1) {
		wrong("sample.ratio: not between 0 and 1")
	}
	if s.Sample.PerSecond < 0 || s.Sample.BodyLimit < 0 || s.Sample.BodyLimit > 16<<20 {
		wrong("sample: per_second and body_limit are not negative, body_limit is 16 MiB at most")
	}
	for i, l := range s.Logs {
		if l.File == "" {
			wrong("logs[%d].file: missing", i)
		}
		if _, e := logs.NewParser(l.Format, l.Fields); e != nil {
			wrong("logs[%d].%w", i, e)
		}
	}
	if s.Proxy == nil && len(s.Logs) == 0 && s.Probe == nil {
		wrong("proxy, logs and probe: all are missing, and there is no other way to see requests")
	}
	return errors.Join(err, s.Proxy.check(), s.Probe.check(), s.checkValues())
}

func (p *Proxy) check() error {
	if p == nil {
		return nil
	}
	var err error
	wrong := func(format string, args ...any) { err = errors.Join(err, fmt.Errorf(format, args...)) }
	if p.Listen == "" {
		wrong("proxy.listen: missing")
	}
	if u, e := url.Parse(p.Upstream); e != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		wrong("proxy.upstream %q: no http or https URL", p.Upstream)
	}
	if p.MaxInFlight < 0 || p.MaxBody < 0 || p.HeaderTimeout < 0 || p.Drain < 0 {
		wrong("proxy: a limit is negative")
	}
	return err
}

func (s *Service) model() model.Options {
	return model.Options{Location: s.Document, Root: s.Root, Strict: s.TrailingSlash == "strict", Bases: s.Bases}
}

func (s *Service) sampling() observe.Sampling {
	return observe.Sampling{Ratio: *s.Sample.Ratio, PerSecond: s.Sample.PerSecond, BodyLimit: s.Sample.BodyLimit}
}

func (s *Service) proxy() proxy.Options {
	upstream, _ := url.Parse(s.Proxy.Upstream) // check has seen it
	return proxy.Options{
		Service: s.Name, Upstream: upstream, UpstreamHTTP2: s.Proxy.UpstreamHTTP2, MaxInFlight: s.Proxy.MaxInFlight,
		MaxBody: s.Proxy.MaxBody, HeaderTimeout: s.Proxy.HeaderTimeout, Drain: s.Proxy.Drain,
	}
}
