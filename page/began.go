package page

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// vague is how wide the interval of an onset may be for its seconds to be told.
const vague = time.Minute

// began says when it began and after what: " · began 12:03:10, 35 s after deploy v42".
func began(o *Onset) string {
	switch {
	case o == nil:
		return ""
	case o.To.Sub(o.From) > vague:
		s := " · began about " + o.At.UTC().Format("15:04")
		if o.After != nil {
			s += ", after " + o.After.Words()
		}
		return s
	}
	s := " · began " + o.At.UTC().Format(time.TimeOnly)
	if o.After == nil {
		return s
	}
	// A change that shows in the data shows with the next scrape: by then it may
	// have begun already.
	lag := o.At.Sub(o.After.At)
	if lag < time.Second {
		return s + ", with " + o.After.Words()
	}
	return s + ", " + lagged(lag) + " after " + o.After.Words()
}

func lagged(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}

// longest is how much of a change's own words stand in a sentence, in runes.
const longest = 40

// Words says what was changed: "deploy v42 of checkout (dc1)".
func (c Change) Words() string {
	s := strings.TrimSpace(short(c.Kind) + " " + short(c.Title))
	if of := c.first("service", "app", "job"); of != "" && of != c.Title {
		s += " of " + short(of)
	}
	if where := c.first("datacentre", "dc", "zone", "region", "cluster", "environment"); where != "" {
		s += " (" + short(where) + ")"
	}
	return s
}

func (c Change) first(names ...string) string {
	for _, n := range names {
		if v := c.Labels[n]; v != "" {
			return v
		}
	}
	return ""
}

func short(s string) string {
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}

// Alone says that one version fails and the others do not: "only the new
// version: v42 41 %, v41 0.2 %"; "" where they are not that far apart. A version
// is the new one only if the onset says that it began with its deploy.
func (c Context) Alone() string {
	if len(c.Traits) == 0 || len(c.Traits[0].Versions) < 2 {
		return ""
	}
	v := c.Traits[0].Versions
	others := 0.0
	for _, o := range v[1:] {
		others = max(others, o.Bad)
	}
	if v[0].Bad < alone*others {
		return ""
	}
	word := "this"
	if o := c.Onset; o != nil && (o.First || o.After != nil && o.After.Kind == "deploy") {
		word = "the new"
	}
	parts := make([]string, len(v))
	for i, s := range v {
		parts[i] = short(s.Value) + " " + fine(s.Bad)
	}
	return "only " + word + " version: " + strings.Join(parts, ", ")
}

// alone is how many times worse than any other a version is that fails alone.
const alone = 5

// fine is Percent with a decimal where it tells something.
func fine(share float64) string {
	switch p := 100 * share; {
	case p >= 10 || p <= 0:
		return Percent(share)
	case p < .1:
		return "< 0.1 %"
	default:
		return fmt.Sprintf("%g %%", math.Round(10*p)/10)
	}
}

// Words says how much is hit in one line: "12 % of events fail · the trait
// holds 25 % of them all · 1 of 3 datacentres (dc1) · 8 of 120 users".
func (i *Impact) Words() string {
	if i == nil || i.All <= 0 {
		return ""
	}
	parts := []string{Percent(i.Bad/i.All) + " of " + i.Unit + " fail"}
	if i.Unit != Events {
		parts[0] = fmt.Sprintf("%.0f of %.0f %s fail", i.Bad, i.All, i.Unit)
	}
	if i.Inside > 0 {
		parts = append(parts, Percent(i.Inside)+" of "+i.Unit+" are inside the trait")
	}
	if i.InDC.Total > 0 {
		s := fmt.Sprintf("%d of %d datacentres", i.InDC.Matched, i.InDC.Total)
		names := make([]string, len(i.Datacentres))
		for j, n := range i.Datacentres {
			names[j] = short(n)
		}
		if len(names) > 0 {
			s += " (" + strings.Join(names, ", ") + ")"
		}
		parts = append(parts, s)
	}
	if i.Users.Total > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d users", i.Users.Matched, i.Users.Total))
	}
	return strings.Join(parts, " · ")
}

// The units of an Impact.
const (
	Events  = "events"
	Members = "members"
)
