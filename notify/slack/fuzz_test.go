package slack_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
)

// front is a target's handler with a desk that knows one delivery.
func front(f *testing.F) (http.Handler, *desk) {
	cfg := section(f, "http://127.0.0.1:1", "xoxb-x")
	cfg.SigningSecretFiles = []config.SecretFile{secretFile(f, "secret")}
	n, err := slack.Kind(nil).New(cfg, notify.Deps{Name: "x", Transport: refuse{}, Now: time.Now, Log: silent()})
	require.NoError(f, err)
	p := grouped()
	d := &desk{
		page: p, receipts: map[string]page.Receipt{"d1": {Delivery: "d1", Problem: p.Problem, Episode: p.Episode, Target: "slack/x"}},
		may: map[string][]page.Verb{"U0ANN": {page.Acknowledge, page.SilenceIt}},
	}
	return n.(notify.Caller).Callback(d), d
}

func signed(body, stamp, signature string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/callback/slack/x", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Slack-Request-Timestamp", stamp)
	r.Header.Set("X-Slack-Signature", signature)
	return r
}

const goodPayload = `{"type":"block_actions","user":{"id":"U0ANN","name":"ann"},"container":{"message_ts":"1.2","channel_id":"C1"},` +
	`"response_url":"https://hooks.slack.com/actions/T/1/x","actions":[{"action_id":"tocsin_ack","value":"d1","action_ts":"3.4"}]}`

// Whatever a payload holds, it is answered, and what it puts down is whole.
func FuzzInteraction(f *testing.F) {
	f.Add(goodPayload)
	for _, s := range notifytest.Hostile() {
		b, err := json.Marshal(s)
		require.NoError(f, err)
		for _, field := range []string{`"U0ANN"`, `"C1"`, `"1.2"`, `"3.4"`, `"tocsin_ack"`, `"d1"`, `"ann"`} {
			f.Add(strings.Replace(goodPayload, field, string(b), 1))
		}
	}
	for _, s := range []string{"", "{}", "null", "[]", `{"type":"view_submission"}`, `{"type":"block_actions","actions":[]}`, strings.Repeat("[", 1000)} {
		f.Add(s)
	}
	h, d := front(f)
	f.Fuzz(func(t *testing.T, payload string) {
		d.set(func(d *desk) { d.events = nil })
		body := url.Values{"payload": {payload}}.Encode()
		stamp := strconv.FormatInt(time.Now().Unix(), 10)
		for range 2 { // the second is a replay
			w := httptest.NewRecorder()
			h.ServeHTTP(w, signed(body, stamp, fakeslack.Sign("secret", stamp, []byte(body))))
			require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, w.Code)
		}
		events := d.put()
		require.LessOrEqual(t, len(events), 1)
		for _, e := range events {
			require.Equal(t, "slack/U0ANN", e.Actor, "nobody else may")
			require.Contains(t, []page.Verb{page.Acknowledge, page.SilenceIt}, e.Act.Verb)
			require.Len(t, e.ID, 64)
			require.NotEmpty(t, e.Act.By)
		}
	})
}

// A request passes only with the signature of its own bytes and time stamp.
func FuzzSignature(f *testing.F) {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	body := url.Values{"payload": {goodPayload}}.Encode()
	f.Add(body, now, fakeslack.Sign("secret", now, []byte(body)))
	f.Add(body, now, fakeslack.Sign("another", now, []byte(body)))
	f.Add(body, now, "v0=")
	f.Add(body, now, "v0="+strings.Repeat("0", 64))
	f.Add(body, now, "v1="+strings.Repeat("0", 64))
	f.Add(body, now, "v0="+strings.Repeat("0", 66))
	f.Add(body, now, strings.ToUpper(fakeslack.Sign("secret", now, []byte(body))))
	f.Add(body, "+"+now, fakeslack.Sign("secret", "+"+now, []byte(body)))
	f.Add(body, "9223372036854775807", fakeslack.Sign("secret", "9223372036854775807", []byte(body)))
	f.Add(body, "-1", "")
	f.Add("", "", "")
	h, _ := front(f)
	f.Fuzz(func(t *testing.T, body, stamp, signature string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signed(body, stamp, signature))
		right := strings.EqualFold(signature, fakeslack.Sign("secret", stamp, []byte(body)))
		sec, err := strconv.ParseInt(stamp, 10, 64)
		fresh := err == nil && time.Since(time.Unix(sec, 0)).Abs() < 4*time.Minute
		switch {
		case !right:
			require.Equal(t, http.StatusUnauthorized, w.Code)
		case fresh && strings.HasPrefix(signature, "v0="):
			require.NotEqual(t, http.StatusUnauthorized, w.Code)
		}
	})
}

// Whatever somebody has to say in a thread, Slack takes it in one reply, nobody
// is pinged and nothing links.
func FuzzReply(f *testing.F) {
	for _, s := range notifytest.Hostile() {
		f.Add(s, s, 3, false)
		f.Add(s, "", 64, true)
	}
	fake := fakeslack.New(fakeslack.Options{NoRateLimits: true})
	srv := httptest.NewServer(fake)
	f.Cleanup(srv.Close)
	n := open(f, srv.URL, section(f, srv.URL, fakeslack.DefaultToken))
	f.Fuzz(func(t *testing.T, text, actor string, many int, aloud bool) {
		fake.Reset()
		r, err := n.Notify(t.Context(), notifytest.Message(notifytest.Page(), notify.VerbOpen, page.Receipt{}))
		require.NoError(t, err)
		m := notifytest.Message(notifytest.Page(), notify.VerbFollow, r)
		for i := range 1 + max(0, many)%page.MaxUpdates {
			m.Updates = append(m.Updates, page.Update{N: i + 1, Kind: page.UpdateKind(actor), Actor: actor, Text: text, Aloud: aloud && i%3 == 0})
		}
		got, err := n.(notify.Follower).Follow(t.Context(), m)
		require.NoError(t, err)
		require.Equal(t, len(m.Updates), got.Followed)
		replies := fake.Ledger().Replies(r.Ref)
		require.Len(t, replies, 1)
		require.Empty(t, replies[0].Current.Mentions)
		require.Empty(t, replies[0].Current.Links)
	})
}

// refuse is a network that is down.
type refuse struct{}

func (refuse) RoundTrip(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed }
