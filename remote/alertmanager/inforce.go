package alertmanager

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// InForce is a silence that hides alerts now.
type InForce struct {
	ID       string
	Matchers labels.Matchers
	By       string
	Comment  string
	Until    time.Time
}

// InForce returns the silences that are in force: not those that are yet to come
// or over. One whose matchers cannot be read is an error: whom it hides is not known.
func (c *Client) InForce(ctx context.Context) ([]InForce, error) {
	const op = "list silences"
	var there []silence
	if err := c.get(ctx, op, "/api/v2/silences", &there); err != nil {
		return nil, err
	}
	var out []InForce
	for _, s := range there {
		if s.Status == nil || s.Status.State != "active" {
			continue
		}
		f := InForce{ID: s.ID, By: s.CreatedBy, Comment: s.Comment, Until: s.EndsAt}
		for _, m := range s.Matchers {
			read, err := labels.NewMatcher(m.how(), m.Name, m.Value)
			if err != nil {
				return nil, &remote.Error{Op: op, Class: remote.Unknown, Err: fmt.Errorf("silence %s: %w", s.ID, err)}
			}
			f.Matchers = append(f.Matchers, read)
		}
		out = append(out, f)
	}
	return out, nil
}

func (m matcher) how() labels.MatchType {
	switch {
	case m.IsRegex && m.IsEqual:
		return labels.MatchRegexp
	case m.IsRegex:
		return labels.MatchNotRegexp
	case m.IsEqual:
		return labels.MatchEqual
	}
	return labels.MatchNotEqual
}

// Unresolved returns all alerts that have not resolved, silenced and inhibited
// ones too, and carry all of these labels with exactly these values.
func (c *Client) Unresolved(ctx context.Context, with page.Labels) ([]Alert, error) {
	q := url.Values{}
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
