package layers

import (
	"fmt"
	"strings"
)

// hole is a stretch of text: itself, or a ${parameter}.
type hole struct {
	text string
	name string // of the parameter; then text is empty
}

// holes takes a text apart. $${ is a plain ${, and ${1} is left alone: it is a
// group of label_replace.
func holes(text string) ([]hole, error) {
	var out []hole
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			out = append(out, hole{text: plain.String()})
			plain.Reset()
		}
	}
	for text != "" {
		i := strings.Index(text, "${")
		if i < 0 {
			plain.WriteString(text)
			break
		}
		if i > 0 && text[i-1] == '$' {
			plain.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		plain.WriteString(text[:i])
		name, rest, closed := strings.Cut(text[i+2:], "}")
		switch {
		case !closed:
			return nil, fmt.Errorf("${%s is not closed; write $${ where it is meant as it stands", firstWord(name))
		case name != "" && strings.Trim(name, "0123456789") == "":
			plain.WriteString("${" + name + "}")
		default:
			flush()
			out = append(out, hole{name: name})
		}
		text = rest
	}
	flush()
	return out, nil
}

func firstWord(s string) string {
	if i := strings.IndexAny(s, " \t\n\"'"); i >= 0 {
		s = s[:i]
	}
	return s
}

// token is a stretch of PromQL: code, or a quoted string with its quotes.
type token struct {
	text   string
	quoted bool
	regex  bool // a string behind =~ or !~
	equal  bool // a string behind = or !=
}

// tokens takes an expression apart as far as strings and comments go, which
// are dropped: a ${parameter} means another thing in each.
func tokens(expr string) ([]token, error) {
	var out []token
	code := 0
	cut := func(end int) {
		if end > code {
			out = append(out, token{text: expr[code:end]})
		}
	}
	before := ""
	for i := 0; i < len(expr); {
		switch c := expr[i]; c {
		case '#':
			cut(i)
			end := strings.IndexByte(expr[i:], '\n')
			if end < 0 {
				return out, nil
			}
			i += end
			code = i
		case '"', '\'', '`':
			end := closing(expr, i)
			if end < 0 {
				return nil, fmt.Errorf("a string that begins with %c is not closed", c)
			}
			cut(i)
			before = strings.TrimSpace(expr[code:i])
			out = append(out, token{
				text: expr[i : end+1], quoted: true,
				regex: strings.HasSuffix(before, "=~") || strings.HasSuffix(before, "!~"),
				equal: strings.HasSuffix(before, "="),
			})
			i = end + 1
			code = i
		default:
			i++
		}
	}
	cut(len(expr))
	return out, nil
}

// closing is where the string that begins at i ends, -1 if it does not.
func closing(expr string, i int) int {
	quote := expr[i]
	for j := i + 1; j < len(expr); j++ {
		switch {
		case expr[j] == quote:
			return j
		case expr[j] == '\\' && quote != '`':
			j++
		case expr[j] == '\n' && quote != '`':
			return -1
		}
	}
	return -1
}

// pieces takes the text of an annotation or label apart into what is plain and
// what stands inside {{ }}, which Prometheus will read as a template.
func pieces(text string) []token {
	var out []token
	for text != "" {
		i := strings.Index(text, "{{")
		if i < 0 {
			return append(out, token{text: text})
		}
		if i > 0 {
			out = append(out, token{text: text[:i]})
		}
		end := actionEnd(text, i+2)
		out = append(out, token{text: text[i:end], quoted: true})
		text = text[end:]
	}
	return out
}

// actionEnd is where the action ends whose inside begins at i; strings in it
// may hold braces.
func actionEnd(text string, i int) int {
	for i < len(text) {
		switch {
		case strings.HasPrefix(text[i:], "}}"):
			return i + 2
		case strings.HasPrefix(text[i:], "/*"):
			end := strings.Index(text[i:], "*/")
			if end < 0 {
				return len(text)
			}
			i += end + 2
		case text[i] == '"' || text[i] == '`' || text[i] == '\'':
			end := closing(text, i)
			if end < 0 {
				return len(text)
			}
			i = end + 1
		default:
			i++
		}
	}
	return len(text)
}
