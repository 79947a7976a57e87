package notify_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// timeline is what a target wrote of an episode, "verb: text" each.
func (v *timed) timeline(t *testing.T, p page.Problem) (lines []string) {
	t.Helper()
	recs, err := v.store.Scan(t.Context(), store.TimelineOf(p.ID, p.Episode), "", 1000)
	require.NoError(t, err)
	for _, rec := range recs {
		var e page.Entry
		require.NoError(t, store.Unmarshal(rec.Value, &e))
		require.Equal(t, "notify", e.Room)
		require.Equal(t, "scripted/x", e.Target)
		require.Equal(t, p.Episode, e.Episode)
		lines = append(lines, fmt.Sprintf("%s: %s", e.Kind, e.Text))
	}
	return lines
}

func TestATimelineOfWhatBecameOfEachDelivery(t *testing.T) {
	refused := &remote.Error{Op: "post message", Class: remote.NotSent, Reason: "busy"}
	f := &talker{lost: []error{class(remote.Unknown)}}
	f.scripted = &scripted{errs: []error{refused, refused, refused}, other: f}
	virtually(t, f.scripted, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Minute)
		p = updated(p, 2)
		v.put(t, p)
		pass(time.Minute)
		p = resolve(updated(p, 2))
		v.put(t, p)
		pass(time.Minute)
		require.Equal(t, []string{
			"open: not told, and tried again: post message: busy", // thrice the same is said once
			"open: was told",
			"update: shows revision 2",
			"follow: not told, and tried again: notify",
			"follow: was told what changed, up to update 2",
			"resolve: was told that it is over",
		}, v.timeline(t, p))
	})
}

func (v *timed) means(t *testing.T, ref string) (d notify.Delivery, expires time.Time) {
	t.Helper()
	rec, err := v.store.Get(t.Context(), store.DeliveryKey("scripted/x", ref))
	require.NoError(t, err, ref)
	require.NoError(t, store.Unmarshal(rec.Value, &d))
	return d, rec.Expires
}

// A service's own words lead back to the episode: the delivery's id from before
// the request on, its references once they are known, for as long as it goes on.
func TestTheWayBackFromAService(t *testing.T) {
	f := &talker{further: true}
	f.scripted = &scripted{block: time.Second, other: f}
	virtually(t, f.scripted, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(500 * time.Millisecond)
		delivery := notify.DeliveryID(p.ID, p.Episode, "scripted/x")
		want := notify.Delivery{Problem: p.ID, Episode: p.Episode, Target: "scripted/x"}
		got, _ := v.means(t, delivery)
		require.Equal(t, want, got, "while the request is under way")
		pass(time.Second)
		got, expires := v.means(t, "ref")
		require.Equal(t, want, got)
		require.WithinDuration(t, time.Now().Add(35*24*time.Hour), expires, time.Minute)
		p = updated(p, 1)
		v.put(t, p)
		pass(5 * time.Second)
		got, _ = v.means(t, "further-1")
		require.Equal(t, want, got)

		pass(20 * 24 * time.Hour)
		p = updated(p, 1)
		v.put(t, p)
		pass(time.Minute)
		for _, ref := range []string{delivery, "ref", "further-1"} {
			_, expires = v.means(t, ref)
			require.WithinDuration(t, time.Now().Add(35*24*time.Hour), expires, 2*time.Minute, ref)
		}
	})
}
