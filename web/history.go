package web

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// Query chooses pages of the history.
type Query struct {
	Text     string        // words that all stand in title, headline, summary or labels
	Match    page.Labels   // labels that one alert of the page has
	Severity page.Severity // "": any
	Receiver string        // "": any
	State    page.State    // "": any
	From, To time.Time     // opened; zero: any time
	Limit    int           // rows, at most MaxRows
	After    string        // Found.After of the answer before
}

// Found is one answer of the history.
type Found struct {
	Pages   []Row  `json:"pages"`             // newest first
	After   string `json:"after,omitempty"`   // asks for what follows; "": that was all
	Looked  int    `json:"looked"`            // pages that were read for it
	Reading bool   `json:"reading,omitempty"` // not all pages are known yet: it started a moment ago
}

// The bounds of one answer: whichever is reached first, After leads on from there.
const (
	MaxRows  = 200
	maxLooks = 5000
	maxTime  = 700 * time.Millisecond
)

// ParseQuery reads the parameters of a URL. An error says what is wrong with
// which of them.
func ParseQuery(v url.Values) (Query, error) {
	q := Query{
		Text: v.Get("q"), Severity: page.Severity(v.Get("severity")), Receiver: v.Get("receiver"),
		State: page.State(v.Get("state")), Limit: 50, After: v.Get("after"),
	}
	var errs []error
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > MaxRows {
			errs = append(errs, fmt.Errorf("limit: write a number from 1 to %d", MaxRows))
		}
		q.Limit = n
	}
	if !slices.Contains([]page.Severity{"", page.Critical, page.Error, page.Warning, page.Info}, q.Severity) {
		errs = append(errs, errors.New("severity: write critical, error, warning or info"))
	}
	if !slices.Contains([]page.State{"", page.Open, page.Closed}, q.State) {
		errs = append(errs, errors.New("state: write open or resolved"))
	}
	var err1, err2, err3 error
	q.From, err1 = moment("from", v.Get("from"))
	q.To, err2 = moment("to", v.Get("to"))
	for _, m := range v["match"] {
		name, value, ok := strings.Cut(m, "=")
		if !ok || name == "" {
			err3 = errors.New("match: write label=value")
		}
		if q.Match == nil {
			q.Match = page.Labels{}
		}
		q.Match[name] = value
	}
	if _, ok := parseCursor(q.After); !ok {
		errs = append(errs, errors.New("after: take it from the answer before"))
	}
	return q, errors.Join(append(errs, err1, err2, err3)...)
}

// moment reads a day, a minute as browsers write it, or RFC 3339; UTC where no
// zone is written. To a day is to its end.
func moment(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		t, err := time.Parse(layout, s)
		if err == nil && layout == time.DateOnly && name == "to" {
			t = t.AddDate(0, 0, 1)
		}
		if err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: write it as 2026-03-01 or 2026-03-01T12:00:00Z", name)
}

// Find returns pages that the query chooses, newest first. It does bounded work:
// where that does not suffice, it returns what it found and where to go on.
func (b *Board) Find(ctx context.Context, q Query) (Found, error) {
	out := Found{Pages: []Row{}}
	from, ok := parseCursor(q.After)
	if !ok {
		return out, &Refusal{Status: http.StatusBadRequest, Text: "after: take it from the answer before"}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*maxTime) // a store that hangs
	defer cancel()
	limit := q.Limit
	if limit < 1 || limit > MaxRows {
		limit = MaxRows
	}
	stubs, all := b.chosen(q, from)
	out.Reading = !all
	sought, end := words(q.Text), time.Now().Add(maxTime)
	for i, s := range stubs {
		if len(out.Pages) == limit || out.Looked == maxLooks || i > 0 && time.Now().After(end) {
			out.After = stubs[i-1].cursor()
			break
		}
		v, err := b.archive.record(ctx, s.key)
		if missing(err) {
			continue // it was dropped meanwhile
		}
		if err != nil {
			return out, err
		}
		out.Looked++
		v = v.Redact(b.archive.Redact()...)
		if row := rowOf(v); row.holds(sought) && carries(v, q.Match) {
			out.Pages = append(out.Pages, row)
		}
	}
	if out.After == "" && len(stubs) > maxLooks {
		out.After = stubs[maxLooks].cursor()
	}
	return out, nil
}

// chosen returns, newest first, what can be chosen without reading pages, and
// whether all are known. It is longer than one answer only by one.
func (b *Board) chosen(q Query, from *stub) (out []stub, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := len(b.order)
	if from != nil {
		end, _ = slices.BinarySearchFunc(b.order, *from, stub.compare)
	}
	for i := end - 1; i >= 0 && len(out) <= maxLooks; i-- {
		s := b.order[i]
		if !q.From.IsZero() && s.at < q.From.UnixNano() {
			break
		}
		if q.Severity != "" && s.severity != q.Severity || q.Receiver != "" && s.receiver != q.Receiver ||
			q.State != "" && s.open != (q.State == page.Open) || !q.To.IsZero() && s.at >= q.To.UnixNano() {
			continue
		}
		out = append(out, s)
	}
	return out, b.known
}

// carries reports whether one alert of the page has all of these labels.
func carries(v page.Page, match page.Labels) bool {
	has := func(a page.Alert) bool {
		for name, value := range match {
			if have, ok := a.Labels[name]; !ok || have != value {
				return false
			}
		}
		return true
	}
	return len(match) == 0 || slices.ContainsFunc(v.Alerts, has) || slices.ContainsFunc(v.Resolved, has)
}

// cursor names a place in the history that stays where it is when pages come
// and go.
func (s stub) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(s.at, 10) + " " + s.key))
}

// parseCursor returns nil for the empty cursor.
func parseCursor(c string) (*stub, bool) {
	if c == "" {
		return nil, true
	}
	raw, err := base64.RawURLEncoding.DecodeString(c)
	at, key, ok := strings.Cut(string(raw), " ")
	n, err2 := strconv.ParseInt(at, 10, 64)
	if err != nil || err2 != nil || !ok || !strings.HasPrefix(key, store.PagesPrefix) {
		return nil, false
	}
	return &stub{at: n, key: key}, true
}
