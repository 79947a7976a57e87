// Package alertmanager is a client of Alertmanager's API v2, as far as more
// than one room needs it. Its addresses come from the config, never from the
// externalURL of a webhook.
package alertmanager

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Client talks to one Alertmanager cluster through any of its peers.
type Client struct {
	Base   string // http://alertmanager:9093, with a path prefix if there is one
	Remote *remote.Client
}

// MaxAnswer bounds the bytes of one answer.
const MaxAnswer = 32 << 20

// askFor bounds one call: an alert waits for its answer.
const askFor = 5 * time.Second

// Alert is one alert as /api/v2/alerts shows it.
type Alert struct {
	Labels       page.Labels `json:"labels"`
	Annotations  page.Labels `json:"annotations"`
	StartsAt     time.Time   `json:"startsAt"`
	EndsAt       time.Time   `json:"endsAt"`
	GeneratorURL string      `json:"generatorURL"`
	Fingerprint  string      `json:"fingerprint"`
}

// Alerts returns the alerts that are active (neither silenced nor inhibited)
// and carry all of these labels with exactly these values.
func (c *Client) Alerts(ctx context.Context, with page.Labels) ([]Alert, error) {
	q := active()
	for _, name := range with.Names() {
		m, err := labels.NewMatcher(labels.MatchEqual, name, with[name])
		if err != nil {
			return nil, &remote.Error{Op: "list alerts", Class: remote.Content, Err: err}
		}
		q.Add("filter", m.String())
	}
	var out []Alert
	return out, c.get(ctx, "list alerts", "/api/v2/alerts?"+q.Encode(), &out)
}

// Held returns the IDs of all alerts that have not resolved, silenced and
// inhibited ones too.
func (c *Client) Held(ctx context.Context) (map[string]bool, error) {
	var out []Alert
	if err := c.get(ctx, "list alerts", "/api/v2/alerts", &out); err != nil {
		return nil, err
	}
	held := make(map[string]bool, len(out))
	for _, a := range out {
		held[a.Labels.ID()] = true
	}
	return held, nil
}

// Up returns since when the peer that answers is up.
func (c *Client) Up(ctx context.Context) (since time.Time, err error) {
	var answer struct {
		Uptime time.Time `json:"uptime"`
	}
	err = c.get(ctx, "read status", "/api/v2/status", &answer)
	return answer.Uptime, err
}

// Status asks whether the cluster answers.
func (c *Client) Status(ctx context.Context) error {
	_, err := c.Up(ctx)
	return err
}

func (c *Client) get(ctx context.Context, op, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(c.Base, "/")+path, http.NoBody)
	if err != nil {
		return &remote.Error{Op: op, Class: remote.Config, Err: remote.Redact(err)}
	}
	res, err := c.Remote.Do(req, op)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK {
		return &remote.Error{Op: op, Class: remote.NotSent, Status: res.Status}
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return &remote.Error{Op: op, Class: remote.Unknown, Status: res.Status, Err: err}
	}
	return nil
}

// Active returns those of the alerts that Alertmanager holds as active now.
func (c *Client) Active(ctx context.Context, alerts []page.Alert) ([]page.Alert, error) {
	if len(alerts) == 0 {
		return nil, nil
	}
	there, err := c.Alerts(ctx, common(alerts))
	if err != nil {
		return nil, err
	}
	ids := make(map[string]bool, len(there))
	for _, a := range there {
		ids[a.Labels.ID()] = true
	}
	var out []page.Alert
	for _, a := range alerts {
		if ids[a.ID] {
			out = append(out, a)
		}
	}
	return out, nil
}

// common returns the labels all alerts share.
func common(alerts []page.Alert) page.Labels {
	out := alerts[0].Labels.Clone()
	for _, a := range alerts[1:] {
		for name, value := range out {
			if a.Labels[name] != value {
				delete(out, name)
			}
		}
	}
	return out
}
