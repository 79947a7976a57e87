package enrich

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
)

// Traces says where the trace of an event is shown.
type Traces struct {
	Labels []string    `yaml:"trace_id" doc:"Labels of an exemplar that hold the id of its trace, best first; default: trace_id, traceID, traceid."`
	Links  []TraceLink `yaml:"links" doc:"Where a trace is shown: Jaeger, Tempo by Grafana, Pinpoint. A page has at most 3 such links."`
}

// TraceLink is an address with places for what an exemplar says.
type TraceLink struct {
	Name string `yaml:"name" need:"true" doc:"What it is called on the page."`
	URL  string `yaml:"url" need:"true" doc:"Address, http or https. {{trace_id}} is the trace's id, {{time_ms}} the event's time in ms, {{span_id}} or any other name a label of the exemplar; all are escaped. Without such a label there is no link."`
}

// DefaultTraces is what clients call their traces.
func DefaultTraces() Traces { return Traces{Labels: []string{"trace_id", "traceID", "traceid"}} }

// The places of a template that are no label's.
const (
	placeTrace = "trace_id"
	placeTime  = "time_ms"
)

// maxTraceID is the longest id of a trace, in bytes: exemplars have 128 runes in all.
const maxTraceID = 128

// Validate says what is wrong with the templates.
func (t Traces) Validate() error {
	for i, l := range t.Links {
		at := "links[" + strconv.Itoa(i) + "]"
		switch here, ok := l.expand(func(string) string { return "a" }); {
		case l.Name == "":
			return config.Bad(at+".name", "say what it is called on the page, as Jaeger")
		case !strings.Contains(l.URL, "{{"+placeTrace+"}}"):
			return config.Bad(at+".url", "names no trace: write it as https://jaeger.example.org/trace/{{trace_id}}")
		case !ok || !sameHost(here, l):
			return config.Bad(at+".url", "is no http or https address once {{…}} are filled in: write it as https://jaeger.example.org/trace/{{trace_id}}, with places after the host only")
		}
	}
	return nil
}

// sameHost reports whether what is filled in leaves scheme and host alone.
func sameHost(here string, l TraceLink) bool {
	there, _ := l.expand(func(string) string { return "b" })
	a, errA := url.Parse(here)
	b, errB := url.Parse(there)
	return errA == nil && errB == nil && a.Host == b.Host && a.Scheme == b.Scheme
}

// id is the id of an event's trace, "" where it has none. An id is a word: what
// is not is no id, whatever it is called.
func (t Traces) id(v Exemplar) string {
	for _, name := range t.Labels {
		for _, l := range v.Labels {
			if l.Name == name && l.Value != "" && len(l.Value) <= maxTraceID && !strings.ContainsFunc(l.Value, outOfPlace) {
				return l.Value
			}
		}
	}
	return ""
}

// outOfPlace keeps to hex, UUIDs, numbers and Pinpoint's agent^time^sequence.
func outOfPlace(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:~^@", r)
}

// links are the addresses of an event's trace, n of them at most. A link that
// would tell a hidden value is none.
func (t Traces) links(v Exemplar, hides func(label string) bool, n int) []page.Link {
	id := t.id(v)
	var out []page.Link
	for _, l := range t.Links {
		if len(out) >= n {
			break
		}
		u, ok := l.expand(func(name string) string {
			switch name {
			case placeTrace:
				return id
			case placeTime:
				return strconv.FormatInt(v.At.UnixMilli(), 10)
			}
			i := slices.IndexFunc(v.Labels, func(l page.Label) bool { return l.Name == name })
			if i < 0 || hides(name) || len(v.Labels[i].Value) > maxTraceID {
				return ""
			}
			return v.Labels[i].Value
		})
		if ok {
			out = append(out, page.Link{Text: l.Name + " " + id[:min(len(id), 8)], URL: u})
		}
	}
	return out
}

// expand fills in the places, each escaped; it is false where one has nothing to
// be filled with, or no address comes of it.
func (l TraceLink) expand(of func(name string) string) (string, bool) {
	var b strings.Builder
	rest := l.URL
	for {
		before, after, found := strings.Cut(rest, "{{")
		b.WriteString(before)
		if !found {
			return page.WebURL(b.String())
		}
		name, tail, closed := strings.Cut(after, "}}")
		v := of(strings.TrimSpace(name))
		if !closed || v == "" {
			return "", false
		}
		b.WriteString(strings.ReplaceAll(url.QueryEscape(v), "+", "%20")) // that is right in a path and in a query
		rest = tail
	}
}
