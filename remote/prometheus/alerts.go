package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/prometheus/common/model"
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

// Global is what a server's config says about all rules.
type Global struct {
	External   page.Labels   // labels it puts on whatever it sends
	Evaluation time.Duration // interval of groups that name none; 0: not told
	RuleOffset time.Duration // query offset of groups that name none
}

// Global reads the global section of the server's config. Other servers than
// Prometheus have none to tell.
func (c *Client) Global(ctx context.Context) (Global, error) {
	var body struct {
		Data struct {
			YAML string `json:"yaml"`
		} `json:"data"`
	}
	if err := c.list(ctx, "read config", "api/v1/status/config", &body); err != nil {
		return Global{}, err
	}
	var config struct {
		Global struct {
			External   page.Labels    `yaml:"external_labels"`
			Evaluation model.Duration `yaml:"evaluation_interval"`
			RuleOffset model.Duration `yaml:"rule_query_offset"`
		} `yaml:"global"`
	}
	if err := yaml.Unmarshal([]byte(body.Data.YAML), &config); err != nil {
		return Global{}, &remote.Error{Op: "read config", Class: remote.Content, Err: errors.New("answer holds no YAML")}
	}
	g := config.Global
	return Global{External: maps.Clone(g.External), Evaluation: time.Duration(g.Evaluation), RuleOffset: time.Duration(g.RuleOffset)}, nil
}

// ExternalLabels are the labels that the server puts on whatever it sends: they
// stand in its config. Other servers than Prometheus have none to tell.
func (c *Client) ExternalLabels(ctx context.Context) (page.Labels, error) {
	g, err := c.Global(ctx)
	return g.External, err
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
