package pagerduty

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/remote"
)

// events is the Events API v2 as one integration key sees it.
type events struct {
	http *remote.Client
	base *url.URL
	key  config.Secret
	now  func() time.Time
}

// The two ends of the Events API.
const (
	alertPath  = "v2/enqueue"
	changePath = "v2/change/enqueue"
)

// send enqueues an event.
func (e events) send(ctx context.Context, path string, body []byte) error {
	op := "enqueue event"
	if path == changePath {
		op = "enqueue change event"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return &remote.Error{Op: op, Class: remote.Config, Err: remote.Redact(err)}
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := e.http.Do(req, op)
	if err != nil {
		return err
	}
	return e.outcome(res, op)
}

// outcome sorts answers as the Events API v2 documents them: 202 is accepted,
// 400 will never be, 429 was not ingested.
func (e events) outcome(res remote.Response, op string) error {
	out := &remote.Error{Op: op, Status: res.Status, RetryAfter: remote.ParseRetryAfter(res.Header, e.now())}
	var a pagerduty.V2EventResponse
	readable := json.Unmarshal(res.Body, &a) == nil
	switch {
	case res.Status == http.StatusAccepted:
		return nil
	case res.Status == http.StatusTooManyRequests:
		out.Class, out.Reason = remote.NotSent, "throttled"
	case res.Status == http.StatusBadRequest && readable:
		out.Class, out.Reason = remote.Content, notify.Clean(strings.Join(a.Errors, "; "), 200)
		if strings.Contains(out.Reason, "routing_key") {
			out.Class = remote.Config
		}
		out.Reason = strings.ReplaceAll(out.Reason, e.key.Reveal(), e.key.String())
	case res.Status == http.StatusRequestEntityTooLarge || res.Status == http.StatusBadRequest:
		out.Class = remote.Content
	case res.Status >= 300 && res.Status < 500 && res.Status != http.StatusRequestTimeout:
		out.Class = remote.Config
	default: // 5xx, or a 2xx that is not the Events API's
		out.Class = remote.Unknown
	}
	return out
}
