package web

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/tocsin/tocsin/page"
)

// functions are what the templates say things with.
func functions() template.FuncMap {
	return template.FuncMap{
		"clean":   clean,
		"span":    span,
		"ago":     func(now, t time.Time) string { return span(now.Sub(t)) + " ago" },
		"stamp":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"when":    when,
		"minute":  func(t time.Time) string { return t.Format("Mon 15:04 MST") },
		"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"percent": page.Percent,
		"plural":  plural,
		"short":   func(id string) string { return id[:min(len(id), 12)] },
		"called":  func(a page.Alert) string { return cmp.Or(a.Name(), "alert without a name") },
		"line":    func(r Row, now time.Time, episode bool) line { return line{r, now, episode} },
		"hidden":  newHidden,
		"web": func(raw string) string { // html/template lets mailto and relative addresses pass
			u, _ := page.WebURL(raw)
			return u
		},
	}
}

// clean returns untrusted text without what makes it read as something that it
// is not: control characters, bidi overrides, zero-width and private ones. The
// template escapes the rest.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, s)
}

// span writes a duration as people say it.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
}

// when is a time of day, with its day where that is not today's.
func when(now, t time.Time) string {
	now, t = now.UTC(), t.UTC()
	if now.Format(time.DateOnly) == t.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2 Jan 15:04:05")
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// stage is one step of a page's way.
type stage struct {
	Name  string
	At    time.Time
	Took  time.Duration // since the stage before
	After time.Duration // since the first
	Left  float64       // where its bar begins, in percent of the whole way
	Width float64       // how long it is
}

// stages are the steps that the page took, in order of time.
func stages(c page.Clock) []stage {
	out := slices.DeleteFunc([]stage{
		{Name: "rule fired", At: c.Started},
		{Name: "webhook received", At: c.Received},
		{Name: "on disk", At: c.Durable},
		{Name: "enriched", At: c.Enriched},
		{Name: "decided", At: c.Decided},
		{Name: "delivered", At: c.Sent},
	}, func(s stage) bool { return s.At.IsZero() })
	slices.SortStableFunc(out, func(a, b stage) int { return a.At.Compare(b.At) }) // context may come last
	for i := 1; i < len(out); i++ {
		out[i].Took, out[i].After = out[i].At.Sub(out[i-1].At), out[i].At.Sub(out[0].At)
	}
	if len(out) < 2 {
		return nil
	}
	whole := max(1, float64(out[len(out)-1].After))
	for i := range out {
		out[i].Left = 100 * float64(out[i].After-out[i].Took) / whole
		out[i].Width = max(.5, 100*float64(out[i].Took)/whole)
	}
	return out
}

// state says how a problem stands, in a word.
func state(v page.Page) string {
	switch {
	case v.State == page.Closed:
		return "resolved"
	case v.Ack != nil:
		return "acknowledged"
	default:
		return "firing"
	}
}

// line is a row in a list; of a history it names its episode.
type line struct {
	Row     Row
	Now     time.Time
	Episode bool
}

// hidden is what every form of a page carries.
type hidden struct {
	Form, Key string
	Episode   int
}

func newHidden(v visitor, of interface{ form() (string, int) }) hidden {
	key, episode := of.form()
	return hidden{v.Form, key, episode}
}

func (s sheet) form() (key string, episode int) { return s.Key, s.Episode }

func (s silencing) form() (key string, episode int) { return s.Key, s.Episode }
