package webhook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

const (
	quarantineFor   = 7 * 24 * time.Hour
	quarantineBytes = 1 << 20 // of one body
	quarantineHour  = 8 << 20 // of all bodies in an hour
)

// Quarantined is the record of a body that could not be read, under
// store.QuarantineKey.
type Quarantined struct {
	Cluster  string    `json:"cluster"`
	Receiver string    `json:"receiver,omitempty"` // if it could be made out
	At       time.Time `json:"at"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Bytes    int       `json:"bytes"`          // that were read
	Body     []byte    `json:"body,omitempty"` // the first MiB; none where too many came in the hour
}

// quarantine keeps a body that cannot be read, and raises the alarm about it, in
// one batch. It is acknowledged then: sent again it would read no better, and a
// 4xx would have Alertmanager drop it in silence.
func (h *Handler) quarantine(ctx context.Context, d delivery, bad *Unreadable) (page.Event, error) {
	kept := d.body[:min(len(d.body), quarantineBytes)]
	q := Quarantined{
		Cluster: d.cluster, Receiver: salvage(kept), At: d.at,
		Reason: bad.Reason, Error: bad.Error(), Bytes: len(d.body),
	}
	if h.ration.take(len(kept), d.at) {
		q.Body = kept
	}
	value, err := store.Marshal(q)
	if err != nil {
		return page.Event{}, err
	}
	labels := page.Labels{"cluster": d.cluster, "reason": bad.Reason}
	if q.Receiver != "" {
		labels["receiver"] = q.Receiver
	}
	e := Alarm("TocsinUnreadableWebhook",
		fmt.Sprintf("a webhook of Alertmanager %s cannot be read: its alerts page nobody", d.cluster),
		fmt.Sprintf("%s. The body is kept for 7 days under %s.", bad.Error(), d.sum), labels, d.at)
	op, err := enqueue(e)
	if err != nil {
		return page.Event{}, err
	}
	return e, h.admit(ctx, d, "quarantine/"+d.sum, op,
		store.Put(store.QuarantineKey(d.sum), value).Until(d.at.Add(quarantineFor)))
}

// ration bounds how many bytes are kept in an hour, so that a stream of bad
// bodies does not fill the disk.
type ration struct {
	mu   sync.Mutex
	hour time.Time
	used int
}

func (r *ration) take(n int, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hour := at.Truncate(time.Hour); !hour.Equal(r.hour) {
		r.hour, r.used = hour, 0
	}
	if r.used+n > quarantineHour {
		return false
	}
	r.used += n
	return true
}
