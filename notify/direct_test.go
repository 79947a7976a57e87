package notify_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// plainest is a notifier that answers as it is told and keeps what it was asked.
type plainest struct {
	answers []error
	got     []notify.Message
}

func (p *plainest) Notify(_ context.Context, m notify.Message) (page.Receipt, error) {
	p.got = append(p.got, m)
	var err error
	if len(p.answers) > 0 {
		err, p.answers = p.answers[0], p.answers[1:]
	}
	r := m.Receipt
	r.Ref = "ref"
	return r, err
}

type keyed struct{ plainest }

func (*keyed) Keyed() {}

func TestDirectTellsThoseWhoKnowARepeat(t *testing.T) {
	slack, pd, last := &plainest{}, &keyed{}, &plainest{}
	at := func(name string, n notify.Notifier) notify.Target {
		return notify.Target{Kind: "k", Name: name, Notifier: n}
	}
	d := &notify.Direct{
		Router: &notify.Router{Receivers: map[string][]notify.Target{
			"both": {at("slack", slack), at("pd", pd)}, "slack": {at("slack", slack)},
		}, First: "both"},
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: notify.NewMetrics(nil),
	}
	tell := func(receiver string) ([]page.Receipt, error) {
		slack.got, pd.got, last.got = nil, nil, nil
		p := notifytest.Page()
		p.Receiver = receiver
		return d.Tell(t.Context(), p)
	}
	got, err := tell("both")
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "k/pd", got[0].Target)
	require.Equal(t, page.Sent, got[0].State)
	require.Equal(t, got[0].Delivery, notify.DeliveryID(got[0].Problem, got[0].Episode, "k/pd"), "the usual key")
	require.False(t, got[0].First.IsZero())
	require.Empty(t, slack.got)

	_, err = tell("slack")
	require.NoError(t, err)
	require.Len(t, slack.got, 1, "better there than nowhere")

	d.Router.LastResort = []notify.Target{at("last", last)}
	_, err = tell("slack")
	require.NoError(t, err)
	require.Empty(t, slack.got)
	require.Len(t, last.got, 1)

	d.Router.Receivers["quiet"] = []notify.Target{at("pd", pd).Shadowed()}
	_, err = tell("quiet")
	require.NoError(t, err)
	require.Empty(t, append(pd.got, last.got...), "a receiver in shadow tells nobody, nor does the last resort for it")

	pd.answers = []error{&remote.Error{Op: "enqueue event", Class: remote.Content, Status: 400}}
	_, err = tell("both")
	require.NoError(t, err)
	require.Len(t, pd.got, 2)
	require.True(t, pd.got[1].Plain, "a refused layout is said in plain form")

	pd.answers = []error{errors.New("reset"), errors.New("reset")}
	_, err = tell("both")
	require.EqualError(t, err, "k/pd: reset")
}
