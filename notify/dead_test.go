package notify_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

func TestDeadLettersAreListedAndDrivenAgain(t *testing.T) {
	refused := &remote.Error{Op: "post message", Class: remote.Content, Status: 200, Reason: "invalid_blocks"}
	virtually(t, &scripted{errs: []error{refused, refused, refused, refused}}, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Minute)
		dead, err := notify.Dead(t.Context(), v.store)
		require.NoError(t, err)
		require.Len(t, dead, 1)
		require.WithinDuration(t, time.Now(), dead[0].At, 2*time.Minute)
		dead[0].At = time.Time{}
		require.Equal(t, notify.DeadLetter{
			Target: "scripted/x", Problem: p.ID, Episode: 1, Receiver: "team", Verb: "open", Severity: page.Critical,
			Title: "HighErrors · service=checkout", Error: "post message: status 200: invalid_blocks",
		}, dead[0])

		require.NoError(t, notify.Redrive(t.Context(), v.store, "scripted/x", p.ID, 1, time.Now()))
		require.ErrorIs(t, notify.Redrive(t.Context(), v.store, "scripted/x", p.ID, 1, time.Now()), store.ErrNotFound)
		pass(time.Minute)
		dead, err = notify.Dead(t.Context(), v.store)
		require.NoError(t, err)
		require.Len(t, dead, 1, "refused again")
		require.Len(t, v.made(), 4)

		p.Revision++ // what is new may be taken
		v.put(t, p)
		pass(time.Minute)
		require.Equal(t, page.Sent, v.receipt(t, p).State)
		dead, err = notify.Dead(t.Context(), v.store)
		require.NoError(t, err)
		require.Empty(t, dead, "it was delivered after all")
		require.Zero(t, v.items(t))
	})
}

func TestARedriveBringsThePageAsItIsNow(t *testing.T) {
	refused := &remote.Error{Op: "post message", Class: remote.Content, Status: 200}
	virtually(t, &scripted{errs: []error{nil, refused, refused}}, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Minute)
		p = resolve(p)
		v.put(t, p)
		pass(time.Minute)
		require.Equal(t, page.Failed, v.receipt(t, p).State)
		require.NoError(t, notify.Redrive(t.Context(), v.store, "scripted/x", p.ID, 1, time.Now()))
		pass(time.Minute)
		require.True(t, v.receipt(t, p).Resolved)
		require.Equal(t, notify.VerbResolve, v.made()[3].verb)
		require.ErrorIs(t, notify.Redrive(t.Context(), v.store, "scripted/x", p.ID, 1, time.Now()), store.ErrNotFound)
	})
}

// What expired while nobody knew whether it was there says so when it is driven again.
func TestARedriveOfAnUnknownOutcomeIsMarked(t *testing.T) {
	errs := append(always(class(remote.Unknown), 200), nil)
	s := &scripted{errs: errs, timing: notify.Timing{BackoffMax: 10 * time.Minute, Expire: time.Hour}}
	virtually(t, s, func(t *testing.T, v *timed) {
		p := warning(problem(id(1)))
		v.put(t, p)
		pass(3 * time.Hour)
		require.Equal(t, page.Failed, v.receipt(t, p).State)
		require.Zero(t, v.items(t))
		s.mu.Lock()
		s.errs = nil
		s.mu.Unlock()
		n := len(v.made())
		require.NoError(t, notify.Redrive(t.Context(), v.store, "scripted/x", p.ID, 1, time.Now()))
		pass(time.Minute)
		require.Len(t, v.made(), n+1)
		require.True(t, v.made()[n].repeat)
	})
}
