package app

import (
	"errors"
	"regexp"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
)

// validateOwners refuses what could own nothing, and what Slack cannot mention.
func (c *Config) validateOwners() error {
	var errs []error
	id := regexp.MustCompile(`^[UWS][A-Z0-9]{2,20}$`)
	for i, o := range c.Owners {
		at := index("owners", i)
		if o.Name == "" {
			errs = append(errs, config.Bad(at+".name", "write how the owner is called"))
		}
		if o.Slack != "" && !id.MatchString(o.Slack) {
			errs = append(errs, config.Bad(at+".slack", "%q is no ID of a Slack user or user group: copy it from their profile, like U0123ABCD or S0123ABCD", o.Slack))
		}
	}
	return errors.Join(errs...)
}

// owners are the config's, as notify knows them.
func (c *Config) owners() notify.Owners {
	var out notify.Owners
	for _, o := range c.Owners {
		out = append(out, notify.Owning{Match: o.Match, Owner: notify.Owner{Name: o.Name, Slack: o.Slack}})
	}
	return out
}
