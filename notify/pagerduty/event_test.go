package pagerduty_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/page"
)

func open(t *testing.T) notify.Notifier {
	t.Helper()
	n, err := pagerduty.Kind().New(section(t, "http://127.0.0.1:1", fakepagerduty.DefaultKey),
		notify.Deps{Name: "test", Transport: &http.Transport{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	require.NoError(t, err)
	return n
}

func TestGolden(t *testing.T) { notifytest.Golden(t, open(t)) }

func TestTheDedupKeyIsTheEpisodesAtThisTarget(t *testing.T) {
	key := func(episode int, target string) string {
		p := notifytest.Page()
		p.Episode = episode
		m := notifytest.Message(p, notify.VerbOpen, page.Receipt{Delivery: notify.DeliveryID(p.Problem, episode, target)})
		b, err := open(t).(notify.Renderer).Render(m)
		require.NoError(t, err)
		var e struct {
			DedupKey string `json:"dedup_key"`
		}
		require.NoError(t, json.Unmarshal(b, &e))
		require.Len(t, e.DedupKey, 64)
		require.NotContains(t, string(b), fakepagerduty.DefaultKey)
		return e.DedupKey
	}
	require.Equal(t, key(1, "pagerduty/a"), key(1, "pagerduty/a"))
	require.NotEqual(t, key(1, "pagerduty/a"), key(2, "pagerduty/a"), "after a resolve the next trigger is a new incident")
	require.NotEqual(t, key(1, "pagerduty/a"), key(1, "pagerduty/b"))
}

func TestAnUpdateSendsNothing(t *testing.T) {
	n := open(t) // nobody listens there
	r := page.Receipt{Delivery: "d", Ref: "d"}
	got, err := n.Notify(t.Context(), notifytest.Message(notifytest.Page(), notify.VerbUpdate, r))
	require.NoError(t, err)
	require.Equal(t, "d", got.Ref)
	b, err := n.(notify.Renderer).Render(notifytest.Message(notifytest.Page(), notify.VerbUpdate, r))
	require.NoError(t, err)
	require.Equal(t, "null", string(b))
}

func TestValidate(t *testing.T) {
	c := section(t, "http://127.0.0.1:1", "k")
	_, err := pagerduty.Kind().New(c, notify.Deps{Now: time.Now})
	require.ErrorContains(t, err, "32 characters")
	c.RoutingKeyFile, c.EventsURL = "", "events"
	require.ErrorContains(t, c.Validate(), "routing_key_file")
	require.ErrorContains(t, c.Validate(), "events_url")
}

func TestSummaryBeginsWithTheAnswer(t *testing.T) {
	p := notifytest.Page()
	p.Title = strings.Repeat("long ", 1000)
	b, err := open(t).(notify.Renderer).Render(notifytest.Message(p, notify.VerbOpen, page.Receipt{}))
	require.NoError(t, err)
	var e struct {
		Payload struct{ Summary string }
	}
	require.NoError(t, json.Unmarshal(b, &e))
	require.True(t, strings.HasPrefix(e.Payload.Summary, p.Headline+" · long"), e.Payload.Summary)
}
