package slack

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

const (
	lag      = 2 * time.Second  // until a message that was posted shows in the history
	overlap  = 90 * time.Minute // our clock and Slack's differ, by an hour where somebody has set one
	pageSize = 200
	maxPages = 25
)

// Find looks for the message of a delivery in the channel's history, and for
// what was said beside it in its thread. It waits until either must show what
// was accepted.
func (t *target) Find(ctx context.Context, m notify.Message) (page.Receipt, bool, error) {
	// The message may be from a moment before we began, and the clock may have
	// been set since, ahead or back.
	settle := time.NewTimer(min(max(m.Receipt.At.Add(lag).Sub(t.now()), lag-time.Since(t.opened)), lag))
	defer settle.Stop()
	select {
	case <-settle.C:
	case <-ctx.Done():
		return m.Receipt, false, &remote.Error{Op: "conversations.history", Class: remote.NotSent, Err: ctx.Err()}
	}
	switch m.Verb {
	case notify.VerbFollow, notify.VerbChart:
		return t.findBeside(ctx, m)
	case notify.VerbOpen, notify.VerbUpdate, notify.VerbResolve:
	}
	r := m.Receipt
	found, err := t.scan(ctx, "conversations.history", t.since(m), func(msg message) bool {
		if msg.Metadata.EventType != eventType || msg.Metadata.EventPayload.ID != m.Receipt.Delivery {
			return false
		}
		r.Ref, r.Channel = msg.TS, t.channel
		return true
	})
	return r, found, err
}

// findBeside looks for a reply or a chart under the message. Where the message
// was deleted meanwhile, the reply stands in the channel by itself.
func (t *target) findBeside(ctx context.Context, m notify.Message) (page.Receipt, bool, error) {
	r := m.Receipt
	here := func(msg message) bool {
		if m.Verb == notify.VerbChart {
			return msg.holds(chartName(r))
		}
		if msg.Metadata.EventType != followType || msg.Metadata.EventPayload.ID != marker(r) {
			return false
		}
		r.Followed = max(r.Followed, msg.Metadata.EventPayload.Last)
		return true
	}
	thread := url.Values{"channel": {r.Channel}, "ts": {r.Ref}}
	found, err := t.scan(ctx, "conversations.replies", thread, here)
	if remote.ClassOf(err) == remote.Gone && err != nil {
		found, err = t.scan(ctx, "conversations.history", t.since(m), here)
	}
	return r, found, err
}

// since is the channel from a moment before the delivery was first intended.
func (t *target) since(m notify.Message) url.Values {
	oldest := m.Receipt.Since.Add(-overlap)
	return url.Values{
		"channel": {t.channel}, "inclusive": {"true"},
		"oldest": {fmt.Sprintf("%d.%06d", oldest.Unix(), oldest.Nanosecond()/1000)},
	}
}

// scan pages through messages until here is true of one.
func (t *target) scan(ctx context.Context, method string, f url.Values, here func(message) bool) (bool, error) {
	f.Set("include_all_metadata", "true")
	f.Set("limit", strconv.Itoa(pageSize))
	for range maxPages {
		a, err := t.api.call(ctx, method, f)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(a.Messages, here) {
			return true, nil
		}
		if !a.HasMore || a.Next.Cursor == "" {
			return false, nil
		}
		f.Set("cursor", a.Next.Cursor)
	}
	return false, &remote.Error{
		Op: method, Class: remote.Unknown,
		Reason: fmt.Sprintf("not among the last %d messages", pageSize*maxPages),
	}
}
