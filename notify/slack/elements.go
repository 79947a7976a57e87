package slack

import (
	"fmt"

	"github.com/slack-go/slack"

	"github.com/tocsin/tocsin/notify"
)

// What blocks are made of: only elements that interpret nothing inside them.

func plain(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

// text is a rich text element; Slack refuses empty ones.
func text(s string) slack.RichTextSectionElement {
	return slack.NewRichTextSectionTextElement(orBlank(s), nil)
}

func bold(s string) slack.RichTextSectionElement {
	return slack.NewRichTextSectionTextElement(orBlank(s), &slack.RichTextSectionTextStyle{Bold: true})
}

func orBlank(s string) string {
	if s == "" {
		return " "
	}
	return s
}

func section(elements ...slack.RichTextSectionElement) slack.Block {
	return slack.NewRichTextBlock("", slack.NewRichTextSection(elements...))
}

func list(lines []string, code bool) slack.Block {
	items := make([]slack.RichTextElement, 0, len(lines))
	for _, l := range lines {
		e := text(l)
		if code {
			e = slack.NewRichTextSectionTextElement(orBlank(l), &slack.RichTextSectionTextStyle{Code: true})
		}
		items = append(items, slack.NewRichTextSection(e))
	}
	return slack.NewRichTextBlock("", slack.NewRichTextList(slack.RTEListBullet, 0, items...))
}

func small(s string) slack.Block { return slack.NewContextBlock("", plain(s)) }

func plus(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("+%d more", n)
}

// owner says whose it is, and mentions them by the handle of the config: an ID
// of a user or of a user group. What a label says stays text.
func owner(t notify.Text, handle string) []slack.Block {
	var parts []slack.RichTextSectionElement
	if t.Owner != "" {
		parts = append(parts, text("owner: "+t.Owner+" "))
	}
	if handle != "" {
		switch handle[0] {
		case 'U', 'W':
			parts = append(parts, slack.NewRichTextSectionUserElement(handle, nil))
		case 'S':
			parts = append(parts, slack.NewRichTextSectionUserGroupElement(handle))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return []slack.Block{section(parts...)}
}
