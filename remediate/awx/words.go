package awx

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tocsin/tocsin/remote"
)

const maxReason = 400

// reason is AWX's own word on why not: the detail of an error, or field by
// field what is wrong. It is untrusted.
func reason(res remote.Response) string {
	var body map[string]any
	if decode(res, &body) != nil {
		return ""
	}
	if s, ok := body["detail"].(string); ok {
		return clean(s, maxReason)
	}
	var parts []string
	for _, field := range slices.Sorted(maps.Keys(body)) {
		switch v := body[field].(type) {
		case string:
			parts = append(parts, field+": "+v)
		case []any:
			for _, one := range v {
				parts = append(parts, fmt.Sprintf("%s: %v", field, one))
			}
		}
	}
	return clean(strings.Join(parts, "; "), maxReason)
}

// clean is foreign text on one line, of at most limit bytes.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 4*limit)], " "))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// tail is the end of foreign output, of at most limit bytes, whole lines if
// there are any; line breaks and tabs stay.
func tail(s string, limit int) string {
	if over := len(s) - 4*limit; over > 0 {
		s = s[over:]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(s, ""))
	s = strings.TrimRight(s, "\n\t ")
	if len(s) <= limit {
		return s
	}
	s = s[len(s)-limit:]
	if _, rest, found := strings.Cut(s, "\n"); found {
		return rest
	}
	return strings.ToValidUTF8(s, "")
}

// secretless is text in which a secret is hidden, should a server repeat it.
func secretless(s, secret string) string {
	if secret == "" {
		return s
	}
	return strings.ReplaceAll(s, secret, "<secret>")
}

// marker is the id of the dispatch that variables belong to, "" if none.
func marker(extraVars string) string {
	var vars struct {
		Tocsin struct {
			Dispatch string `json:"dispatch_id"`
		} `json:"tocsin"`
	}
	if json.Unmarshal([]byte(extraVars), &vars) != nil {
		return ""
	}
	return vars.Tocsin.Dispatch
}
