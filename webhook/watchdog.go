package webhook

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// beat takes a notification of the alert by which a cluster says that it is
// alive, and of nothing else: it pages nobody. What matters is that it comes.
func (h *Handler) beat(ctx context.Context, d delivery, n page.Notification) error {
	for _, a := range n.Alerts {
		if a.Status == page.Firing {
			return h.Door.apply(ctx, store.Put(store.BeatKey(d.cluster), []byte(d.at.UTC().Format(time.RFC3339Nano))))
		}
	}
	return nil // it has resolved: that is no sign of life
}

// isBeat reports whether all alerts of a notification are its cluster's heartbeat.
func (h *Handler) isBeat(n page.Notification) bool {
	name := h.Watchdogs[n.Cluster]
	for _, a := range n.Alerts {
		if name == "" || a.Name() != name {
			return false
		}
	}
	return len(n.Alerts) > 0
}

// LastBeat is when a cluster was last heard, the zero time if never.
func LastBeat(ctx context.Context, s store.Store, cluster string) (time.Time, error) {
	rec, err := s.Get(ctx, store.BeatKey(cluster))
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, string(rec.Value))
}

// Submit lets a body in as a webhook of a cluster, past the credentials. It is
// the way of the canary, which is to walk where every webhook walks. The error
// says that it was not stored.
func (h *Handler) Submit(ctx context.Context, cluster string, body []byte) error {
	a := h.accept(ctx, h.deliveryOf(cluster, body), "")
	h.Metrics.answered(cluster, a.Status, 0)
	if a.code != http.StatusAccepted || a.Status == "quarantined" {
		return errors.New("submit webhook: " + a.Status + ": " + a.Error)
	}
	return nil
}
