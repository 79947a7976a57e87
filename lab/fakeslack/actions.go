package fakeslack

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of what can be pressed (docs.slack.dev, Block Kit reference).
const (
	maxActions      = 25
	maxButton       = 75
	maxActionID     = 255
	maxValue        = 2000
	maxConfirmTitle = 100
	maxConfirmText  = 300
	maxConfirmWord  = 30
)

// confirm is the dialogue between a press and its interaction.
type confirm struct {
	Title   *textObject `json:"title"`
	Text    *textObject `json:"text"`
	Confirm *textObject `json:"confirm"`
	Deny    *textObject `json:"deny"`
	Style   string      `json:"style,omitempty"`
}

func (c *checker) actions(p string, b block) {
	c.count(p, len(b.Elements), maxActions)
	ids := map[string]bool{}
	for i, e := range b.Elements {
		at := fmt.Sprintf("%s/elements/%d", p, i)
		c.button(at, e)
		if e.ActionID != "" && ids[e.ActionID] {
			c.bad(at+"/action_id", "action_id already exists")
		}
		ids[e.ActionID] = true
	}
}

func (c *checker) button(p string, e element) {
	if e.Type != "button" {
		c.bad(p+"/type", "unsupported type: %s", e.Type)
		return
	}
	n := utf8.RuneCountInString(e.text())
	c.chars += n
	if n == 0 || n > maxButton {
		c.bad(p+"/text/text", "must be less than %d characters", maxButton+1)
	}
	if len(e.URL) > maxURL || (e.URL != "" && !strings.HasPrefix(e.URL, "http")) {
		c.bad(p+"/url", "invalid url")
	}
	if utf8.RuneCountInString(e.Value) > maxValue {
		c.bad(p+"/value", "must be less than %d characters", maxValue+1)
	}
	if utf8.RuneCountInString(e.ActionID) > maxActionID {
		c.bad(p+"/action_id", "must be less than %d characters", maxActionID+1)
	}
	if s := string(e.Style); s != "" && s != `"primary"` && s != `"danger"` {
		c.bad(p+"/style", "invalid style")
	}
	if d := e.Confirm; d != nil {
		c.text(p+"/confirm/title", d.Title, maxConfirmTitle, "plain_text")
		c.text(p+"/confirm/text", d.Text, maxConfirmText, "plain_text", "mrkdwn")
		c.text(p+"/confirm/confirm", d.Confirm, maxConfirmWord, "plain_text")
		c.text(p+"/confirm/deny", d.Deny, maxConfirmWord, "plain_text")
	}
}

// Button is something in a message that can be pressed.
type Button struct {
	ActionID string `json:"action_id"`
	Text     string `json:"text"`
	Value    string `json:"value,omitempty"`
	URL      string `json:"url,omitempty"`
	Style    string `json:"style,omitempty"`
	Title    string `json:"confirm_title,omitempty"` // of its dialogue
	Confirm  string `json:"confirm,omitempty"`       // the dialogue's text
	Yes      string `json:"confirm_yes,omitempty"`
	No       string `json:"confirm_no,omitempty"`

	block    string // block_id
	attached bool   // it stands in an attachment
}

func (e element) asButton(blockID string) Button {
	b := Button{
		ActionID: e.ActionID, Text: e.text(), Value: e.Value, URL: e.URL,
		Style: strings.Trim(string(e.Style), `"`), block: blockID,
	}
	if d := e.Confirm; d != nil {
		b.Title, b.Confirm, b.Yes, b.No = d.Title.Text, d.Text.Text, d.Confirm.Text, d.Deny.Text
	}
	return b
}

// buttons lists what a version offers to press.
func (v version) buttons() []Button {
	var out []Button
	gather := func(at string, blocks []block, attached bool) {
		for i, blk := range blocks {
			if blk.Type != "actions" {
				continue
			}
			id := blk.BlockID
			if id == "" {
				id = fmt.Sprintf("%s%d", at, i) // Slack makes one up
			}
			for _, e := range blk.Elements {
				b := e.asButton(id)
				b.attached = attached
				out = append(out, b)
			}
		}
	}
	gather("b", v.blocks, false)
	for i, a := range v.attachments {
		gather(fmt.Sprintf("a%d.", i), a.Blocks, true)
	}
	return out
}
