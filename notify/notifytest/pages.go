package notifytest

import (
	"fmt"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Page is a critical page of three alerts with a strong trait.
func Page() page.Page {
	began := time.Date(2026, 3, 1, 12, 3, 10, 0, time.UTC)
	p := page.Page{
		Problem: strings.Repeat("ab", 32), Episode: 1, Revision: 1, State: page.Open, Severity: page.Critical,
		Cluster: "dc1", Receiver: "team-payments",
		Title:    "CheckoutErrors · cluster=eu, service=checkout (3 alerts)",
		Headline: "38 of 40 failing share deploy=v42 (6 % of healthy do)",
		Summary:  "Checkout answers 12 % of requests with 5xx",
		Details:  "The error ratio of checkout is over 5 %.\nCustomers cannot pay.",
		Traits: []page.Trait{{
			Labels: page.Labels{"deploy": "v42"}, Failing: page.Count{Matched: 38, Total: 40},
			Healthy: page.Count{Matched: 7, Total: 120}, Share: .95, Role: "deploy",
			Query: `sum by (instance) (rate(http_errors_total{deploy="v42"}[5m]))`, Source: "main", Alert: "CheckoutErrors",
			Versions: []page.Share{{Value: "v42", Bad: .41}, {Value: "v41", Bad: .002}},
		}, {
			Labels: page.Labels{"zone": "b"}, Failing: page.Count{Matched: 20, Total: 40},
			Healthy: page.Count{Matched: 30, Total: 120}, Share: .5, Source: "main", Alert: "CheckoutErrors",
		}},
		Notes: []page.Note{},
		Onset: &page.Onset{
			At: began.Add(-40 * time.Second), From: began.Add(-50 * time.Second), To: began.Add(-35 * time.Second), Before: .002, Since: .41,
			After: &page.Change{ID: "42", Kind: "deploy", Title: "v42", Labels: page.Labels{"service": "checkout"}, At: began.Add(-75 * time.Second)},
		},
		Impact: &page.Impact{
			Unit: page.Events, Bad: 120, All: 1000, Inside: .25,
			Datacentres: []string{"dc1"}, InDC: page.Count{Matched: 1, Total: 3}, Users: page.Count{Matched: 8, Total: 120},
		},
		Exemplars: &page.Exemplars{
			Failing: 10, Healthy: 12,
			Carried: []page.Carried{{
				Label: page.Label{Name: "user", Value: "u5"}, Role: "user",
				Failing: page.Count{Matched: 9, Total: 10}, Healthy: page.Count{Matched: 1, Total: 12},
			}},
			Traces: []page.Trace{{
				ID: "4bf92f3577b34da6", At: began, Value: 2.4,
				Links: []page.Link{{Text: "Jaeger 4bf92f35", URL: "https://jaeger.example.org/trace/4bf92f3577b34da6"}},
			}},
		},
		Clock: page.Clock{
			Started: began, Received: began.Add(400 * time.Millisecond), Durable: began.Add(410 * time.Millisecond),
			Enriched: began.Add(1900 * time.Millisecond), Decided: began.Add(1910 * time.Millisecond),
		},
	}
	for i := range 3 {
		l := page.Labels{
			"alertname": "CheckoutErrors", "cluster": "eu", "service": "checkout", "severity": "critical",
			"instance": fmt.Sprintf("web-%d:8080", i+1),
		}
		p.Alerts = append(p.Alerts, page.Alert{ID: l.ID(), Status: page.Firing, Labels: l, StartsAt: began.Add(time.Duration(i) * time.Second)})
	}
	return p
}

// Resolved is Page when it is over, 4m 10s after it began.
func Resolved() page.Page {
	p := Page()
	p.State, p.Revision = page.Closed, 7
	for i := range p.Alerts {
		p.Alerts[i].Status = page.Resolved
		p.Alerts[i].EndsAt = p.Clock.Started.Add(250 * time.Second)
	}
	return p
}

// Hostile is text that a label must not make anything of.
func Hostile() []string {
	return []string{
		"<!channel> <!here> <!everyone>",
		"<@U012AB3CD> <!subteam^SAZ94GDB8|ops> <#C0PAGES>",
		"@channel @here @everyone",
		"<https://evil.example|click me> <mailto:a@b.example|mail>",
		"https://evil.example/ http://evil.example:80/?a=<b>|c",
		"*bold* _it_ ~no~ `code` ```pre``` > quote\n- list",
		"&lt;!channel&gt; &amp;lt;!here&amp;gt;",
		"*<!channel>* `<!here>` _<@U1>_",
		"<!date^1392734382^{date_short}|<!channel>>",
		"\u202egnp.exe\u2066x\u2069\u200e\u200f\u061c", // bidi
		"a\u200bb\u200cc\u200dd\ufeffe\u2060f\u00adg",  // zero width
		"\x00\x01\x07\x1b[31mred\x7f\u0085",            // control
		"\xff\xfe\xc3\x28 \xed\xa0\x80",                // not UTF-8
		"<script>alert(1)</script><img src=x onerror=alert(1)>",
		"javascript:alert(1) data:text/html,<script>alert(1)</script>",
		"{{ .ExternalURL }} ${jndi:ldap://evil} $(id) `id`",
		"\r\nX-Injected: 1\r\n\r\n",
		"{\"type\":\"section\"} [json-pointer:/x] \\u003c!channel\\u003e",
		strings.Repeat("<!channel>", 10000), // 100 KB
		strings.Repeat("&", 100000),
		strings.Repeat("👩‍👩‍👧‍👦\u0301", 5000),
		":rotating_light: :skull:",
		"",
		" \t\n ",
	}
}

// Infect puts text everywhere where it can come from outside.
func Infect(p page.Page, text string) page.Page {
	p.Title, p.Headline, p.Summary, p.Details = "x "+text, "x "+text, text, text
	p.Cluster, p.Receiver = text, text
	p.Traits = []page.Trait{
		{Labels: page.Labels{text: text}, Query: text, Source: text, Role: text, Also: []page.Label{{Name: text, Value: text}}},
		{Labels: page.Labels{"l": text}, Failing: page.Count{Matched: 1, Total: 2}},
	}
	p.Notes = []page.Note{{Room: "enrich", Text: text}}
	p.Traits[0].Versions = []page.Share{{Value: text, Bad: .5}, {Value: text}}
	p.Onset = &page.Onset{After: &page.Change{Kind: text, Title: text, Labels: page.Labels{"service": text, "dc": text}, Link: text}}
	p.Impact = &page.Impact{Unit: page.Events, Bad: 1, All: 2, Datacentres: []string{text}, InDC: page.Count{Matched: 1, Total: 2}}
	p.Exemplars = &page.Exemplars{
		Carried: []page.Carried{{Label: page.Label{Name: text, Value: text}}},
		Traces:  []page.Trace{{ID: text, Links: []page.Link{{Text: text, URL: text}}}},
	}
	p.Links = []page.Link{{Text: text, URL: text}, {Text: "runbook", URL: "javascript:alert(1)"}, {Text: "x", URL: "https://user:pw@evil.example/"}}
	if strings.Contains(text, "://evil") {
		p.Links = nil // that one is an address, and would be a link by right
	}
	for i := range p.Alerts {
		l := page.Labels{"alertname": text, "instance": fmt.Sprint(text, i), "severity": "critical"}
		l["n"+text] = text
		p.Alerts[i].Labels, p.Alerts[i].ID = l, l.ID()
		p.Alerts[i].Annotations = page.Labels{"summary": text}
		p.Alerts[i].GeneratorURL = text
	}
	return p
}

// Oversize is pages that exceed what services take.
func Oversize() []page.Page {
	var out []page.Page
	for _, unit := range []string{"x", "é", "漢", "😀", "<", "&", `"`, "\\", "\n", "x y "} {
		long := strings.Repeat(unit, 100_000/len(unit))
		p := Infect(Page(), "a"+long)
		p.Links = nil
		for i := range 50 {
			p.Notes = append(p.Notes, page.Note{Text: fmt.Sprint(i, long)})
			p.Links = append(p.Links, page.Link{Text: "t" + long, URL: "https://wiki.example/" + fmt.Sprint(i) + strings.Repeat("q", 1900)})
		}
		for i := range 1000 {
			l := page.Labels{"alertname": "A" + long[:100], "instance": fmt.Sprint(i)}
			for j := range 20 {
				l[fmt.Sprint("label", j)] = fmt.Sprint(i, long[:1000])
			}
			p.Alerts = append(p.Alerts, page.Alert{ID: fmt.Sprint(i), Labels: l})
		}
		out = append(out, p)
	}
	return out
}
