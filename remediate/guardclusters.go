package remediate

import (
	"context"
	"fmt"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/alertmanager"
)

// Alertmanagers are the clusters that guards ask, by name.
type Alertmanagers map[string]*alertmanager.Client

var _ Alertmanager = Alertmanagers(nil)

// Active asks the cluster which of the alerts are active.
func (a Alertmanagers) Active(ctx context.Context, cluster string, alerts []page.Alert) ([]page.Alert, error) {
	c, err := a.client(cluster)
	if err != nil {
		return nil, err
	}
	return c.Active(ctx, alerts)
}

// Firing asks the cluster for its alerts, silenced and inhibited ones too.
func (a Alertmanagers) Firing(ctx context.Context, cluster string, with page.Labels) ([]page.Alert, error) {
	c, err := a.client(cluster)
	if err != nil {
		return nil, err
	}
	there, err := c.Unresolved(ctx, with)
	if err != nil {
		return nil, err
	}
	out := make([]page.Alert, len(there))
	for i, x := range there {
		out[i] = page.Alert{
			ID: x.Labels.ID(), Status: page.Firing, Labels: x.Labels, Annotations: x.Annotations,
			StartsAt: x.StartsAt, EndsAt: x.EndsAt, GeneratorURL: x.GeneratorURL, Fingerprint: x.Fingerprint,
		}
	}
	return out, nil
}

// Silences asks the cluster for the silences in force.
func (a Alertmanagers) Silences(ctx context.Context, cluster string) ([]Silence, error) {
	c, err := a.client(cluster)
	if err != nil {
		return nil, err
	}
	there, err := c.InForce(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Silence, len(there))
	for i, s := range there {
		out[i] = Silence{ID: s.ID, Matchers: s.Matchers, By: s.By, Why: s.Comment, Until: s.Until}
	}
	return out, nil
}

func (a Alertmanagers) client(cluster string) (*alertmanager.Client, error) {
	c := a[cluster]
	if c == nil || c.Base == "" {
		return nil, fmt.Errorf("ask cluster %s: it has no url in the config", cluster)
	}
	return c, nil
}
