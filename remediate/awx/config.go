package awx

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// Config is the section of one AWX or Ansible Automation Platform. docs/awx.md
// says how its account and templates are set up.
type Config struct {
	URL          string            `yaml:"url" need:"true" doc:"Address of AWX, or of the gateway of Ansible Automation Platform: https://awx.example.org. Where its API lies is found out."`
	TokenFile    config.SecretFile `yaml:"token_file" doc:"File with a token of the account, scope write. It is read anew for every request, so that it can be rotated. Write this, or username and password_file."`
	Username     string            `yaml:"username" doc:"Name of the account, where tokens cannot be had."`
	PasswordFile config.SecretFile `yaml:"password_file" doc:"File with its password."`
	CAFile       string            `yaml:"ca_file" doc:"PEM file with the certificates of the authority that signed the server's, beside those of the system."`
	Organization string            `yaml:"organization" doc:"Organization of inventories, and of templates whose step names none. Without it a name must be the only one of all that the account sees."`
	Timeout      config.Duration   `yaml:"timeout" doc:"How long an answer is waited for."`
	Settle       config.Duration   `yaml:"settle" doc:"How long after a launch without an answer AWX may still begin it: the longest that its server works on a request. AWX ends one after 115 s, its nginx after 120 s; the timeout comes on top."`
	JobLink      string            `yaml:"job_link" doc:"Address of a job as people open it: {id} is its number, {kind} playbook or workflow. Default: that of AWX 24.6.1, <url>/#/jobs/{kind}/{id}."`
}

// The longest that AWX itself works on a request is 120 s.
const (
	leastSettle   = 2 * time.Minute
	defaultSettle = 3 * time.Minute
	maxTimeout    = 10 * time.Minute
)

func defaults() *Config {
	return &Config{Timeout: config.Duration(30 * time.Second), Settle: config.Duration(defaultSettle)}
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, config.Bad(field, format, args...)) }
	if u, ok := page.WebURL(c.URL); !ok || strings.ContainsAny(u, "?#") {
		bad("url", "write it as https://awx.example.org")
	}
	basic := c.Username != "" || c.PasswordFile != ""
	switch {
	case c.TokenFile != "" && basic:
		bad("token_file", "write either token_file, or username and password_file")
	case c.TokenFile == "" && !basic:
		bad("token_file", "name the file that holds a token of the account")
	case basic && (c.Username == "" || c.PasswordFile == ""):
		bad("username", "write username and password_file together, or token_file alone")
	}
	if strings.ContainsAny(c.Username, ":\r\n") {
		bad("username", "it may hold no colon and is one line")
	}
	if c.Timeout.D() <= 0 || c.Timeout.D() > maxTimeout {
		bad("timeout", "%s: write 30s, or at most %s", c.Timeout, config.Duration(maxTimeout))
	}
	if least := leastSettle + c.Timeout.D(); c.Settle.D() < least {
		bad("settle", "%s is shorter than a launch may take to leave and AWX to work on it: write %s or more", c.Settle, config.Duration(least))
	}
	if _, ok := page.WebURL(c.JobLink); c.JobLink != "" && (!ok || !strings.Contains(c.JobLink, "{id}")) {
		bad("job_link", "write it as https://awx.example.org/#/jobs/{kind}/{id}")
	}
	return errors.Join(errs...)
}
