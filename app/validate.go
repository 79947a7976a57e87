package app

import (
	"errors"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// maxTargets keeps one problem's batch within store.MaxOps.
const maxTargets = 80

// Validate says what is wrong with c by itself; what its kinds say comes after.
func (c *Config) Validate() error {
	errs := []error{c.validateDoors(), c.validateWatch(), c.validateOperators(), c.validateReceivers(), c.validateTraits(), c.validateOwners(), c.validatePeople()}
	if c.Deadline.Critical.D() > time.Minute || c.Deadline.Other.D() > time.Minute {
		errs = append(errs, config.Bad("deadline", "a page that may wait more than 1m misses what Tocsin is for; write 5s"))
	}
	if c.Prewarm.Poll.D() != 0 && c.Prewarm.Poll.D() < time.Second {
		errs = append(errs, config.Bad("prewarm.poll", "more often than every second is a burden on the source: write 5s, or 0s for never"))
	}
	if c.Prewarm.Lead.D() < 0 || c.Prewarm.Max < 0 {
		errs = append(errs, config.Bad("prewarm", "lead and max are not negative"))
	}
	if c.Tracing.OTLPEndpoint != "" && !webURL(c.Tracing.OTLPEndpoint) {
		errs = append(errs, config.Bad("tracing.otlp_endpoint", "write it as http://collector:4318"))
	}
	if c.Tracing.SampleRatio < 0 || c.Tracing.SampleRatio > 1 {
		errs = append(errs, config.Bad("tracing.sample_ratio", "must be between 0 and 1"))
	}
	errs = append(errs, config.Under("traits.exemplars", c.Traits.Exemplars.Validate()))
	errs = append(errs, uniqueParts("sources", c.Sources)...)
	errs = append(errs, config.Under("remediation", c.Remediation.Validate()))
	errs = append(errs, c.validateLife()...)
	errs = append(errs, uniqueParts("fallbacks", c.Fallbacks)...)
	if c.LastResort != nil {
		errs = append(errs, nameless("last_resort", *c.LastResort))
	}
	return errors.Join(errs...)
}

func (c *Config) validateDoors() error {
	errs := []error{validateListen("listen", c.Listen), validateListen("operators.listen", c.Operators.Listen)}
	if c.Listen == c.Operators.Listen && !strings.HasSuffix(c.Listen, ":0") {
		errs = append(errs, config.Bad("operators.listen", "%s is taken by listen: write another port", c.Listen))
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (!webURL(c.PublicURL) || err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil) {
		errs = append(errs, config.Bad("public_url", "write it as https://tocsin.example.org, without a path: the pages stand at the root"))
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
		case am.Name == page.OwnCluster:
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
	return errors.Join(errs...)
}

// validateWatch refuses what would ring all the time, or never.
func (c *Config) validateWatch() error {
	var errs []error
	for i, am := range c.Alertmanagers {
		if w := am.Watchdog.Within.D(); w != 0 && w < minWatchdog {
			errs = append(errs, config.Bad(index("alertmanagers", i)+".watchdog.within", "%s is too short: a heartbeat comes with Alertmanager's repeat_interval; write three times that, 15m", w))
		}
	}
	if e := c.Canary.Every.D(); e != 0 && e < time.Minute {
		errs = append(errs, config.Bad("canary.every", "%s is too often; write 1m, or 0 for none", e))
	}
	if e := c.Heartbeat.Every.D(); e < time.Second || e > time.Hour {
		errs = append(errs, config.Bad("heartbeat.every", "%s: write something between 1s and 1h", e))
	}
	return errors.Join(errs...)
}

// minWatchdog is the shortest silence that is one: a look is taken every
// watchdogEvery.
const minWatchdog = 2 * watchdogEvery

// validateListen refuses what net.Listen would refuse, but for names and ports
// that only the machine knows.
func validateListen(field, addr string) error {
	if _, port, err := net.SplitHostPort(addr); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && strconv.FormatUint(n, 10) == port {
			return nil
		}
	}
	return config.Bad(field, "%q is not an address: write it as 127.0.0.1:9095, or :9095 for all interfaces", addr)
}

func (c *Config) validateOperators() error {
	var errs []error
	names := map[string]bool{}
	for i, op := range c.Operators.Tokens {
		at := index("operators.tokens", i)
		switch {
		case op.Name == "" || op.TokenFile == "":
			errs = append(errs, config.Bad(at, "write name and token_file"))
		case names[op.Name]:
			errs = append(errs, config.Bad(at+".name", "%q stands twice", op.Name))
		}
		names[op.Name] = true
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
		var parts []Part
		for _, t := range r.Notify {
			parts = append(parts, t.Part)
		}
		errs = append(errs, uniqueParts(at+".notify", parts)...)
	}
	return errors.Join(errs...)
}

// validateTraits refuses roles that nothing can play, and a label that is given
// two roles: which of them it has would be a matter of luck.
func (c *Config) validateTraits() error {
	var errs []error
	plays := map[string]string{}
	for _, role := range slices.Sorted(maps.Keys(c.Traits.Roles)) {
		at := "traits.roles." + role
		for _, label := range c.Traits.Roles[role] {
			switch first, taken := plays[label]; {
			case label == "":
				errs = append(errs, config.Bad(at, "an empty name is no label"))
			case taken:
				errs = append(errs, config.Bad(at, "label %q plays %s already: leave it to one of them", label, first))
			}
			plays[label] = role
		}
	}
	for _, role := range c.Traits.Redact {
		if _, ok := c.Traits.Roles[role]; !ok {
			errs = append(errs, config.Bad("traits.redact", "role %q is not among traits.roles: write one of %s",
				role, strings.Join(slices.Sorted(maps.Keys(c.Traits.Roles)), ", ")))
		}
	}
	return errors.Join(errs...)
}

func uniqueParts(at string, parts []Part) []error {
	var errs []error
	names := map[string]bool{}
	for i, p := range parts {
		id := p.Kind + "/" + p.Name
		errs = append(errs, nameless(index(at, i), p))
		if names[id] {
			errs = append(errs, config.Bad(index(at, i)+".name", "%s stands twice", id))
		}
		names[id] = true
	}
	return errs
}

// nameless refuses a part whose name could not stand in a key of the store.
func nameless(at string, p Part) error {
	if p.Name == "" || strings.ContainsAny(p.Name, "/ \t\n") {
		return config.Bad(at+".name", "give it a name without spaces and slashes")
	}
	return nil
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}
