package app

import (
	"errors"
	"regexp"
	"slices"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// Person is who may press buttons at a service.
type Person struct {
	Name      string   `yaml:"name" need:"true" doc:"How the person, or the group, is called on the page."`
	Role      string   `yaml:"role" enum:"responder,operator" doc:"responder acknowledges, silences (and undoes it), writes notes, says what is not useful; operator also approves and denies what machines ask for, where a policy names no other roles. responder if it is not written."`
	Roles     []string `yaml:"roles" doc:"Further roles, such as dba: policies name those that may approve under approval.roles."`
	Slack     []string `yaml:"slack" doc:"IDs of Slack users (U0123ABCD) and user groups (S0123ABCD)."`
	PagerDuty []string `yaml:"pagerduty" doc:"IDs of PagerDuty users (P0123AB)."`
}

// validatePeople refuses what names nobody, and an ID that is two people's.
func (c *Config) validatePeople() error {
	var errs []error
	first := map[string]string{}
	ids := func(at, kind string, list []string, form *regexp.Regexp, advice string) {
		for i, id := range list {
			if !form.MatchString(id) {
				errs = append(errs, config.Bad(index(at, i), "%q is no ID: %s", id, advice))
			}
			if who, taken := first[kind+id]; taken {
				errs = append(errs, config.Bad(index(at, i), "%s is %s already", id, who))
			}
			first[kind+id] = at
		}
	}
	name := regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)
	slack, pagerduty := regexp.MustCompile(`^[UWS][A-Z0-9]{2,20}$`), regexp.MustCompile(`^[A-Z0-9]{3,20}$`)
	for i, p := range c.People {
		at := index("people", i)
		if p.Name == "" {
			errs = append(errs, config.Bad(at+".name", "write how the person is called"))
		}
		if !slices.Contains([]string{"", page.RoleResponder, page.RoleOperator}, p.Role) {
			errs = append(errs, config.Bad(at+".role", "%q is no role; write responder or operator", p.Role))
		}
		for j, role := range p.Roles {
			if !name.MatchString(role) || slices.Contains([]string{page.RoleResponder, page.RoleOperator}, role) {
				errs = append(errs, config.Bad(index(at+".roles", j), "%q is no further role: write lower-case letters, digits and -, such as dba; responder and operator stand under role", role))
			}
		}
		if len(p.Slack)+len(p.PagerDuty) == 0 {
			errs = append(errs, config.Bad(at, "write slack or pagerduty: without an ID nobody can tell who presses"))
		}
		ids(at+".slack", "slack ", p.Slack, slack, "copy it from the profile, like U0123ABCD or S0123ABCD")
		ids(at+".pagerduty", "pagerduty ", p.PagerDuty, pagerduty, "copy it from the address of the profile, like P0123AB")
	}
	return errors.Join(errs...)
}

// all are the roles of a person.
func (p Person) all() []string {
	out := append([]string{page.RoleResponder}, p.Roles...)
	if p.Role == page.RoleOperator {
		out = append(out, page.RoleOperator)
	}
	return out
}

// roles are those that somebody has, be it a person at a service or who has a
// token.
func (c *Config) roles() []string {
	var out []string
	for _, p := range c.People {
		out = append(out, p.all()...)
	}
	if len(c.Operators.Tokens) == 0 || slices.ContainsFunc(c.Operators.Tokens, func(t Operator) bool { return t.Role == page.RoleOperator }) {
		out = append(out, page.RoleOperator, page.RoleResponder) // without tokens, whoever is on this machine is an operator
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// may reports whether one of the identities at a kind of service may do this,
// and how the person is called; run is the one that is decided on. Where no people are named, whoever can press may
// do what a responder may, and is called by the first identity.
func (c *Config) may(kind string, ids []string, verb page.Verb, run page.Run) (name string, ok bool) {
	respond := slices.Contains([]page.Verb{
		page.Acknowledge, page.Unacknowledge, page.SilenceIt, page.UnsilenceIt, page.NotUseful, page.Remark,
	}, verb)
	if len(c.People) == 0 {
		if len(ids) == 0 {
			return kind, respond
		}
		return ids[0], respond
	}
	for _, p := range c.People {
		known := map[string][]string{"slack": p.Slack, "pagerduty": p.PagerDuty}[kind]
		if !slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(known, id) }) {
			continue
		}
		if name = p.Name; respond || run.Decided(verb, p.all()...) {
			return name, true
		}
	}
	return name, false
}
