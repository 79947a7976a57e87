package apps

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Field is something that layers set.
type Field struct {
	Name string // guards.cooldown.after_success
	Kind Kind
}

// Kind says what values a field has, and which of two is the more careful one.
type Kind int

// The kinds of field.
const (
	Mode   Kind = iota // off, observe, check, approve, auto: the earlier is the more careful
	Longer             // a duration: the longer is the more careful
	Sooner             // a duration: the shorter is the more careful
	Fewer              // a number: the smaller is the more careful
	Rate               // 5/10m: fewer, in a longer time
	Roles              // names: those that both have
	Wait               // how long a page may wait: a duration of at most a minute, the shorter counts
)

// PolicyFields are those of a remediation policy. What is shared among apps is
// none: rates and concurrency beyond a target, blast radius, breaker.
func PolicyFields() []Field {
	return []Field{
		{"mode", Mode},
		{"trigger.firing_for", Longer},
		{"trigger.max_age", Sooner},
		{"guards.rate.target", Rate},
		{"guards.cooldown.after_success", Longer},
		{"guards.cooldown.after_failure", Longer},
		{"guards.attempts.episode", Fewer},
		{"guards.attempts.target", Rate},
		{"stable", Longer},
		{"approval.roles", Roles},
	}
}

// ContextFields are those of what a page says.
func ContextFields() []Field {
	return []Field{{"deadline.critical", Wait}, {"deadline.other", Wait}}
}

// Find is the field of that name.
func Find(fields []Field, name string) (Field, bool) {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return fields[i], true
}

// Modes are the words of Mode, the most careful first.
func Modes() []string { return []string{"off", "observe", "check", "approve", "auto"} }

// longest bounds what a duration of a policy can be.
const longest = 24 * time.Hour

// Read returns a value as it is always written; the error says what to write.
func (k Kind) Read(text string) (string, error) {
	switch k {
	case Mode:
		if !slices.Contains(Modes(), text) {
			return "", fmt.Errorf("%q is no mode: write one of %s", text, strings.Join(Modes(), ", "))
		}
		return text, nil
	case Longer, Sooner:
		return span(text, longest)
	case Wait:
		return span(text, time.Minute)
	case Fewer:
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return "", fmt.Errorf("%q is no number: write 1 or more", text)
		}
		return strconv.FormatUint(n, 10), nil
	case Rate:
		n, per, err := rate(text)
		return written(n, per), err
	case Roles:
		return roles(text)
	}
	return "", fmt.Errorf("%q can be no value", text)
}

// span reads a duration of a field. Pages wait for milliseconds, policies do not.
func span(text string, most time.Duration) (string, error) {
	d, err := model.ParseDuration(text)
	if err != nil || time.Duration(d) <= 0 || time.Duration(d) > most {
		return "", fmt.Errorf("%q: write a duration such as 5s or 30m, at most %s", text, model.Duration(most))
	}
	return d.String(), nil
}

func rate(text string) (n uint64, per time.Duration, err error) {
	left, right, _ := strings.Cut(text, "/")
	n, err = strconv.ParseUint(left, 10, 16)
	d, perr := model.ParseDuration(right)
	if err != nil || perr != nil || n == 0 || d <= 0 || time.Duration(d) > longest {
		return 0, 0, fmt.Errorf("%q is no rate: write it as 3/24h, over 24h at most", text)
	}
	return n, time.Duration(d), nil
}

func written(n uint64, per time.Duration) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%s", n, model.Duration(per))
}

// roles reads names that are parted by commas, each once, in their order.
func roles(text string) (string, error) {
	names := Names(text)
	if len(names) == 0 || len(names) > maxRoles {
		return "", fmt.Errorf("%q names no role, or more than %d: write [operator]", text, maxRoles)
	}
	for _, name := range names {
		if strings.ContainsAny(name, " \t\r\n") || name == "" {
			return "", fmt.Errorf("%q is no role", name)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", "), nil
}

const maxRoles = 50

// Names are those of a list.
func Names(text string) []string {
	var out []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// Careful is what is no less careful than either of two values that can be read:
// one of them, or of two rates or lists of roles what both allow, which may be
// no role at all.
func (k Kind) Careful(a, b string) string {
	switch k {
	case Mode:
		return Modes()[max(0, min(slices.Index(Modes(), a), slices.Index(Modes(), b)))] // a word that is none goes nowhere
	case Longer:
		return longer(a, b)
	case Sooner, Wait:
		if longer(a, b) == a {
			return b
		}
		return a
	case Fewer:
		x, _ := strconv.ParseUint(a, 10, 16)
		y, _ := strconv.ParseUint(b, 10, 16)
		return strconv.FormatUint(min(x, y), 10)
	case Rate:
		n, per, _ := rate(a)
		m, other, _ := rate(b)
		return written(min(n, m), max(per, other))
	case Roles:
		both := slices.DeleteFunc(Names(a), func(name string) bool { return !slices.Contains(Names(b), name) })
		return strings.Join(both, ", ")
	}
	return a
}

func longer(a, b string) string {
	x, _ := model.ParseDuration(a)
	y, _ := model.ParseDuration(b)
	if cmp.Less(x, y) {
		return b
	}
	return a
}
