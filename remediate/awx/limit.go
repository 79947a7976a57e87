package awx

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tocsin/tocsin/remediate"
)

// hostLimit is what `limit` may hold: the name of one host. It cannot be empty,
// which is every host, nor a pattern: oneHost is the only way to one, and the
// zero value does not marshal.
type hostLimit struct{ name string }

// oneHost takes a host's name in lower case. Ansible's patterns, options and
// files need characters that it does not take; the names of the groups that
// every inventory has, and of the machine that Ansible runs on, are refused.
func oneHost(name string) (hostLimit, error) {
	switch {
	case !regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$`).MatchString(name):
		return hostLimit{}, fmt.Errorf("%q is not the name of one host", clean(name, 80))
	case slices.Contains([]string{"all", "ungrouped", "localhost"}, name) || strings.Contains(name, ".."):
		return hostLimit{}, fmt.Errorf("%q is not the name of one host of an inventory", name)
	}
	return hostLimit{name}, nil
}

// MarshalJSON refuses to write a limit that is none.
func (h hostLimit) MarshalJSON() ([]byte, error) {
	if h.name == "" {
		return nil, errors.New("a limit without a host would be every host")
	}
	return json.Marshal(h.name)
}

const (
	maxVariables = 50
	maxValue     = 4096
)

// dictionary is the variable of our own.
const dictionary = "tocsin"

// checkVariables refuses names that mean something to Ansible or AWX, and
// values that could be taken for a template or for more than one value. AWX
// marks variables of a launch as unsafe, unless it was told to trust them.
func checkVariables(vars map[string]any) error {
	if len(vars) > maxVariables {
		return fmt.Errorf("%d variables are too many: write at most %d", len(vars), maxVariables)
	}
	for name, v := range vars {
		if err := checkName(name); err != nil {
			return err
		}
		if err := checkValue(v); err != nil {
			return fmt.Errorf("variable %s: %w", name, err)
		}
	}
	return nil
}

func checkName(name string) error {
	if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`).MatchString(name) {
		return fmt.Errorf("%q is not a name of a variable", clean(name, 80))
	}
	own := []string{
		dictionary, "environment", "group_names", "groups", "hostvars", "inventory_dir", "inventory_file", "inventory_hostname",
		"inventory_hostname_short", "omit", "play_hosts", "playbook_dir", "role_name", "role_names", "role_path", "vars",
	}
	lower := strings.ToLower(name)
	if slices.Contains(own, lower) {
		return fmt.Errorf("variable %s has a meaning of its own", name)
	}
	for _, prefix := range []string{"ansible_", "awx_", "tower_"} {
		if strings.HasPrefix(lower, prefix) {
			return fmt.Errorf("variable %s begins with %s, which has a meaning of its own", name, prefix)
		}
	}
	return nil
}

func checkValue(v any) error {
	switch v := v.(type) {
	case string:
		switch {
		case len(v) > maxValue:
			return fmt.Errorf("its value is over %d bytes", maxValue)
		case !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
		}):
			return errors.New("its value holds line breaks or control characters")
		case strings.Contains(v, "{{") || strings.Contains(v, "{%") || strings.Contains(v, "{#"):
			return errors.New("its value holds the syntax of a template")
		}
		return nil
	case bool, int, int64:
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("its value is not a number")
		}
		return nil
	default:
		return fmt.Errorf("its value is a %T: write text, a number or a truth value", v)
	}
}

// order is the body of a launch. What is not in it cannot be sent.
type order struct {
	Limit     *hostLimit     `json:"limit,omitempty"`
	JobType   string         `json:"job_type,omitempty"`
	Timeout   int            `json:"timeout,omitempty"` // seconds
	Variables map[string]any `json:"extra_vars"`
}

// orderOf checks a launch and writes it down. An error means that it must not
// be sent.
func orderOf(l remediate.Launch) (order, error) {
	kind, err := kindOf(l.Template.Kind)
	o := order{Timeout: int(l.Timeout.Seconds())}
	switch {
	case err != nil:
		return o, err
	case l.Template.ID <= 0:
		return o, errors.New("the launch names no template")
	case !regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(l.Dispatch):
		return o, errors.New("the launch carries no id of a dispatch")
	case !l.Template.AskVariables:
		return o, errors.New("the template does not take variables: nobody could find its job again")
	case l.Template.AskLimit && l.Limit == "":
		return o, errors.New("the template takes a limit, and none is given: that would be every host")
	case !l.Template.AskLimit && l.Limit != "":
		return o, errors.New("the template takes no limit: it would be ignored")
	case l.Check && kind == workflowKind:
		return o, errors.New("a workflow has no check mode")
	case o.Timeout < 0 || l.Timeout > 0 && o.Timeout == 0 || o.Timeout > 0 && kind == workflowKind:
		return o, fmt.Errorf("timeout %s cannot be asked for", l.Timeout)
	}
	own := map[string]any{"dispatch_id": l.Dispatch, "link": l.Link}
	if l.Limit != "" {
		limit, err := oneHost(l.Limit)
		if err != nil {
			return o, err
		}
		o.Limit, own["target"] = &limit, limit.name
	}
	if l.Claim.URL != "" {
		own["claim_url"], own["claim_token"] = l.Claim.URL, l.Claim.Token.Reveal()
	}
	for name, v := range own {
		if err := checkValue(v); err != nil {
			return o, fmt.Errorf("%s.%s: %w", dictionary, name, err)
		}
	}
	if err := checkVariables(l.Variables); err != nil {
		return o, err
	}
	if kind == jobKind {
		o.JobType = jobType(l.Check)
	}
	o.Variables = map[string]any{}
	for name, v := range l.Template.Survey {
		if v != nil {
			o.Variables[name] = v
		}
	}
	maps.Copy(o.Variables, l.Variables)
	o.Variables[dictionary] = own
	return o, nil
}

func jobType(check bool) string {
	if check {
		return "check"
	}
	return "run"
}
