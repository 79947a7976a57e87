package pagerduty

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/remote"
)

// incident is what is read of one.
type incident struct {
	ID     string `json:"id"`
	Key    string `json:"incident_key"` // the dedup_key of its first alert
	Status string `json:"status"`
	URL    string `json:"html_url"`
}

// rest is the little of the REST API v2 that is needed. go-pagerduty's client is
// not used: its errors drop the headers that say when to come back, and nobody
// can tell from them whether a note was taken.
type rest struct {
	http  *remote.Client
	base  *url.URL
	token config.Secret
	from  string
	now   func() time.Time
}

// incident returns the newest incident of a dedup key. Without since PagerDuty
// looks back one month only; the hour is for clocks that differ.
func (r *rest) incident(ctx context.Context, key string, since time.Time) (incident, bool, error) {
	q := url.Values{"incident_key": {key}, "sort_by": {"created_at:desc"}, "limit": {"1"}}
	if !since.IsZero() {
		q.Set("since", since.Add(-time.Hour).UTC().Format(time.RFC3339))
	}
	var out struct {
		Incidents []incident `json:"incidents"`
	}
	err := r.call(ctx, "list incidents", http.MethodGet, "incidents?"+q.Encode(), nil, &out)
	if err != nil || len(out.Incidents) == 0 {
		return incident{}, false, err
	}
	in := out.Incidents[0]
	in.Key = key
	return in, true, nil
}

// keyOf returns the dedup key of an incident.
func (r *rest) keyOf(ctx context.Context, id string) (string, error) {
	var out struct {
		Incident incident `json:"incident"`
	}
	err := r.call(ctx, "read incident", http.MethodGet, "incidents/"+url.PathEscape(id), nil, &out)
	return out.Incident.Key, err
}

// notes returns what the notes of an incident say.
func (r *rest) notes(ctx context.Context, id string) ([]string, error) {
	var out struct {
		Notes []struct {
			Content string `json:"content"`
		} `json:"notes"`
	}
	err := r.call(ctx, "list notes", http.MethodGet, "incidents/"+url.PathEscape(id)+"/notes", nil, &out)
	says := make([]string, len(out.Notes))
	for i, n := range out.Notes {
		says[i] = n.Content
	}
	return says, err
}

func (r *rest) note(ctx context.Context, id, text string) error {
	body, err := noteBody(text)
	if err != nil {
		return &remote.Error{Op: "post note", Class: remote.Content, Err: err}
	}
	return r.call(ctx, "post note", http.MethodPost, "incidents/"+url.PathEscape(id)+"/notes", body, nil)
}

func noteBody(text string) ([]byte, error) {
	return encode(map[string]map[string]string{"note": {"content": text}})
}

// check reads one incident at most, which the token must be good for.
func (r *rest) check(ctx context.Context) error {
	return r.call(ctx, "list incidents", http.MethodGet, "incidents?limit=1", nil, nil)
}

// call makes one call and decodes its answer into out unless that is nil.
func (r *rest) call(ctx context.Context, op, method, path string, body []byte, out any) error {
	path, query, _ := strings.Cut(path, "?")
	u := r.base.JoinPath(path)
	u.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return &remote.Error{Op: op, Class: remote.Config, Err: remote.Redact(err)}
	}
	req.Header.Set("Authorization", "Token token="+r.token.Reveal())
	req.Header.Set("Accept", "application/vnd.pagerduty+json;version=2")
	req.Header.Set("From", r.from)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := r.http.Do(req, op)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK && res.Status != http.StatusCreated {
		return r.refused(res, op)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(res.Body, out); err != nil {
		return &remote.Error{Op: op, Class: remote.Unknown, Status: res.Status, Err: fmt.Errorf("decode answer: %w", err)}
	}
	return nil
}

// refused sorts what the REST API answers instead of 200 or 201.
func (r *rest) refused(res remote.Response, op string) error {
	var a struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	e := &remote.Error{Op: op, Status: res.Status}
	if json.Unmarshal(res.Body, &a) == nil && a.Error.Message != "" {
		e.Reason = notify.Clean(fmt.Sprintf("%s (%d)", a.Error.Message, a.Error.Code), 200)
		e.Reason = strings.ReplaceAll(e.Reason, r.token.Reveal(), r.token.String())
	}
	switch {
	case res.Status == http.StatusTooManyRequests:
		e.Class, e.RetryAfter = remote.NotSent, remote.ParseRetryAfter(res.Header, r.now())
		if s, err := strconv.Atoi(res.Header.Get("Ratelimit-Reset")); err == nil && e.RetryAfter == 0 {
			e.RetryAfter = max(0, time.Duration(s)*time.Second)
		}
	case res.Status == http.StatusNotFound:
		e.Class = remote.Gone
	case res.Status == http.StatusBadRequest || res.Status == http.StatusRequestEntityTooLarge:
		e.Class = remote.Content
	case res.Status >= 300 && res.Status < 500 && res.Status != http.StatusRequestTimeout:
		e.Class = remote.Config
	default:
		e.Class = remote.Unknown
	}
	return e
}
