package app

import (
	"context"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/alertmanager"
)

// Silence implements pipeline.Silencer: the cluster is the one whose credentials
// the webhook had, its address is the config's.
func (a asker) Silence(ctx context.Context, cluster string, labels page.Labels, s page.Silence, marker string) (string, error) {
	c, err := a.client(cluster)
	if err != nil {
		return "", err
	}
	return c.Silence(ctx, alertmanager.Silence{Labels: labels, By: s.By, From: s.At, Until: s.Until, Marker: marker})
}

// Unsilence implements pipeline.Silencer.
func (a asker) Unsilence(ctx context.Context, cluster, id string) error {
	c, err := a.client(cluster)
	if err != nil {
		return err
	}
	return c.Unsilence(ctx, id)
}

func (a asker) client(cluster string) (*alertmanager.Client, error) {
	c, ok := a[cluster]
	if !ok || c.Base == "" {
		return nil, &remote.Error{Op: "ask cluster " + cluster, Class: remote.Config, Reason: "it has no url in the config"}
	}
	return c, nil
}
