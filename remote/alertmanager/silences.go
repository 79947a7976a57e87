package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Silence is what is asked of Alertmanager: to be quiet about the alerts that
// have exactly these labels, and others beside them.
type Silence struct {
	Labels page.Labels
	By     string
	From   time.Time
	Until  time.Time
	Marker string // stands in its comment: a repeat is known by it
}

// silence is a silence as API v2 writes it.
type silence struct {
	ID        string    `json:"id,omitempty"`
	Matchers  []matcher `json:"matchers"`
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	CreatedBy string    `json:"createdBy"`
	Comment   string    `json:"comment"`
	Status    *status   `json:"status,omitempty"`
}

type matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`
}

type status struct {
	State string `json:"state"`
}

// Silence makes a silence and returns its id. Alertmanager would make a second
// one for the same request, so the marker is looked for first: after an outcome
// nobody knows, calling again doubles nothing.
func (c *Client) Silence(ctx context.Context, s Silence) (id string, err error) {
	const op = "post silence"
	if len(s.Labels) == 0 {
		return "", &remote.Error{Op: op, Class: remote.Content, Reason: "without labels it would hide every alert"}
	}
	mark := "(tocsin event " + s.Marker + ")"
	id, err = c.marked(ctx, s.Labels, mark)
	if id != "" || err != nil {
		return id, err
	}
	body := silence{StartsAt: s.From.UTC(), EndsAt: s.Until.UTC(), CreatedBy: s.By, Comment: "silenced through Tocsin by " + s.By + " " + mark}
	for _, name := range s.Labels.Names() {
		body.Matchers = append(body.Matchers, matcher{Name: name, Value: s.Labels[name], IsEqual: true})
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return "", &remote.Error{Op: op, Class: remote.Content, Err: err}
	}
	res, err := c.call(ctx, op, http.MethodPost, "/api/v2/silences", raw)
	if err != nil {
		return "", err
	}
	var made struct {
		SilenceID string `json:"silenceID"`
	}
	if err := json.Unmarshal(res.Body, &made); err != nil || made.SilenceID == "" {
		return "", &remote.Error{Op: op, Class: remote.Unknown, Status: res.Status, Err: err}
	}
	return made.SilenceID, nil
}

// marked returns the id of the silence over these labels that carries a mark.
func (c *Client) marked(ctx context.Context, with page.Labels, mark string) (id string, err error) {
	const op = "list silences"
	q := url.Values{}
	for _, name := range with.Names() {
		m, err := labels.NewMatcher(labels.MatchEqual, name, with[name])
		if err != nil {
			return "", &remote.Error{Op: op, Class: remote.Content, Err: err}
		}
		q.Add("filter", m.String())
	}
	var there []silence
	if err := c.get(ctx, op, "/api/v2/silences?"+q.Encode(), &there); err != nil {
		return "", err
	}
	for _, s := range there {
		if strings.Contains(s.Comment, mark) {
			return s.ID, nil
		}
	}
	return "", nil
}

// Unsilence ends a silence. One that has ended, or is not there, is no error.
func (c *Client) Unsilence(ctx context.Context, id string) error {
	_, err := c.call(ctx, "end silence", http.MethodDelete, "/api/v2/silence/"+url.PathEscape(id), nil)
	if err == nil || remote.ClassOf(err) == remote.Gone {
		return nil
	}
	// Alertmanager answers 500 for one that has ended already
	var s silence
	if c.get(ctx, "read silence", "/api/v2/silence/"+url.PathEscape(id), &s) == nil && s.Status != nil && s.Status.State == "expired" {
		return nil
	}
	return err
}

func (c *Client) call(ctx context.Context, op, method, path string, body []byte) (remote.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.Base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return remote.Response{}, &remote.Error{Op: op, Class: remote.Config, Err: remote.Redact(err)}
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.Remote.Do(req, op)
	if err != nil || res.Status == http.StatusOK {
		return res, err
	}
	class := remote.Unknown
	switch res.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		class = remote.Content
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed:
		class = remote.Config
	case http.StatusNotFound:
		class = remote.Gone
	}
	return res, &remote.Error{Op: op, Class: class, Status: res.Status, Reason: reason(res.Body)}
}

// reason is Alertmanager's own word for a refusal: a JSON string, or an object
// with a message.
func reason(body []byte) string {
	var text string
	var object struct {
		Message string `json:"message"`
	}
	switch {
	case json.Unmarshal(body, &text) == nil:
	case json.Unmarshal(body, &object) == nil:
		text = object.Message
	default:
		return ""
	}
	return fmt.Sprintf("%.200s", firstLine(text))
}
