// Package alertmanager tells every service that Alertmanager has a notifier for
// (email, Teams, Opsgenie, Discord, Telegram, Webex, Jira, SNS, webhooks …),
// by that notifier, configured by the same lines as in alertmanager.yml. The
// notifiers work in a cage: what they do on the wire is watched, so that their
// outcome is known better than they tell it, and nothing of theirs outlives a
// call or ends the process. See docs/targets.md.
package alertmanager

import (
	"errors"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// Config is the section of one receiver of Alertmanager's.
type Config struct {
	Receiver    config.Section      `yaml:"receiver" need:"true" doc:"One receiver as in alertmanager.yml: email_configs, webhook_configs and so on. Secrets by their _file keys only."`
	Global      config.Section      `yaml:"global" doc:"The global block as in alertmanager.yml: smtp_smarthost and so on."`
	Templates   []config.SecretFile `yaml:"templates" doc:"Globs of Alertmanager template files, relative to this file."`
	ExternalURL string              `yaml:"external_url" doc:"What templates get as .ExternalURL: Alertmanager's address as people open it. public_url where it is not set."`
	Follow      string              `yaml:"follow" enum:"worse,joined,never" doc:"What is told once more after the page: that it got worse, also that alerts joined, or nothing."`

	doc string // an alertmanager.yml of it all, made by Validate
}

// Words of Config.Follow.
const (
	followWorse  = "worse"
	followJoined = "joined"
	followNever  = "never"
)

// Validate says what is wrong with c, the part that is Alertmanager's included.
func (c *Config) Validate() error {
	var errs []error
	if c.ExternalURL != "" {
		if _, ok := page.WebURL(c.ExternalURL); !ok {
			errs = append(errs, config.Bad("external_url", "write it as https://alertmanager.example.org"))
		}
	}
	switch c.Follow {
	case followWorse, followJoined, followNever:
	default:
		errs = append(errs, config.Bad("follow", "%q is not known; write worse, joined or never", c.Follow))
	}
	doc, err := document(c)
	c.doc = doc
	return errors.Join(append(errs, err)...)
}

// Kind is the menu's line.
func Kind() notify.Kind {
	return notify.Kind{
		Name:   "alertmanager",
		Config: func() any { return &Config{Follow: followWorse} },
		New: func(cfg any, d notify.Deps) (notify.Notifier, error) {
			return open(cfg.(*Config), d)
		},
	}
}
