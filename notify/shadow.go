package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// kindShadow stands where a target's kind does when the target is in shadow.
const kindShadow = "shadow"

// Shadowed returns a target that does everything t does but the sending. Its
// name, "shadow/slack/payments", gives it a lane, receipts and a delivery id of
// its own: what was never sent is never taken for sent.
func (t Target) Shadowed() Target {
	return Target{Kind: kindShadow, Name: t.String(), Notifier: shadow{t}}
}

// Real returns the target that t is the shadow of, else t itself.
func (t Target) Real() Target {
	if s, ok := t.Notifier.(shadow); ok {
		return s.of
	}
	return t
}

// InShadow reports whether t sends nothing.
func (t Target) InShadow() bool { return t.Kind == kindShadow }

// ShadowOf returns the name of the target that the named one is the shadow of:
// "slack/payments" for "shadow/slack/payments".
func ShadowOf(target string) (name string, ok bool) {
	return strings.CutPrefix(target, kindShadow+"/")
}

// shadow stands before a target's notifier and keeps it from sending.
type shadow struct{ of Target }

// Notify renders the message and writes on the receipt where it would stand and
// how it would begin.
func (s shadow) Notify(_ context.Context, m Message) (page.Receipt, error) {
	r := m.Receipt
	if renderer, ok := s.of.Notifier.(Renderer); ok {
		body, err := renderer.Render(m)
		if err != nil {
			return r, &remote.Error{Op: "render in shadow", Class: remote.Content, Err: err}
		}
		if string(bytes.TrimSpace(body)) == "null" { // this verb sends nothing there
			return r, nil
		}
		r.Channel = channelIn(body, r.Channel)
	}
	if r.Ref == "" {
		r.Ref, r.Said = r.Delivery, m.Text.Headline
	}
	return r, nil
}

// Find answers that nothing was sent: rendering again doubles nothing.
func (shadow) Find(_ context.Context, m Message) (page.Receipt, bool, error) {
	return m.Receipt, false, nil
}

// Keyed says that to be told again pages nobody twice, as of a service that knows
// a repeat by its key: whoever looks for such a one, to page without the ledger,
// must find the shadow and not go on to those who really send.
func (shadow) Keyed() {}

// Render shows what the target itself would send.
func (s shadow) Render(m Message) ([]byte, error) {
	r, ok := s.of.Notifier.(Renderer)
	if !ok {
		return nil, fmt.Errorf("%s cannot show what it would send", s.of)
	}
	return r.Render(m)
}

// channelIn reads the channel out of a rendered message, where there is one.
func channelIn(body []byte, known string) string {
	var to struct {
		Channel string `json:"channel"`
	}
	if json.Unmarshal(body, &to) != nil || to.Channel == "" {
		return known
	}
	return to.Channel
}

// emerged puts the target itself in the place of a shadow where the episode was
// sent to it before the receiver went into the shadow: what stands open there
// is really edited and really ended.
func emerged(targets []Target, told []string) []Target {
	out := slices.Clone(targets)
	for i, t := range out {
		if slices.Contains(told, t.Real().String()) {
			out[i] = t.Real()
		}
	}
	return out
}
