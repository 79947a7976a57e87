package thanos

import (
	"context"
	"sync"
	"time"
)

// before are the times at which those who are not there any more are looked
// for: the first at which somebody was who is gone now is taken. What is younger
// than all of those was there some minutes ago, if ever.
func before() []time.Duration {
	return []time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour, 4 * time.Minute, time.Minute}
}

// vanished asks who was there and is not any more. All times are asked at once:
// a rule may have waited long for a member to come back.
func (c *inquiry) vanished(ctx context.Context) ([]member, error) {
	ago := before()
	then, errs := make([]vector, len(ago)), make([]error, len(ago))
	var all sync.WaitGroup
	for i, d := range ago {
		all.Go(func() { then[i], errs[i] = c.queryAt(ctx, c.ask.Member, c.at.Add(-d)) })
	}
	now, err := c.query(ctx, c.ask.Member)
	all.Wait()
	if err != nil {
		return nil, err
	}
	left := c.distinct(now.rows)
	var rows []member
	for i := range ago {
		if errs[i] != nil {
			return nil, errs[i]
		}
		gone := 0
		if rows, gone = compared(c.distinct(then[i].rows), left); gone > 0 {
			c.lastSeen = c.last(ctx, ago[i])
			break
		}
	}
	return rows, nil
}

// last asks when the last of those who are gone was there, to a minute within
// the hour. Zero where it is not to be had.
func (c *inquiry) last(ctx context.Context, back time.Duration) time.Time {
	a, err := c.query(ctx, c.alert.LastSeen(c.who, back, min(max(30*time.Second, back/60), 5*time.Minute)))
	if err != nil || len(a.rows) != 1 {
		return time.Time{}
	}
	at := time.UnixMilli(int64(1000 * a.rows[0].all))
	if at.After(c.at) || at.Before(c.at.Add(-back-time.Hour)) { // the server's own notion of it
		return time.Time{}
	}
	return at
}

// lacking asks which of the members lack what they should have.
func (c *inquiry) lacking(ctx context.Context) ([]member, error) {
	var those vector
	var errThose error
	var both sync.WaitGroup
	both.Go(func() { those, errThose = c.query(ctx, c.ask.Bad) })
	all, err := c.query(ctx, c.ask.Member)
	both.Wait()
	if err != nil {
		return nil, err
	}
	rows := c.distinct(all.rows)
	bad := keys(c.distinct(those.rows))
	for i, m := range rows {
		rows[i].value = 1
		if _, ok := bad[key(m.labels)]; ok {
			rows[i].value = 0
		}
	}
	return rows, errThose
}

func (c *inquiry) distinct(rows []member) []member {
	return collapsed(rows, append([]string{"__name__"}, c.source.cfg.ReplicaLabels...), func(first, _ float64) float64 { return first })
}

// compared returns those who were there and those who are, the former with
// value 0 where they are gone, and how many are.
func compared(then, now []member) (rows []member, gone int) {
	there, were := keys(now), keys(then)
	for _, m := range then {
		m.value = 1
		if _, ok := there[key(m.labels)]; !ok {
			m.value = 0
			gone++
		}
		rows = append(rows, m)
	}
	for _, m := range now {
		if _, ok := were[key(m.labels)]; !ok {
			m.value = 1
			rows = append(rows, m)
		}
	}
	return rows, gone
}

func keys(rows []member) map[string]struct{} {
	out := make(map[string]struct{}, len(rows))
	for _, m := range rows {
		out[key(m.labels)] = struct{}{}
	}
	return out
}

// group writes the labels by which the rule groups, so that members of one
// group are written alike.
func (c *inquiry) group(m member) string { return on(m, c.alert.Grouping()) }
