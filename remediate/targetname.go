package remediate

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxValue bounds any value of a label that goes somewhere, in bytes.
const maxValue = 1024

// hostChars and wordChars bound what any policy's pattern can let through. Of
// what a limit can say (`a:b`, `!a`, `a*`, `~a`, `a[0]`, `@file`, `a,b`), nothing
// can be said in hostChars; an IPv6 address can neither.
const (
	hostChars = `\A[a-z0-9]([a-z0-9._-]*[a-z0-9])?\z`
	wordChars = `\A[A-Za-z0-9]([A-Za-z0-9._:/@+-]*[A-Za-z0-9])?\z`
	maxName   = 253 // as long as a name of DNS can be
)

// namer returns the function that makes a target of a label's value.
func (r TargetRule) namer() (func(value string) (Target, error), error) {
	valid, err := whole(r.Validate)
	if err != nil {
		return nil, fmt.Errorf("target.validate: %w", err)
	}
	chars := regexp.MustCompile(wordChars)
	if r.Kind == HostTarget {
		chars = regexp.MustCompile(hostChars)
	}
	return func(value string) (Target, error) {
		if err := plain(value); err != nil {
			return Target{}, err
		}
		t := Target{Kind: r.Kind, Value: value}
		if r.Kind == HostTarget {
			host, err := hostOf(value)
			if err != nil {
				return Target{}, err
			}
			t.Value, value = "", host
		}
		t.Name = strings.ToLower(value)
		switch {
		case len(value) > maxName || !chars.MatchString(value):
			return Target{}, errors.New("it is not the name of one " + string(r.Kind))
		case reserved(t.Name):
			return Target{}, errors.New("it means more than one " + string(r.Kind) + ", or the machine that the playbook runs on")
		case !valid.MatchString(value):
			return Target{}, errors.New("it does not match target.validate")
		}
		return t, nil
	}, nil
}

// whole compiles a pattern that must match a text whole, lines and all.
func whole(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, errors.New("an empty pattern")
	}
	if _, err := regexp.Compile(pattern); err != nil { // by itself: `)(` is none
		return nil, err
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// hostOf takes port and brackets off the value of a label such as instance and
// makes it lower case. A text with several colons is an IPv6 address or nothing.
func hostOf(value string) (string, error) {
	host, port := value, ""
	switch {
	case strings.HasPrefix(value, "["):
		inside, rest, closed := strings.Cut(value[1:], "]")
		if a, err := netip.ParseAddr(inside); !closed || err != nil || !a.Is6() {
			return "", errors.New("brackets hold no IPv6 address")
		}
		if host = inside; rest != "" {
			var colon bool
			if port, colon = strings.CutPrefix(rest, ":"); !colon || port == "" {
				return "", errors.New("brackets are followed by no port")
			}
		}
	case strings.Count(value, ":") == 1:
		if host, port, _ = strings.Cut(value, ":"); port == "" {
			return "", errors.New("the port is empty")
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", errors.New("what follows the colon is no port")
		}
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", errors.New("it is neither a host with a port nor an address")
		}
		return "", errors.New("it is an IPv6 address: a limit would read it as several patterns")
	}
	return strings.ToLower(host), nil
}

// reserved reports whether Ansible, or a careless playbook, reads more into a
// name than one thing.
func reserved(name string) bool {
	switch name {
	case "all", "ungrouped", "any", "none", "localhost", "localhost.localdomain":
		return true
	}
	if a, err := netip.ParseAddr(name); err == nil && (a.IsLoopback() || a.IsUnspecified() || a.IsMulticast()) {
		return true
	}
	return strings.HasPrefix(name, "ansible_")
}

// plain refuses a value that is no plain text of one line: empty, long, broken,
// with characters that do not show, or with template syntax.
func plain(value string) error {
	switch {
	case value == "":
		return errors.New("the label is empty or missing")
	case len(value) > maxValue:
		return fmt.Errorf("it is over %d bytes", maxValue)
	case !utf8.ValidString(value):
		return errors.New("it is no UTF-8")
	case strings.ContainsFunc(value, hidden):
		return errors.New("it holds characters that do not show")
	case strings.TrimSpace(value) != value:
		return errors.New("it begins or ends with a space")
	}
	if templated(value) {
		return errors.New("it holds template syntax")
	}
	return nil
}

// hidden reports whether a character is not seen as it is: controls, formats
// such as those that turn the direction of writing, spaces that are not " ".
func hidden(r rune) bool {
	if r < 0x80 {
		return r < ' ' || r == 0x7f
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp) || (unicode.IsSpace(r) && r != ' ')
}

// templated reports whether Ansible could read a text as a template.
func templated(s string) bool {
	for _, mark := range []string{"{{", "}}", "{%", "%}", "{#", "#}"} {
		if strings.Contains(s, mark) {
			return true
		}
	}
	return false
}
