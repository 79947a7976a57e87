package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Alert is an alert of the server's own rules.
type Alert struct {
	Labels   page.Labels `json:"labels"` // without the server's external ones
	State    string      `json:"state"`  // pending, firing
	ActiveAt time.Time   `json:"activeAt"`
}

// Alerts lists the alerts that are pending or fire.
func (c *Client) Alerts(ctx context.Context) ([]Alert, error) {
	var body struct {
		Data struct {
			Alerts []Alert `json:"alerts"`
		} `json:"data"`
	}
	return body.Data.Alerts, c.list(ctx, "list alerts", "api/v1/alerts", &body)
}

// ExternalLabels are the labels that the server puts on whatever it sends: they
// stand in its config. Other servers than Prometheus have none to tell.
func (c *Client) ExternalLabels(ctx context.Context) (page.Labels, error) {
	var body struct {
		Data struct {
			YAML string `json:"yaml"`
		} `json:"data"`
	}
	if err := c.list(ctx, "read config", "api/v1/status/config", &body); err != nil {
		return nil, err
	}
	var config struct {
		Global struct {
			External page.Labels `yaml:"external_labels"`
		} `yaml:"global"`
	}
	if err := yaml.Unmarshal([]byte(body.Data.YAML), &config); err != nil {
		return nil, &remote.Error{Op: "read config", Class: remote.Content, Err: errors.New("answer holds no YAML")}
	}
	return maps.Clone(config.Global.External), nil
}

// list reads one of the server's lists.
func (c *Client) list(ctx context.Context, op, path string, into any) error {
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return &remote.Error{Op: op, Class: remote.Config, Err: err}
	}
	res, err := c.http.Do(req, op)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK {
		return refusal(op, res.Status, res.Body)
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return &remote.Error{Op: op, Class: remote.Content, Err: errors.New("answer is not the JSON that Prometheus sends")}
	}
	return nil
}
