package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote/alertmanager"
	"github.com/tocsin/tocsin/webhook"
)

// rereader asks every configured Alertmanager what fires, and lets it in as if
// it had been sent: after a start, after damage, after the door failed open.
// What is known already changes nothing; what was missed is found before
// Alertmanager's next word on it, which may be hours away.
type rereader struct {
	clusters asker
	serves   func(receiver string) bool
	door     *webhook.Door
	log      *slog.Logger
	now      func() time.Time
	metrics  *metrics
}

const (
	rereadFor   = 10 * time.Second
	rereadTries = 6
	rereadWait  = 5 * time.Second // doubling
)

// run reads all clusters, each until it answered or was tried often enough.
func (r *rereader) run(ctx context.Context) {
	for _, name := range slices.Sorted(maps.Keys(r.clusters)) {
		if c := r.clusters[name]; c.Base != "" {
			r.cluster(ctx, name, c)
		}
	}
}

func (r *rereader) cluster(ctx context.Context, name string, c *alertmanager.Client) {
	wait := rereadWait
	for try := 1; ; try++ {
		n, err := r.read(ctx, name, c)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			r.metrics.reread.WithLabelValues(name, "read").Inc()
			r.log.Info("open alerts were read from Alertmanager", "cluster", name, "groups", n)
			return
		case try == rereadTries:
			r.metrics.reread.WithLabelValues(name, "failed").Inc()
			r.log.Warn("open alerts could not be read from Alertmanager: they come with its next webhooks", "cluster", name, "err", err)
			return
		}
		r.log.Debug("read open alerts: tried again", "cluster", name, "attempt", try, "err", err)
		pause(ctx, wait)
		wait *= 2
	}
}

// read lets one cluster's groups in and returns how many there were.
func (r *rereader) read(ctx context.Context, cluster string, c *alertmanager.Client) (int, error) {
	asking, cancel := context.WithTimeout(ctx, rereadFor)
	defer cancel()
	groups, err := c.Groups(asking, r.now())
	if err != nil {
		return 0, err
	}
	n := 0
	for _, g := range groups {
		if !r.serves(g.Receiver) {
			continue
		}
		note := notification(cluster, g)
		now := r.now()
		err := r.door.Put(ctx, page.Event{
			Problem: note.ProblemID(), Kind: page.Notified, Actor: "reread/" + cluster, At: now, Notification: &note,
			ID: fmt.Sprintf("reread/%s/%d", note.ProblemID(), now.UnixNano()),
		})
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// notification is the webhook that would say the same.
func notification(cluster string, g alertmanager.Group) page.Notification {
	n := page.Notification{
		Cluster: cluster, Receiver: g.Receiver, GroupKey: g.Key, Status: page.Firing, GroupLabels: g.Labels,
		CommonLabels: g.Alerts[0].Labels.Clone(), CommonAnnotations: g.Alerts[0].Annotations.Clone(),
	}
	for _, a := range g.Alerts {
		keep(n.CommonLabels, a.Labels)
		keep(n.CommonAnnotations, a.Annotations)
		n.Alerts = append(n.Alerts, page.Alert{
			ID: a.Labels.ID(), Status: page.Firing, Labels: a.Labels, Annotations: a.Annotations,
			StartsAt: a.StartsAt, GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint,
		})
	}
	return n
}

// keep takes from common what l does not share.
func keep(common, l page.Labels) {
	maps.DeleteFunc(common, func(name, value string) bool { return l[name] != value })
}
