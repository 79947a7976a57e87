package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/web"
)

// WhyOptions name a page, or the alert that should have been one.
type WhyOptions struct {
	PageOptions
	Alert  string      // alertname
	Labels page.Labels // of the alert
}

// Why tells every decision on a page's way: why somebody was told, and why not.
func Why(ctx context.Context, w io.Writer, o WhyOptions) error {
	if o.Page != "" {
		if o.Alert != "" || len(o.Labels) > 0 {
			return errors.New("write a page, or --alert and --label, not both")
		}
		return o.explain(ctx, w)
	}
	match := page.Labels{}
	maps.Copy(match, o.Labels)
	if o.Alert != "" {
		match["alertname"] = o.Alert
	}
	if len(match) == 0 {
		return errors.New("write a page, or --alert NAME, or --label name=value")
	}
	rows, more, err := o.holding(ctx, match)
	if err != nil {
		return err
	}
	switch {
	case len(rows) == 0:
		return o.neverSeen(ctx, w, match)
	case len(rows) == 1:
		o.Page, o.Episode = rows[0].Problem, rows[0].Episode
		return o.explain(ctx, w)
	case o.JSON:
		return printJSON(w, rows)
	}
	if err := printRows(w, rows); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(w, "and older ones")
	}
	_, err = fmt.Fprintf(w, "Tocsin saw it %d times: tocsin pages why PAGE tells of one\n", len(rows))
	return err
}

// recent is how many pages an alert is looked for in the list of.
const recent = 20

// holding lists the latest pages that one alert with these labels stood on.
func (o WhyOptions) holding(ctx context.Context, match page.Labels) (rows []web.Row, more bool, err error) {
	q := url.Values{}
	for _, name := range match.Names() {
		q.Add("match", name+"="+match[name])
	}
	return o.history(ctx, q, recent)
}

// ErrNeverSeen says that no webhook that is kept held an alert.
var ErrNeverSeen = errors.New("tocsin never saw it")

// neverSeen tells where an alert may have been lost before it came here.
func (o WhyOptions) neverSeen(ctx context.Context, w io.Writer, match page.Labels) error {
	var selectors []string
	for _, name := range match.Names() {
		selectors = append(selectors, name+"="+match[name])
	}
	alert := strings.Join(selectors, " ")
	fmt.Fprintf(w, "No webhook that is kept held an alert with %s.\n", notify.Clean(alert, 300))
	if name, ok := match["alertname"]; ok && len(match) > 1 {
		rows, _, err := o.holding(ctx, page.Labels{"alertname": name})
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			fmt.Fprintf(w, "\nTocsin saw %s with other labels:\n", notify.Clean(name, 100))
			if err := printRows(w, rows); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, `
What to check, in the order in which an alert comes here:
 1. Prometheus: does the rule fire (/alerts), or does it wait for its "for"? Are these labels the alert's, after relabelling?
 2. Alertmanager has it, and it is neither silenced nor inhibited:
      amtool alert query --silenced --inhibited %[1]s
 3. Its route leads to a receiver with a webhook of Tocsin's:
      amtool config routes test %[1]s
 4. Alertmanager's webhooks come through: alertmanager_notifications_failed_total{integration="webhook"} there,
    and here tocsin_webhook_requests_total{outcome=~"refused|denied|failed|overloaded|torn"} and tocsin_webhook_quarantined_total.
 5. It may have been dropped: what is over is kept for store.bolt.retention, and label values that traits.redact names are not found.
`, shellWords(selectors))
	return errors.Join(err, ErrNeverSeen)
}

// shellWords quotes words for a shell.
func shellWords(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, "'"+strings.ReplaceAll(notify.Clean(w, 300), "'", `'\''`)+"'")
	}
	return strings.Join(out, " ")
}

// account is why a page came to be as it is. Its JSON form is what -o json prints.
type account struct {
	Page     page.Page    `json:"page"`
	Timeline []page.Entry `json:"timeline"`
}

func (o WhyOptions) explain(ctx context.Context, w io.Writer) error {
	id, episode, err := o.find(ctx)
	if err != nil {
		return err
	}
	var a account
	if err := o.get(ctx, id, episode, "", &a.Page); err != nil {
		if answer, ok := errors.AsType[*answerError](err); ok && answer.status == http.StatusNotFound {
			return fmt.Errorf("no page has the id %s, or it has no such episode", id)
		}
		return err
	}
	if err := o.get(ctx, id, a.Page.Episode, "/timeline", &a.Timeline); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(w, a)
	}
	_, err = io.WriteString(w, a.words())
	return err
}

// moment is one line of an account.
type moment struct {
	at   time.Time
	text string
}

// words tells the account: what it is, what happened when, who was told.
func (a account) words() string {
	v := a.Page
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", notify.Clean(v.Title, 200), notify.Clean(cmp.Or(v.Headline, v.Summary), 300))
	fmt.Fprintf(&b, "page %s, episode %d: %s, %s, for receiver %s of %s\n\n", v.Problem, v.Episode, v.State, v.Severity,
		notify.Clean(v.Receiver, 80), notify.Clean(v.Cluster, 80))
	prev := time.Time{}
	for _, m := range a.moments() {
		after := ""
		if !prev.IsZero() {
			after = "+" + notify.Span(m.at.Sub(prev))
		}
		fmt.Fprintf(&b, "%s  %-9s  %s\n", m.at.UTC().Format("2006-01-02 15:04:05"), after, m.text)
		prev = m.at
	}
	b.WriteString("\n")
	switch {
	case v.Folded != "":
		fmt.Fprintf(&b, "Nobody was told of it alone: the storm %s tells of it.\n", v.Folded)
	case len(v.Receipts) == 0:
		b.WriteString("Nobody was told yet.\n")
	}
	for _, r := range v.Receipts {
		fmt.Fprintf(&b, "%s\n", receiptWords(r))
	}
	for _, s := range v.Silences {
		fmt.Fprintf(&b, "silence %s\n", silenceWords(s))
	}
	for _, n := range v.Notes {
		fmt.Fprintf(&b, "! %s\n", notify.Clean(n.Text, 300))
	}
	return b.String()
}

// moments are the page's clock and its timeline, in one order of time. Where no
// room wrote down a timeline, what changed is one.
func (a account) moments() []moment {
	c := a.Page.Clock
	var out []moment
	add := func(at time.Time, text string) {
		if !at.IsZero() {
			out = append(out, moment{at, text})
		}
	}
	add(c.Started, "the rule fired: startsAt of the first alert")
	add(c.Received, "the webhook came in from Alertmanager "+notify.Clean(a.Page.Cluster, 80))
	add(c.Durable, "it was on disk, and Alertmanager was answered")
	add(c.Enriched, "what the failing share was known")
	add(c.Decided, "the page left for its targets")
	add(c.Sent, "the first target had it")
	for _, e := range a.Timeline {
		kind := notify.Clean(e.Kind, 40) + ": "
		text := kind + strings.TrimPrefix(notify.Clean(e.Text, 500), kind) + " (" + notify.Clean(e.Actor, 80)
		if e.Target != "" && e.Target != e.Actor {
			text += " → " + notify.Clean(e.Target, 80)
		}
		if e.Event != "" {
			text += ", event " + notify.Clean(e.Event, 100)
		}
		text += ")"
		if e.Failed {
			text = "NOT DONE " + text
		}
		add(e.At, text)
	}
	if len(a.Timeline) == 0 {
		for _, u := range a.Page.Updates {
			add(u.At, string(u.Kind)+": "+notify.Clean(u.Text, 500))
		}
	}
	slices.SortStableFunc(out, func(x, y moment) int { return x.at.Compare(y.at) })
	return out
}
