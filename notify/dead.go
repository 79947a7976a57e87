package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// DeadLetter is a delivery that was given up: the target refused it in plain
// form too, or it expired.
type DeadLetter struct {
	At       time.Time     `json:"at"`
	Target   string        `json:"target"`
	Problem  string        `json:"problem"`
	Episode  int           `json:"episode"`
	Receiver string        `json:"receiver"`
	Verb     string        `json:"verb"`
	Severity page.Severity `json:"severity"`
	Title    string        `json:"title"`
	Error    string        `json:"error"`
}

// bury writes down that the delivery is given up.
func (d *delivery) bury(r page.Receipt) (store.Op, error) {
	value, err := store.Marshal(DeadLetter{
		At: r.At, Target: d.target.String(), Problem: r.Problem, Episode: r.Episode, Receiver: r.Receiver,
		Verb: r.Verb, Severity: d.page.Severity, Title: Clean(d.page.Title, maxTitle), Error: r.Error,
	})
	return store.Put(d.grave(), value).Until(r.At.Add(deliveryFor)), err
}

func (d *delivery) grave() string {
	return store.DeadKey(d.target.String(), d.work.Problem, d.work.Episode)
}

// Dead lists the deliveries that were given up, by target.
func Dead(ctx context.Context, st store.Store) ([]DeadLetter, error) {
	const batch = 100
	var out []DeadLetter
	for after := ""; ; {
		recs, err := st.Scan(ctx, store.DeadPrefix, after, batch)
		if err != nil {
			return out, fmt.Errorf("list dead letters: %w", err)
		}
		for _, rec := range recs {
			var l DeadLetter
			if err := store.Unmarshal(rec.Value, &l); err != nil {
				return out, fmt.Errorf("read dead letter %s: %w", rec.Key, err)
			}
			out, after = append(out, l), rec.Key
		}
		if len(recs) < batch {
			return out, nil
		}
	}
}

// Redrive has a delivery tried again that was given up: as the page is now, from
// the first attempt on. store.ErrNotFound says that there is no such dead
// letter, or that its page is gone.
func Redrive(ctx context.Context, st store.Store, target, problem string, episode int, now time.Time) error {
	key := store.DeadKey(target, problem, episode)
	rec, err := st.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read dead letter: %w", err)
	}
	var l DeadLetter
	if err := store.Unmarshal(rec.Value, &l); err != nil {
		return fmt.Errorf("read dead letter: %w", err)
	}
	if _, err := st.Get(ctx, store.PageKey(problem, episode)); err != nil {
		return fmt.Errorf("read the page of a dead letter: %w", err)
	}
	k := work{Problem: problem, Episode: episode, Receiver: l.Receiver, At: now.UnixMilli()}
	err = st.Apply(ctx, store.DeleteIf(key, rec.Rev), store.Enqueue(store.Item{
		Lane: store.LaneDeliver + target, Key: problem, Priority: priority(l.Severity, Verb(l.Verb) == VerbOpen), Value: k.encode(),
		ID: fmt.Sprintf("%s/%d/redrive/%d", problem, episode, rec.Rev),
	}))
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("dead letter was driven again by somebody else: %w", store.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("drive dead letter again: %w", err)
	}
	return nil
}

// countDead keeps the gauge of dead letters.
func (w *Worker) countDead(ctx context.Context) error {
	letters, err := Dead(ctx, w.Store)
	if err != nil {
		return err
	}
	count := map[string]int{}
	for _, l := range letters {
		count[l.Target]++
	}
	for _, t := range w.Targets {
		w.Metrics.dead.WithLabelValues(t.Kind, t.Name).Set(float64(count[t.String()]))
	}
	return nil
}
