package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	// named is how many alerts one line names; it counts the others.
	named = 5
	// apart is how many labels tell one alert from the others at most.
	apart = 3
	// longestLine is how long a line of words may be, in runes.
	longestLine = 400
)

// Names names alerts in one line by what tells each from the others of all:
// "pod=web-3, pod=web-4 +7 more".
func Names(some, all []Alert) string {
	labels := telling(all)
	parts := make([]string, 0, named)
	for _, a := range some[:min(len(some), named)] {
		parts = append(parts, a.words(labels))
	}
	s := strings.Join(parts, ", ")
	if n := len(some) - len(parts); n > 0 {
		s += fmt.Sprintf(" +%d more", n)
	}
	return s
}

// words are the alert's values of the labels, its name first and bare.
func (a Alert) words(labels []string) string {
	var parts []string
	for _, l := range labels {
		switch v := a.Labels[l]; {
		case v == "":
		case l == "alertname":
			parts = append([]string{short(v)}, parts...)
		default:
			parts = append(parts, short(l)+"="+short(v))
		}
	}
	if len(parts) == 0 {
		return short(cmp.Or(a.Name(), "alert without a name"))
	}
	return strings.Join(parts, " ")
}

// telling returns the fewest labels, of those with the most values first, that
// tell alerts apart, as far as a few of them can.
func telling(alerts []Alert) []string {
	values := map[string]map[string]bool{}
	for _, a := range alerts {
		for name, value := range a.Labels {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][value] = true
		}
	}
	missing := func(name string) int { // an alert that lacks the label differs by that
		if slices.ContainsFunc(alerts, func(a Alert) bool { _, ok := a.Labels[name]; return !ok }) {
			return 1
		}
		return 0
	}
	kinds := map[string]int{}
	for name, v := range values {
		if n := len(v) + missing(name); n > 1 && name != "severity" {
			kinds[name] = n
		}
	}
	names := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		return cmp.Or(cmp.Compare(kinds[b], kinds[a]), cmp.Compare(a, b))
	})
	var out []string
	for _, name := range names {
		if len(out) == apart || len(out) > 0 && distinct(alerts, out) >= len(alerts) {
			break
		}
		out = append(out, name)
	}
	if kinds["alertname"] > 0 && !slices.Contains(out, "alertname") {
		out = append([]string{"alertname"}, out[:min(len(out), apart-1)]...)
	}
	return out
}

func distinct(alerts []Alert, labels []string) int {
	seen := map[string]bool{}
	for _, a := range alerts {
		seen[a.words(labels)] = true
	}
	return len(seen)
}

// OneLine returns a text as one line without control characters, cut to a length
// that fits any message.
func OneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if r := []rune(strings.ToValidUTF8(s, "�")); len(r) > longestLine {
		return string(r[:longestLine-1]) + "…"
	}
	return strings.ToValidUTF8(s, "�")
}

// Span says how long something took: "40 s", "12 min", "3 h 5 min", "2 d".
func Span(d time.Duration) string {
	d = max(0, d)
	switch h := int(d.Hours()); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour && d != time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case h < 48:
		if m := int(d.Minutes()) % 60; m > 0 {
			return fmt.Sprintf("%d h %d min", h, m)
		}
		return fmt.Sprintf("%d h", h)
	default:
		return fmt.Sprintf("%d d", h/24)
	}
}

// Moment says when, as seen from now: "07:00 UTC", and the day where it is
// another: "2 Mar 07:00 UTC".
func Moment(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	if at.Year() == now.Year() && at.YearDay() == now.YearDay() {
		return at.Format("15:04 UTC")
	}
	return at.Format("2 Jan 15:04 UTC")
}
