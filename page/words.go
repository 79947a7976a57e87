package page

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Headline is the first line of every page: what the failing share, in one
// sentence, or plainly that they share nothing, or that it is not known (yet).
// When it began, and after what, follows as soon as that is known.
func Headline(c Context) string {
	switch {
	case len(c.Traits) > 0:
		return sentence(c.Traits[0]) + began(c.Onset) + seen(c.LastSeen, " · last seen ")
	case c.Healthy == 0 && c.Failing > 0 && !c.LastSeen.IsZero():
		return gone(c.Failing) + seen(c.LastSeen, ", last seen ")
	case c.None && c.Healthy == 0 && c.Failing > 0:
		return fmt.Sprintf("nothing in common: all %d members fail", c.Failing) + began(c.Onset)
	case c.None:
		return fmt.Sprintf("nothing in common: %d failing, %d healthy, no label sets them apart", c.Failing, c.Healthy) + began(c.Onset)
	case c.Pending:
		return "what they share is not known yet"
	default:
		return "what they share is not known"
	}
}

func gone(n int) string {
	if n == 1 {
		return "the only series is gone"
	}
	return fmt.Sprintf("all %d series are gone", n)
}

func seen(at time.Time, words string) string {
	if at.IsZero() {
		return ""
	}
	return words + at.UTC().Format("15:04")
}

func sentence(t Trait) string {
	s := fmt.Sprintf("%d of %d failing share %s", t.Failing.Matched, t.Failing.Total, t.Labels)
	if t.Healthy.Total > 0 {
		s += fmt.Sprintf(" (%s of healthy do)", Percent(t.Healthy.Share()))
	}
	switch n := len(t.Rules); n {
	case 0:
	case 1: // the others say something else
		s = short(t.Rules[0]) + ": " + s
	case 2:
		s += " · two rules agree"
	default:
		s += fmt.Sprintf(" · %d rules agree", n)
	}
	return s
}

// Percent writes a share of 0..1 as people say it: never "0 %" for something
// nor "100 %" for not quite all.
func Percent(share float64) string {
	switch p := 100 * share; {
	case share <= 0:
		return "0 %"
	case share >= 1:
		return "100 %"
	case p < 1:
		return "< 1 %"
	case p > 99:
		return "> 99 %"
	default:
		return fmt.Sprintf("%.0f %%", math.Round(p))
	}
}

// title names the alert and where: group labels first, for they are what the
// route chose to tell problems apart by.
func title(p Problem, alerts []Alert) string {
	var names []string
	for _, a := range alerts {
		if n := a.Name(); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	head := "alert without a name"
	switch {
	case len(names) == 1:
		head = names[0]
	case len(names) > 1:
		head = fmt.Sprintf("%s and %d more", names[0], len(names)-1)
	}
	var where []string
	for _, name := range p.Group.GroupLabels.Names() {
		if name != "alertname" {
			where = append(where, name+"="+p.Group.GroupLabels[name])
		}
	}
	if len(where) > 0 {
		head += " · " + strings.Join(where, ", ")
	}
	if n := len(alerts); n > 1 {
		head += fmt.Sprintf(" (%d alerts)", n)
	}
	return head
}

// shared returns the first of the annotations that the group has in common,
// else that of its worst alert.
func shared(p Problem, alerts []Alert, names ...string) string {
	for _, n := range names {
		if v := p.Group.CommonAnnotations[n]; v != "" {
			return v
		}
	}
	for _, a := range alerts {
		for _, n := range names {
			if v := a.Annotations[n]; v != "" {
				return v
			}
		}
	}
	return ""
}

// AnnotationThreshold is the annotation with the address of the line that set an
// alert's threshold.
const AnnotationThreshold = "threshold_url"

// links gathers runbook, dashboard, threshold and source links. Only http and https pass:
// anything else in an annotation (javascript:, file:) is text, not a link.
func links(p Problem, alerts []Alert) []Link {
	var out []Link
	add := func(text, raw string) {
		if u, ok := WebURL(raw); ok && !slices.ContainsFunc(out, func(l Link) bool { return l.URL == u }) {
			out = append(out, Link{Text: text, URL: u})
		}
	}
	for _, l := range []struct{ text, annotation string }{
		{"runbook", "runbook_url"},
		{"runbook", "runbook"},
		{"dashboard", "dashboard_url"},
		{"dashboard", "dashboard"},
		{"threshold", AnnotationThreshold},
	} {
		add(l.text, shared(p, alerts, l.annotation))
	}
	if len(p.Context.Traits) > 0 {
		add("trait query", p.Context.Traits[0].Link)
	}
	for _, l := range p.Context.Exemplars.links() {
		add(l.Text, l.URL)
	}
	if len(alerts) > 0 {
		add("source", alerts[0].GeneratorURL)
	}
	add("alertmanager", p.Group.ExternalURL)
	return out
}

// WebURL returns the address in its parsed and re-encoded form, and whether it
// is an absolute http or https address with a host and without a password.
func WebURL(raw string) (string, bool) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return "", false
	}
	return u.String(), true
}
