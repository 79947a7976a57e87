package notify_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
)

// within hands requests to a handler without a socket, so that virtual time goes on.
type within struct{ http.Handler }

func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// revised is a later revision of a problem that its target was told of.
func revised(p page.Problem, revision uint64, failing int) page.Problem {
	p.Told, p.Revision = []string{"scripted/x"}, revision
	p.Context.Traits = append([]page.Trait(nil), p.Context.Traits...)
	p.Context.Traits[0].Failing.Matched = failing
	return p
}

// Slack takes 50 edits a minute, and 5 new messages in 5 seconds: hundreds of
// edits that wait hold up no new page, and none of them is lost.
func TestEditsHoldUpNoNewPage(t *testing.T) {
	fake := fakeslack.New(fakeslack.Options{})
	c, ok := slack.Kind(nil).Config().(*slack.Config)
	require.True(t, ok)
	c.APIURL, c.Channel, c.TokenFile = "http://slack.example/api/", "C0PAGES", secretFile(t, fakeslack.DefaultToken)
	n, err := slack.Kind(nil).New(c, notify.Deps{Name: "x", Transport: within{fake}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	require.NoError(t, err)
	virtually(t, &scripted{other: n}, func(t *testing.T, v *timed) {
		const old, fresh = 100, 20
		for i := range old {
			v.put(t, problem(id(i)))
		}
		pass(5 * time.Minute)
		require.Zero(t, v.items(t))
		for revision := range 2 {
			for i := range old {
				v.put(t, revised(problem(id(i)), uint64(2+revision), 32+revision))
			}
		}
		pass(10 * time.Second) // a minute's edits are spent
		waiting := v.items(t)
		require.Positive(t, waiting)
		for i := range fresh {
			v.put(t, problem(id(old+i)))
		}
		pass(fresh*time.Second + 5*time.Second)
		for i := range fresh {
			require.Equal(t, page.Sent, v.receipt(t, problem(id(old+i))).State, "page %d", i)
		}
		require.Positive(t, v.items(t), "the edits go on at their own rate")
		pass(10 * time.Minute)
		require.Zero(t, v.items(t))
		shown := map[string]int{}
		for _, m := range fake.Ledger().Messages {
			for _, failing := range []string{"38 of 40", "32 of 40", "33 of 40"} {
				if strings.Contains(m.Current.Visible, failing) {
					shown[failing]++
				}
			}
		}
		require.Equal(t, map[string]int{"33 of 40": old, "38 of 40": fresh}, shown)
	})
}

// stuck is a target whose edits take long.
type stuck struct{ edit time.Duration }

func (s stuck) Notify(ctx context.Context, m notify.Message) (page.Receipt, error) {
	if m.Verb != notify.VerbOpen {
		select {
		case <-time.After(s.edit):
		case <-ctx.Done():
			return m.Receipt, fmt.Errorf("edit: %w", ctx.Err())
		}
	}
	r := m.Receipt
	r.Ref, r.Channel = "ref", "channel"
	return r, nil
}

// Edits never take up all workers of a target.
func TestSlowEditsLeaveAWorker(t *testing.T) {
	virtually(t, &scripted{other: stuck{20 * time.Second}}, func(t *testing.T, v *timed) {
		const old = 12
		for i := range old {
			v.put(t, problem(id(i)))
		}
		pass(time.Second)
		for i := range old {
			v.put(t, revised(problem(id(i)), 2, 39))
		}
		pass(5 * time.Second)
		for i := range 5 {
			v.put(t, warning(problem(id(old+i))))
		}
		pass(2 * time.Second)
		for i := range 5 {
			require.Equal(t, page.Sent, v.receipt(t, problem(id(old+i))).State)
		}
		pass(5 * time.Minute)
		require.Zero(t, v.items(t))
		for i := range old {
			require.Equal(t, uint64(2), v.receipt(t, problem(id(i))).Revision)
		}
	})
}
