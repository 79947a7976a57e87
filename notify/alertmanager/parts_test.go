package alertmanager_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/remote"
)

const two = `
receiver:
  webhook_configs: [{url_file: HOOK/webhook}, {url_file: HOOK/msteamsv2}]
`

func paths(s *service) map[string]int {
	out := map[string]int{}
	for _, r := range s.requests() {
		out[r.Path[:len("/webhook")]]++
	}
	return out
}

// Of two integrations one took it: the other alone is asked again.
func TestAPartThatAcceptedIsNotToldTwice(t *testing.T) {
	s := newService(t)
	n := build(t, decode(t, write(t, s.URL, two)))
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 429, Path: "/msteamsv2/"}))
	m := open(notifytest.Page())
	r, err := n.Notify(t.Context(), m)
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	require.Empty(t, r.Ref)
	require.Equal(t, []string{"webhook[0] firing"}, r.Parts)
	s.Faults.Clear()
	r, err = n.Notify(t.Context(), message(m.Page, notify.VerbOpen, r))
	require.NoError(t, err)
	require.Equal(t, "webhook[0],webhook[1]", r.Ref)
	require.Empty(t, r.Parts)
	require.Equal(t, map[string]int{"/webhook": 1, "/msteams": 1}, paths(s))

	// The same for its end.
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 503, Path: "/webhook/"}))
	r, err = n.Notify(t.Context(), message(notifytest.Resolved(), notify.VerbResolve, r))
	require.Equal(t, remote.Unknown, remote.ClassOf(err))
	require.Equal(t, []string{"webhook[1] resolved"}, r.Parts)
	require.Equal(t, "webhook[0],webhook[1]", r.Ref)
	s.Faults.Clear()
	r, err = n.Notify(t.Context(), message(notifytest.Resolved(), notify.VerbResolve, r))
	require.NoError(t, err)
	require.Equal(t, "webhook[0],webhook[1]", r.Ref)
	require.Equal(t, map[string]int{"/webhook": 2, "/msteams": 2}, paths(s))
}

// It is over before the second was told of it: only the first hears of the end.
func TestOverBeforeAllWereTold(t *testing.T) {
	s := newService(t)
	n := build(t, decode(t, write(t, s.URL, two)))
	require.NoError(t, s.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: 429, Path: "/msteamsv2/"}))
	r, err := n.Notify(t.Context(), open(notifytest.Page()))
	require.Error(t, err)
	s.Faults.Clear()
	r, err = n.Notify(t.Context(), message(notifytest.Resolved(), notify.VerbOpen, r))
	require.NoError(t, err)
	require.Equal(t, "webhook[0]", r.Ref)
	require.Equal(t, map[string]int{"/webhook": 2}, paths(s))

	never, err := n.Notify(t.Context(), open(notifytest.Resolved()))
	require.NoError(t, err)
	require.Empty(t, never.Ref, "nobody is told of the end of what nobody was told of")
	require.Equal(t, map[string]int{"/webhook": 2}, paths(s))
}

func TestADoubtOutweighsARefusal(t *testing.T) {
	s := newService(t)
	n := build(t, decode(t, write(t, s.URL, two)))
	require.NoError(t, s.Faults.Set(1,
		fault.Fault{Kind: fault.Status, Status: 404, Path: "/webhook/"}, fault.Fault{Kind: fault.Drop, Path: "/msteamsv2/"}))
	_, err := n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.Unknown, remote.ClassOf(err))
	require.NoError(t, s.Faults.Set(1,
		fault.Fault{Kind: fault.Status, Status: 404, Path: "/webhook/"}, fault.Fault{Kind: fault.RateLimit, RetryAfter: 3, Path: "/msteamsv2/"}))
	_, err = n.Notify(t.Context(), open(notifytest.Page()))
	require.Equal(t, remote.NotSent, remote.ClassOf(err))
	require.Equal(t, 3*time.Second, remote.RetryAfter(err))
}
