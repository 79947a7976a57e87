package alertmanager_test

import (
	"context"
	"maps"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/remote"
)

// A kind that Alertmanager adds must be added here, or it would go untested.
func TestEveryKindOfAlertmanagersIsTested(t *testing.T) {
	var have []string
	for f := range reflect.TypeFor[amconfig.Receiver]().Fields() {
		if name, ok := strings.CutSuffix(strings.Split(f.Tag.Get("yaml"), ",")[0], "_configs"); ok && name != "email" {
			have = append(have, name)
		}
	}
	require.ElementsMatch(t, have, slices.Collect(maps.Keys(lists())))
}

// each runs a test against every kind that speaks HTTP.
func each(t *testing.T, test func(t *testing.T, name string)) {
	for _, name := range slices.Sorted(maps.Keys(lists())) {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

func TestOpenAndResolve(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		s := newService(t)
		n := kind(t, name, s)
		p := notifytest.Page()
		r, err := n.Notify(t.Context(), open(p))
		require.NoError(t, err)
		require.Equal(t, name+"[0]", r.Ref)
		require.Empty(t, r.Parts)
		sent := len(s.posts())
		require.Positive(t, sent)
		r, err = n.Notify(t.Context(), message(p, notify.VerbUpdate, r))
		require.NoError(t, err)
		require.Len(t, s.posts(), sent, "an update tells nothing")
		_, err = n.Notify(t.Context(), message(notifytest.Resolved(), notify.VerbResolve, r))
		require.NoError(t, err)
		switch name {
		case "rocketchat", "slack", "wechat": // their send_resolved is false unless it is written
			require.Len(t, s.posts(), sent)
		case "jira": // the fake has no issue to close
		default:
			require.Greater(t, len(s.posts()), sent)
			sent = len(s.posts())
		}
		r.Resolved = true
		_, err = n.Notify(t.Context(), message(notifytest.Resolved(), notify.VerbResolve, r))
		require.NoError(t, err)
		require.Len(t, s.posts(), sent, "it was told already")
	})
}

// What a status means follows from the status, not from the notifier's word.
func TestStatuses(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		s := newService(t)
		for status, want := range map[int]remote.Class{
			302: remote.Config, 400: remote.Content, 401: remote.Config, 403: remote.Config, 404: remote.Config, 408: remote.Unknown,
			410: remote.Config, 413: remote.Content, 422: remote.Content, 429: remote.NotSent,
			500: remote.Unknown, 502: remote.Unknown, 503: remote.Unknown, 504: remote.Unknown,
		} {
			n := kind(t, name, s)
			require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: status, Body: "<html>no: " + secret + "</html>"}))
			r, err := n.Notify(t.Context(), open(notifytest.Page()))
			require.Equal(t, want, remote.ClassOf(err), "status %d: %v", status, err)
			require.NotContains(t, err.Error(), secret)
			require.Empty(t, r.Ref)
			if name != "wechat" || status != 302 {
				require.Contains(t, err.Error(), "status ")
			}
		}
		require.Empty(t, s.posts())
	})
}

func TestRetryAfter(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		s := newService(t)
		n := kind(t, name, s)
		require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.RateLimit, RetryAfter: 7}))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // the AWS SDK tries three times, with its own waits
		defer cancel()
		_, err := n.Notify(ctx, open(notifytest.Page()))
		require.Equal(t, remote.NotSent, remote.ClassOf(err), "%v", err)
		require.Equal(t, 7*time.Second, remote.RetryAfter(err), "%v", err)
	})
}

func TestRetryAfterInTheBody(t *testing.T) {
	s := newService(t)
	n := kind(t, "telegram", s)
	body := `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 12","parameters":{"retry_after":12}}`
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 429, Body: body}))
	_, err := n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.NotSent, remote.ClassOf(err), "%v", err)
	require.Equal(t, 12*time.Second, remote.RetryAfter(err))
}

func TestTransport(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		s := newService(t)
		n := kind(t, name, s)
		require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Drop}))
		_, err := n.Notify(t.Context(), open(notifytest.Page()))
		require.Equal(t, remote.Unknown, remote.ClassOf(err), "dropped: %v", err)
		require.NotContains(t, err.Error(), secret)

		require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Hang}))
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err = n.Notify(ctx, open(notifytest.Page()))
		require.Equal(t, remote.Unknown, remote.ClassOf(err), "hanging: %v", err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 20*time.Second, "it goes on after its time is over")
		require.NotContains(t, err.Error(), secret)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = n.Notify(gone, open(notifytest.Page()))
		require.Equal(t, remote.NotSent, remote.ClassOf(err), "cancelled before: %v", err)

		closed := httptest.NewServer(nil)
		closed.Close()
		n = build(t, section(t, name, closed.URL))
		reroute(name, n, closed.URL)
		_, err = n.Notify(t.Context(), open(notifytest.Page()))
		require.Equal(t, remote.NotSent, remote.ClassOf(err), "nobody listens: %v", err)
		require.NotContains(t, err.Error(), secret)
	})
}
