package slack_test

import (
	"errors"
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

// What each button does is the same over HTTP and over Socket Mode.
func TestButtonsAct(t *testing.T) {
	for _, over := range []string{"http", "socket"} {
		t.Run(over, func(t *testing.T) {
			s := play(t, over == "http", func(c *slack.Config) { c.TimeZone, c.Morning = "Europe/Berlin", "07:30" })
			if over == "socket" {
				s.listen()
			}
			began := time.Now()
			for i, tc := range []struct {
				action string
				verb   page.Verb
				told   string
			}{
				{"tocsin_ack", page.Acknowledge, "It is yours."},
				{"tocsin_silence_hour", page.SilenceIt, "a silence until"},
				{"tocsin_silence_morning", page.SilenceIt, "a silence until 07:30 CE"},
				{"tocsin_useless", page.NotUseful, "Noted: not useful."},
			} {
				out := s.press("U0ANN", tc.action, fakeslack.Good)
				require.Equal(t, over, out.Via)
				require.True(t, out.InTime, out.Error)
				require.Contains(t, s.whisper(i+1).Text, tc.told)
				require.Equal(t, "U0ANN", s.whisper(i+1).User)
				events := s.desk.put()
				require.Len(t, events, i+1)
				e := events[i]
				require.Equal(t, page.Acted, e.Kind)
				require.Equal(t, s.sent.Problem, e.Problem)
				require.Equal(t, 1, e.Episode)
				require.Equal(t, "slack/U0ANN", e.Actor)
				require.Equal(t, tc.verb, e.Act.Verb)
				require.Equal(t, "ANN", e.Act.By)
				require.Equal(t, "slack/pages", e.Act.Via)
				require.Len(t, e.ID, 64)
			}
			events := s.desk.put()
			hour := events[1].Act.Until.Sub(began)
			require.InDelta(t, time.Hour.Seconds(), hour.Seconds(), 60)
			berlin, err := time.LoadLocation("Europe/Berlin")
			require.NoError(t, err)
			morning := events[2].Act.Until
			require.Equal(t, "07:30", morning.In(berlin).Format("15:04"))
			require.True(t, morning.After(began) && morning.Before(began.Add(25*time.Hour+time.Minute)))

			out := s.press("U0ANN", "tocsin_open", fakeslack.Good)
			require.True(t, out.InTime, "Slack tells of links too, and wants an answer")
			require.Len(t, s.desk.put(), 4)

			v := s.show(func(p *page.Page) {
				p.Ack = &page.Ack{By: "ANN", At: began}
				p.Silences = []page.Silence{
					{ID: "s-over", Until: began.Add(-time.Hour)},
					{ID: "s-1", By: "ANN", Until: began.Add(time.Hour)},
					{ID: "s-refused", Until: began.Add(time.Hour), Error: "bad"},
					{ID: "s-ended", Until: began.Add(time.Hour), Ended: began},
				}
			})
			require.Contains(t, v.Visible, "Acknowledged by ANN · undo")
			s.press("U0ANN", "tocsin_unack", fakeslack.Good)
			s.press("U0ANN", "tocsin_unsilence", fakeslack.Good)
			s.whisper(6)
			events = s.desk.put()
			require.Equal(t, page.Unacknowledge, events[4].Act.Verb)
			require.Equal(t, page.UnsilenceIt, events[5].Act.Verb)
			require.Equal(t, "s-1", events[5].Act.Silence)
		})
	}
}

func TestWhoMayPressWhat(t *testing.T) {
	s := play(t, true, nil)
	require.True(t, s.press("U0BOB", "tocsin_ack", fakeslack.Good).InTime, "refused, and Slack is told that it was heard")
	w := s.whisper(1)
	require.Contains(t, w.Text, "you may not acknowledge")
	require.Contains(t, w.Text, "U0BOB")
	require.Equal(t, "U0BOB", w.User)
	s.press("U0BOB", "tocsin_silence_hour", fakeslack.Good)
	require.Contains(t, s.whisper(2).Text, "you may not silence")
	require.Empty(t, s.desk.put())
	s.press("U0BOB", "tocsin_useless", fakeslack.Good)
	s.whisper(3)
	require.Len(t, s.desk.put(), 1)

	// By the group somebody is in, which is asked for once.
	s.desk.set(func(d *desk) {
		d.may = map[string][]page.Verb{"S0ONCALL": {page.Acknowledge}}
		d.asked = nil
	})
	before := s.fake.Ledger().Requests["usergroups.list"]
	s.press("U0ANN", "tocsin_ack", fakeslack.Good)
	s.press("U0MALLORY", "tocsin_ack", fakeslack.Good)
	s.whisper(5)
	require.Len(t, s.desk.put(), 2)
	require.Equal(t, "slack/U0ANN", s.desk.put()[1].Actor)
	require.Equal(t, "ann (S0ONCALL)", s.desk.put()[1].Act.By, "who pressed, and by which right")
	require.Equal(t, before, s.fake.Ledger().Requests["usergroups.list"], "asked for once")
	require.Equal(t, [][]string{{"U0ANN"}, {"S0ONCALL"}, {"U0MALLORY"}}, s.desk.asked)
}

func TestWithoutTheScopeOnlyUsersCount(t *testing.T) {
	s := play(t, true, nil)
	s.fake.SetScopes("chat:write")
	s.desk.set(func(d *desk) {
		d.may = map[string][]page.Verb{"S0ONCALL": {page.Acknowledge}, "U0BOB": {page.Acknowledge}}
	})
	s.press("U0ANN", "tocsin_ack", fakeslack.Good)
	require.Contains(t, s.whisper(1).Text, "you may not")
	s.press("U0BOB", "tocsin_ack", fakeslack.Good)
	s.whisper(2)
	require.Len(t, s.desk.put(), 1)
	require.Contains(t, s.log.String(), "user groups are not known")
}

func TestWhatIsOverIsNotActedOn(t *testing.T) {
	for name, change := range map[string]func(*desk){
		"resolved":        func(d *desk) { d.page.State = page.Closed },
		"another episode": func(d *desk) { d.page.Episode = 2 },
		"not there":       func(d *desk) { d.page.Problem = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, true, nil)
			s.desk.set(change)
			require.True(t, s.press("U0ANN", "tocsin_ack", fakeslack.Good).InTime)
			require.Contains(t, s.whisper(1).Text, "over already")
			require.Empty(t, s.desk.put())
			s.press("U0ANN", "tocsin_useless", fakeslack.Good)
			s.whisper(2)
			require.Len(t, s.desk.put(), 1, "what was not useful may be said afterwards")
		})
	}
	s := play(t, true, nil)
	s.desk.set(func(d *desk) { clear(d.receipts) })
	s.press("U0ANN", "tocsin_ack", fakeslack.Good)
	require.Contains(t, s.whisper(1).Text, "no longer knows")
	require.Empty(t, s.desk.put())
}

// A button of another kind's delivery is none of ours, whoever signed the press.
func TestADeliveryOfAnotherKindIsNotActedOn(t *testing.T) {
	s := play(t, true, nil)
	s.desk.set(func(d *desk) {
		r := d.receipts[s.sent.Delivery]
		r.Target = "pagerduty/oncall"
		d.receipts[s.sent.Delivery] = r
	})
	s.press("U0ANN", "tocsin_ack", fakeslack.Good)
	require.Contains(t, s.whisper(1).Text, "no longer knows")
	require.Empty(t, s.desk.put())
}

// A press that comes twice, be it signed anew, is one; the same person pressing
// again is another.
func TestAPressIsOneEvent(t *testing.T) {
	now := time.Now()
	n, d := at(t, now, refuse{}, nil)
	pressed(t, n, d, now, goodPayload)
	pressed(t, n, d, now.Add(time.Second), goodPayload)
	require.Len(t, d.put(), 1)
	for i, other := range []string{`"3.5"`, `"1.3"`, `"C2"`} {
		was := []string{`"3.4"`, `"1.2"`, `"C1"`}[i]
		pressed(t, n, d, now, strings.Replace(goodPayload, was, other, 1))
		require.Len(t, d.put(), i+2)
	}
}

// Slack takes 200 for done: it is not said before the press is durable.
func TestAPressThatIsNotDurableIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	s := play(t, true, nil)
	s.desk.set(func(d *desk) { d.broken = errors.New("disk full") })
	out := s.press("U0ANN", "tocsin_ack", fakeslack.Good)
	require.Equal(t, http.StatusServiceUnavailable, out.Status)
	s.desk.set(func(d *desk) { d.broken, d.slow = nil, make(chan struct{}) })
	out = s.press("U0ANN", "tocsin_ack", fakeslack.Good)
	require.Equal(t, http.StatusServiceUnavailable, out.Status, "a store that hangs is not waited for longer than Slack waits")
	require.Empty(t, s.desk.put())
	require.Empty(t, s.fake.Ledger().Whispers)
	s.desk.set(func(d *desk) { d.slow = nil })
	require.True(t, s.press("U0ANN", "tocsin_ack", fakeslack.Good).InTime)
	require.Len(t, s.desk.put(), 1)
}

func TestOnlySlackPresses(t *testing.T) {
	s := play(t, true, nil)
	for variant, want := range map[fakeslack.Variant]int{
		fakeslack.Unsigned: 401, fakeslack.BadSignature: 401, fakeslack.Stale: 401,
		fakeslack.Early: 401, fakeslack.Tampered: 401, fakeslack.Query: 400,
	} {
		require.Equal(t, want, s.press("U0ANN", "tocsin_ack", variant).Status, variant)
	}
	require.Empty(t, s.desk.put())
	for want, req := range map[int]*http.Request{
		http.StatusMethodNotAllowed:      httptest.NewRequest(http.MethodGet, "/", nil),
		http.StatusRequestEntityTooLarge: httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 1<<20+1))),
	} {
		w := httptest.NewRecorder()
		s.target.(notify.Caller).Callback(s.desk).ServeHTTP(w, req)
		require.Equal(t, want, w.Code)
	}
	require.Equal(t, 200, s.press("U0ANN", "tocsin_ack", fakeslack.Replayed).Status)
	require.Len(t, s.desk.put(), 1)
	s.whisper(1)
	require.Contains(t, s.log.String(), "came again")
	require.Len(t, s.fake.Ledger().Whispers, 1)
}

func TestTwoSecretsWhileOneIsRotated(t *testing.T) {
	s := play(t, true, func(c *slack.Config) {
		c.SigningSecretFiles = secretFiles(t, "the next one", fakeslack.DefaultSigningSecret)
	})
	require.True(t, s.press("U0ANN", "tocsin_ack", fakeslack.Good).InTime)
	require.Len(t, s.desk.put(), 1)
}

// The message offers what can be done, and shows in the dialogue what a silence
// would match.
func TestWhatAMessageOffers(t *testing.T) {
	s := play(t, true, nil)
	labels := func(v fakeslack.Version) []string {
		var out []string
		for _, b := range v.Buttons {
			out = append(out, b.ActionID)
			if b.URL == "" {
				require.Equal(t, s.sent.Delivery, b.Value)
			}
		}
		return out
	}
	first := s.fake.Ledger().Messages[0].Current
	require.Equal(t, []string{"tocsin_ack", "tocsin_silence_hour", "tocsin_silence_morning", "tocsin_useless", "tocsin_open"}, labels(first))
	for _, i := range []int{1, 2} {
		for _, want := range []string{`alertname="CheckoutErrors"`, `cluster="eu"`, `service="checkout"`} {
			require.Contains(t, first.Buttons[i].Confirm, want)
		}
	}
	without := func(change func(*page.Page)) []string {
		s.desk.set(func(d *desk) { d.page = grouped() })
		return labels(s.show(change))
	}
	bare := []string{"tocsin_ack", "tocsin_useless"}
	require.Equal(t, bare, without(func(p *page.Page) { p.GroupLabels = nil }), "a group of all alerts cannot be silenced by its labels")
	require.Equal(t, bare, without(func(p *page.Page) { p.GroupLabels = page.Labels{"a": ""} }))
	require.Equal(t, bare, without(func(p *page.Page) { p.GroupLabels["path"] = strings.Repeat("x", 300) }), "nobody silences what they cannot see")
	require.Equal(t, bare, without(func(p *page.Page) { p.Self = true }))
	require.Equal(t, bare, without(func(p *page.Page) { p.Storm = &page.Storm{} }))
	require.Empty(t, without(func(p *page.Page) { p.State = page.Closed }))
	require.Equal(t, []string{"tocsin_unack", "tocsin_silence_hour", "tocsin_silence_morning", "tocsin_useless"},
		without(func(p *page.Page) { p.Ack = &page.Ack{By: strings.Repeat("long ", 100)} }))
	require.Equal(t, []string{"tocsin_ack", "tocsin_unsilence", "tocsin_useless"},
		without(func(p *page.Page) { p.Silences = []page.Silence{{ID: "s", Until: time.Now().Add(time.Hour)}} }))

	quiet := play(t, true, func(c *slack.Config) { c.SigningSecretFiles = nil; c.AppTokenFile = "" })
	require.Empty(t, quiet.fake.Ledger().Messages[0].Current.Buttons, "nobody would hear of a press")
}
