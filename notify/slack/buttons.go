package slack

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

// The buttons by their action_id. The value of each is the delivery's id and
// nothing else: what a press does is looked up.
const (
	actAck       = "tocsin_ack"
	actUnack     = "tocsin_unack"
	actHour      = "tocsin_silence_hour"
	actMorning   = "tocsin_silence_morning"
	actUnsilence = "tocsin_unsilence"
	actUseless   = "tocsin_useless"
	actOpen      = "tocsin_open" // a link: Slack tells of its press too

	// with the id of the dispatch behind it: what is approved is what was shown.
	actApprove = "tocsin_approve_"
	actDeny    = "tocsin_deny_"
)

// Slack's limits of buttons and their dialogues.
const (
	maxButton       = 75
	maxConfirmTitle = 100
	maxConfirm      = 300
)

// offer is what the buttons of a message depend on beside the message.
type offer struct {
	press   bool // a press reaches us
	morning morning
}

func (t *target) offer() offer { return offer{press: t.pressable(), morning: t.morning} }

// buttons are what people can do about an open page, nil where there is nothing.
func (o offer) buttons(m notify.Message, now time.Time) []slack.Block {
	if !o.press || m.Page.State != page.Open {
		return nil
	}
	id := m.Receipt.Delivery
	var row []slack.BlockElement
	if a := m.Page.Ack; a != nil {
		row = append(row, button(actUnack, id, "Acknowledged by "+name(a.By)+" · undo"))
	} else {
		row = append(row, button(actAck, id, "Acknowledge").WithStyle(slack.StylePrimary))
	}
	if _, ok := silenced(m.Page, now); ok {
		row = append(row, button(actUnsilence, id, "Silenced · end it"))
	} else if what, ok := matchers(m.Page); ok {
		at := o.morning.after(now).Format(clock)
		row = append(row,
			button(actHour, id, "Silence 1 h").WithConfirm(ask("Silence for an hour?", what)),
			button(actMorning, id, "Silence until "+at).WithConfirm(ask("Silence until "+at+" "+o.morning.zone.String()+"?", what)),
		)
	}
	row = append(row, button(actUseless, id, "Not useful"))
	if u, ok := page.WebURL(m.PageURL); ok && len(u) <= maxLink {
		open := button(actOpen, id, "Open in Tocsin")
		open.URL = u
		row = append(row, open)
	}
	return append([]slack.Block{slack.NewActionBlock("", row...)}, decisions(m, now)...)
}

// maxAsked bounds the dispatches one message offers to decide on: the others stand
// on the page's own page.
const maxAsked = 3

// decisions are what people are asked for: whether a machine may act.
func decisions(m notify.Message, now time.Time) []slack.Block {
	var out []slack.Block
	id := m.Receipt.Delivery
	for _, r := range m.Page.Runs {
		if len(out) >= maxAsked || !r.Asks.After(now) || !dispatchID(r.Dispatch) {
			continue
		}
		what := notify.Clean(r.Text, maxConfirm)
		out = append(out, slack.NewActionBlock("",
			button(actApprove+r.Dispatch, id, "Approve "+name(r.Policy)+": "+name(r.Target)).WithStyle(slack.StylePrimary).
				WithConfirm(confirm("Let it run?", what, "Approve")),
			button(actDeny+r.Dispatch, id, "Deny").WithConfirm(confirm("Say no?", what, "Deny")),
		))
	}
	return out
}

func dispatchID(s string) bool { return regexp.MustCompile(`^[0-9a-z]{26}$`).MatchString(s) }

func confirm(title, what, yes string) *slack.ConfirmationBlockObject {
	return slack.NewConfirmationBlockObject(
		plain(notify.Cut(title, maxConfirmTitle)), plain(notify.Cut(what, maxConfirm)), plain(yes), plain("Cancel"))
}

func button(action, value, label string) *slack.ButtonBlockElement {
	return slack.NewButtonBlockElement(action, value, plain(notify.Cut(label, maxButton)))
}

// name is how a person is called, fit for a button.
func name(s string) string {
	if s = notify.Clean(s, 40); s == "" {
		return "somebody"
	}
	return s
}

// silenced returns the latest silence that stands.
func silenced(p page.Page, now time.Time) (page.Silence, bool) {
	for _, s := range slices.Backward(p.Silences) {
		if s.ID != "" && s.Ended.IsZero() && s.Error == "" && s.Until.After(now) {
			return s, true
		}
	}
	return page.Silence{}, false
}

// matchers writes what a silence of this page would match, exactly. It is not
// ok where that is nothing, or too long to be shown whole in a dialogue: nobody
// shall silence what they cannot see.
func matchers(p page.Page) (string, bool) {
	if p.Self || p.Storm != nil {
		return "", false
	}
	some := false
	for _, v := range p.GroupLabels {
		some = some || v != ""
	}
	s := strings.Join(p.GroupLabels.Matchers(), "\n")
	return s, some && utf8.RuneCountInString(confirmHead+s) <= maxConfirm
}

const confirmHead = "Nobody will be told, here or elsewhere, of alerts with\n"

func ask(title, what string) *slack.ConfirmationBlockObject {
	return slack.NewConfirmationBlockObject(
		plain(notify.Cut(title, maxConfirmTitle)), plain(confirmHead+what), plain("Silence"), plain("Cancel"))
}
