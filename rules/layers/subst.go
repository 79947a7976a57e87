package layers

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/util/strutil"
)

// filler puts the values of parameters where ${…} stands, each as the place
// asks for. A value is one token, or stands inside a string that is quoted
// anew: it cannot become syntax.
type filler struct {
	tm     *template
	values map[string]value
	used   map[string]bool // parameters that were asked for
}

// lookup finds a parameter's value.
func (f *filler) lookup(name string) (*param, value, error) {
	p := f.tm.param(name)
	if p == nil {
		return nil, value{}, fmt.Errorf("template %s has no parameter %q%s; write $${ where it is meant as it stands", f.tm.name, name, nearest(name, f.tm.paramNames()))
	}
	f.used[name] = true
	v, ok := f.values[name]
	if !ok {
		return nil, value{}, &missingError{p}
	}
	return p, v, nil
}

// missingError says that a parameter has neither a value nor a default.
type missingError struct{ p *param }

// Error says so.
func (m *missingError) Error() string { return "parameter " + m.p.Name + " has no value" }

// fill writes text with each hole as form says.
func (f *filler) fill(text string, form func(*param, value) (string, error)) (string, error) {
	found, err := holes(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, h := range found {
		b.WriteString(h.text)
		if h.name == "" && h.text != "" {
			continue
		}
		p, v, err := f.lookup(h.name)
		if err != nil {
			return "", err
		}
		s, err := form(p, v)
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// expr fills an expression.
func (f *filler) expr(text string) (string, error) {
	parts, err := tokens(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, part := range parts {
		var s string
		if part.quoted && strings.Contains(part.text, "${") {
			s, err = f.quoted(part)
		} else if part.quoted {
			s = part.text
		} else {
			s, err = f.fill(part.text, bare)
		}
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func bare(p *param, v value) (string, error) {
	if v.bare == "" {
		return "", fmt.Errorf("${%s} is a %s: in an expression it stands inside quotes", p.Name, p.Type)
	}
	return v.bare, nil
}

// quoted fills a string of an expression and quotes it anew.
func (f *filler) quoted(part token) (string, error) {
	inside, err := strutil.Unquote(part.text)
	if err != nil {
		return "", fmt.Errorf("%s is not a string: %w", part.text, err)
	}
	whole, err := holes(inside)
	if err != nil {
		return "", err
	}
	alone := len(whole) == 1
	s, err := f.fill(inside, func(p *param, v value) (string, error) {
		switch {
		case p.Type == typeRegex && part.equal:
			return "", fmt.Errorf("${%s} is a regex: write =~ or !~ before it", p.Name)
		case p.Type == typeRegex && alone:
			return v.text, nil
		case p.Type == typeRegex:
			return "(?:" + v.text + ")", nil
		case part.regex:
			return regexp.QuoteMeta(v.text), nil
		default:
			return v.text, nil
		}
	})
	return strconv.Quote(s), err
}

// text fills a label's or an annotation's text. What stands inside {{ }} is
// Prometheus' template and takes only what cannot change it.
func (f *filler) text(text string) (string, error) {
	var b strings.Builder
	for _, part := range pieces(text) {
		form := plainText
		if part.quoted {
			form = action
		}
		s, err := f.fill(part.text, form)
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// plainText is a value outside {{ }}: braces in it that could open one, by
// themselves or with what stands beside them, are written as text of a template.
func plainText(_ *param, v value) (string, error) {
	var b strings.Builder
	for i := 0; i < len(v.text); {
		n := len(v.text[i:]) - len(strings.TrimLeft(v.text[i:], "{"))
		if n > 1 || n == 1 && (i == 0 || i+1 == len(v.text)) {
			fmt.Fprintf(&b, "{{%q}}", v.text[i:i+n])
		} else {
			n = max(n, 1)
			b.WriteString(v.text[i : i+n])
		}
		i += n
	}
	return b.String(), nil
}

func action(p *param, v value) (string, error) {
	if slices.Contains([]string{typeString, typeRegex, typeEnum}, p.Type) {
		return "", fmt.Errorf("${%s} is a %s: it cannot stand inside {{ }}", p.Name, p.Type)
	}
	if p.Type == typeNumber || p.Type == typePercent {
		return strings.Trim(v.bare, "()"), nil
	}
	return v.text, nil
}

// threshold is the parameter beside a comparison of the expression, which sets
// what it is held against, "" if that is no parameter.
func (tm *template) threshold(expr string) string {
	if name, known := tm.thresholds[expr]; known {
		return name
	}
	name := ""
	parts, _ := tokens(expr) // it was filled before
	beside := regexp.MustCompile(`(?:==|!=|<=|>=|<|>)\s*(?:bool\s*)?\(?\s*\$\{([a-z][a-z0-9_]*)\}|\$\{([a-z][a-z0-9_]*)\}\s*(?:==|!=|<=|>=|<|>)`)
	for _, part := range parts {
		if m := beside.FindStringSubmatch(part.text); m != nil && !part.quoted && name == "" {
			name = m[1] + m[2]
		}
	}
	tm.thresholds[expr] = name
	return name
}
