package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/web"
)

// PagesOptions choose what `tocsin pages ls` lists.
type PagesOptions struct {
	Gateway
	All      bool // those that are over too
	Text     string
	Severity string
	Receiver string
	Limit    int
	JSON     bool
}

// Pages lists pages: those that are open, or all, newest first.
func Pages(ctx context.Context, w io.Writer, o PagesOptions) error {
	if o.Limit < 1 {
		return errors.New("--limit: write a number from 1 on")
	}
	q := url.Values{}
	if !o.All {
		q.Set("state", string(page.Open))
	}
	for name, value := range map[string]string{"q": o.Text, "severity": o.Severity, "receiver": o.Receiver} {
		if value != "" {
			q.Set(name, value)
		}
	}
	rows, more, err := o.history(ctx, q, o.Limit)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(w, rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "no page is like that")
		return err
	}
	if err := printRows(w, rows); err != nil {
		return err
	}
	if more {
		_, err = fmt.Fprintf(w, "there are more: --limit %d, or choose with -q, --severity, --receiver\n", 2*o.Limit)
	}
	return err
}

// history asks for pages until there are so many, and tells whether there are more.
func (g Gateway) history(ctx context.Context, q url.Values, limit int) (rows []web.Row, more bool, err error) {
	rows = []web.Row{}
	for {
		q.Set("limit", strconv.Itoa(max(1, min(limit-len(rows), web.MaxRows))))
		var found web.Found
		if err := g.ask(ctx, http.MethodGet, "/api/v1/history?"+q.Encode(), nil, &found); err != nil {
			return nil, false, err
		}
		if found.Reading { // it says so itself, and it takes seconds
			select {
			case <-ctx.Done():
				return nil, false, ctx.Err()
			case <-time.After(300 * time.Millisecond):
			}
			rows = rows[:0]
			q.Del("after")
			continue
		}
		rows = append(rows, found.Pages...)
		if found.After == "" || len(rows) >= limit {
			return rows, found.After != "", nil
		}
		q.Set("after", found.After)
	}
}

func printRows(w io.Writer, rows []web.Row) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PAGE\tSINCE\tSEVERITY\tSTATE\tRECEIVER\tTITLE\tFIRST LINE")
	for _, r := range rows {
		state := string(r.State)
		switch {
		case r.State != page.Open:
		case r.Ack != nil:
			state = "taken by " + notify.Clean(r.Ack.By, 30)
		case !r.Silenced.IsZero():
			state = "silenced"
		case r.Folded != "":
			state = "told by storm " + notify.Cut(r.Folded, 12)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", pageID(r.Problem, r.Episode), r.Since.UTC().Format(time.DateTime), r.Severity, state,
			notify.Clean(r.Receiver, 30), notify.Clean(r.Title, 80), notify.Clean(r.Headline, 120))
	}
	return tw.Flush()
}

// pageID is what names an episode on a command line.
func pageID(problem string, episode int) string {
	id := problem[:min(len(problem), 12)]
	if episode > 1 {
		id += "/" + strconv.Itoa(episode)
	}
	return id
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// PageOptions name one page, and the episode of it.
type PageOptions struct {
	Gateway
	Page    string // its id, the beginning of it, or id/episode
	Episode int    // 0: the latest
	JSON    bool
}

// shortest is how many characters of an id name a page.
const shortest = 4

// split returns the id of a page, or the beginning of it, and the episode that
// is meant.
func (o PageOptions) split() (id string, episode int, err error) {
	id, n, ok := strings.Cut(o.Page, "/")
	if episode = o.Episode; ok {
		if episode, err = strconv.Atoi(n); err != nil || o.Episode != 0 {
			return "", 0, fmt.Errorf("%q: write a page's id, or id/episode", o.Page)
		}
	}
	if len(id) < shortest {
		return "", 0, fmt.Errorf("%q: write at least %d characters of a page's id; tocsin pages ls lists them", id, shortest)
	}
	return id, episode, nil
}

// find returns the whole id of a page and the episode that is meant.
func (o PageOptions) find(ctx context.Context) (id string, episode int, err error) {
	id, episode, err = o.split()
	const whole = 64
	if err != nil || len(id) == whole {
		return id, episode, err
	}
	rows, _, err := o.history(ctx, url.Values{"q": {id}}, web.MaxRows)
	if err != nil {
		return "", 0, err
	}
	var found []string
	for _, r := range rows {
		if strings.HasPrefix(r.Problem, id) && !slices.Contains(found, r.Problem) {
			found = append(found, r.Problem)
		}
	}
	switch len(found) {
	case 0:
		return "", 0, fmt.Errorf("no page begins with %q; tocsin pages ls --all lists them", id)
	case 1:
		return found[0], episode, nil
	default:
		return "", 0, fmt.Errorf("%d pages begin with %q: %s", len(found), id, strings.Join(found, ", "))
	}
}

// get reads something of the page.
func (o PageOptions) get(ctx context.Context, id string, episode int, what string, into any) error {
	path := "/api/v1/pages/" + url.PathEscape(id) + what
	if episode != 0 {
		path += "?episode=" + strconv.Itoa(episode)
	}
	return o.ask(ctx, http.MethodGet, path, nil, into)
}

// ShowPage prints one page.
func ShowPage(ctx context.Context, w io.Writer, o PageOptions) error {
	id, episode, err := o.find(ctx)
	if err != nil {
		return err
	}
	var v page.Page
	if err := o.get(ctx, id, episode, "", &v); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(w, v)
	}
	var b strings.Builder
	b.WriteString(previewText(notify.Compose(notify.Message{Page: v}, time.Now()), v))
	fmt.Fprintf(&b, "\npage %s, episode %d, revision %d\n", v.Problem, v.Episode, v.Revision)
	if v.Ack != nil {
		fmt.Fprintf(&b, "taken by %s at %s\n", notify.Clean(v.Ack.By, 80), stamped(v.Ack.At))
	}
	for _, s := range v.Silences {
		fmt.Fprintf(&b, "silence %s\n", silenceWords(s))
	}
	for _, r := range v.Receipts {
		fmt.Fprintf(&b, "%s\n", receiptWords(r))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func stamped(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func silenceWords(s page.Silence) string {
	what := notify.Clean(strings.Join(s.Matchers, ", "), 300)
	switch {
	case s.Error != "":
		return fmt.Sprintf("of %s, asked for by %s, does not stand: %s", what, notify.Clean(s.By, 80), notify.Clean(s.Error, 300))
	case !s.Ended.IsZero():
		return fmt.Sprintf("%s of %s by %s, ended %s", notify.Clean(s.ID, 80), what, notify.Clean(s.By, 80), stamped(s.Ended))
	default:
		return fmt.Sprintf("%s of %s by %s, until %s", notify.Clean(s.ID, 80), what, notify.Clean(s.By, 80), stamped(s.Until))
	}
}

// receiptWords says who was told, or why not.
func receiptWords(r page.Receipt) string {
	target := r.Target
	of, unsent := notify.ShadowOf(r.Target)
	if unsent {
		target = of
	}
	var s string
	switch {
	case unsent:
		s = target + " was not told: its receiver is in shadow"
	case !r.First.IsZero():
		s = target + " was told at " + stamped(r.First)
	case r.State == page.Failed:
		s = target + " was not told, and will not be"
	case r.State == page.Ambiguous:
		s = target + " may have been told: nobody can know"
	default:
		s = target + " was not told yet"
	}
	if r.Instead != "" {
		s += ", instead of " + notify.Clean(r.Instead, 80)
	}
	if r.Resolved {
		s += ", and of its end"
	}
	if link, ok := page.WebURL(r.Link); ok {
		s += ": " + link
	}
	if r.Error != "" {
		s += " (" + notify.Clean(r.Error, 300) + ")"
	}
	return s
}

// ActOptions say what is done to a page.
type ActOptions struct {
	PageOptions
	Verb    page.Verb
	For     string
	Until   string // RFC 3339, or "morning"
	Silence string
	Text    string
}

// ActOnPage hands in what somebody does to a page. What comes of it is told by
// the page.
func ActOnPage(ctx context.Context, w io.Writer, o ActOptions) error {
	var until time.Time
	switch {
	case o.Until == "morning":
		until = web.Morning(time.Now())
	case o.Until != "":
		var err error
		if until, err = time.Parse(time.RFC3339, o.Until); err != nil {
			return errors.New("--until: write morning, or 2026-03-01T08:00:00Z")
		}
	}
	id, episode, err := o.find(ctx)
	if err != nil {
		return err
	}
	body := map[string]any{"verb": o.Verb, "episode": episode}
	for name, value := range map[string]string{"for": o.For, "silence": o.Silence, "text": o.Text} {
		if value != "" {
			body[name] = value
		}
	}
	if !until.IsZero() {
		body["until"] = until
	}
	var answer struct {
		Event string `json:"event"`
	}
	if err := o.ask(ctx, http.MethodPost, "/api/v1/pages/"+url.PathEscape(id)+"/acts", body, &answer); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s is taken: tocsin pages why %s tells what comes of it\n", o.Verb, cmp.Or(o.Page, id))
	return err
}
