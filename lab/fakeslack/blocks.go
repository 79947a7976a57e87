package fakeslack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Slack's limits (docs.slack.dev, Block Kit reference). The two budgets over
// all blocks are not documented; they lie between what others measured as
// accepted (9,597 characters, 15.5 KB) and as refused (11,341, 17.7 KB).
const (
	maxBlocks      = 50
	maxAttachments = 100
	maxSection     = 3000
	maxFields      = 10
	maxField       = 2000
	maxHeader      = 150
	maxBlockID     = 255
	maxContext     = 10
	maxURL         = 3000
	maxAlt         = 2000
	maxMetadata    = 8 << 10
	maxText        = 40000
	splitAt        = 4000
	budgetChars    = 10000
	budgetBytes    = 16000
)

type textObject struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Emoji    *bool  `json:"emoji,omitempty"`
	Verbatim bool   `json:"verbatim,omitempty"`
}

type block struct {
	Type     string       `json:"type"`
	BlockID  string       `json:"block_id,omitempty"`
	Text     *textObject  `json:"text,omitempty"`
	Fields   []textObject `json:"fields,omitempty"`
	Elements []element    `json:"elements,omitempty"`
	ImageURL string       `json:"image_url,omitempty"`
	AltText  string       `json:"alt_text,omitempty"`
	File     *slackFile   `json:"slack_file,omitempty"`
}

// element is a child of a context, actions or rich_text block. Text is a text
// object in a button, a string in the others.
type element struct {
	Type     string          `json:"type"`
	Text     json.RawMessage `json:"text,omitempty"`
	Emoji    *bool           `json:"emoji,omitempty"`
	Verbatim bool            `json:"verbatim,omitempty"`
	URL      string          `json:"url,omitempty"`
	ActionID string          `json:"action_id,omitempty"`
	Value    string          `json:"value,omitempty"`
	AltText  string          `json:"alt_text,omitempty"`
	ImageURL string          `json:"image_url,omitempty"`
	UserID   string          `json:"user_id,omitempty"`
	Group    string          `json:"usergroup_id,omitempty"`
	Range    string          `json:"range,omitempty"`
	Name     string          `json:"name,omitempty"`
	Confirm  *confirm        `json:"confirm,omitempty"`
	Style    json.RawMessage `json:"style,omitempty"`
	Indent   int             `json:"indent,omitempty"`
	Elements []element       `json:"elements,omitempty"`
}

func (e element) text() string {
	var s string
	if json.Unmarshal(e.Text, &s) == nil {
		return s
	}
	var o textObject
	_ = json.Unmarshal(e.Text, &o)
	return o.Text
}

type attachment struct {
	Color    string  `json:"color,omitempty"` //nolint:misspell // Slack's word
	Fallback string  `json:"fallback,omitempty"`
	Pretext  string  `json:"pretext,omitempty"`
	Title    string  `json:"title,omitempty"`
	Text     string  `json:"text,omitempty"`
	Blocks   []block `json:"blocks,omitempty"`
}

// checker gathers what is wrong, with JSON pointers as Slack gives them.
type checker struct {
	problems []string
	chars    int
	ready    func(fileID string) bool // it is processed and can be shown
}

func (c *checker) bad(pointer, format string, a ...any) {
	c.problems = append(c.problems, fmt.Sprintf("[ERROR] %s [json-pointer:%s]", fmt.Sprintf(format, a...), pointer))
}

// checkContent returns Slack's error word and messages, "" if all is well.
func checkContent(v version, ready func(string) bool) (string, []string) {
	c := checker{ready: ready}
	c.blocks("/blocks", v.blocks)
	size := jsonSize(v.blocks)
	for i, a := range v.attachments {
		c.blocks(fmt.Sprintf("/attachments/%d/blocks", i), a.Blocks)
		size += jsonSize(a.Blocks)
	}
	switch {
	case len(c.problems) > 0:
		return "invalid_blocks", c.problems
	case c.chars > budgetChars || size > budgetBytes:
		return "msg_blocks_too_long", nil
	}
	return "", nil
}

func jsonSize(v any) int {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return b.Len() - 1
}

func (c *checker) blocks(at string, blocks []block) {
	if len(blocks) > maxBlocks {
		c.bad(at, "no more than %d items allowed", maxBlocks)
	}
	ids := map[string]bool{}
	for i, b := range blocks {
		p := fmt.Sprintf("%s/%d", at, i)
		if len(b.BlockID) > maxBlockID {
			c.bad(p+"/block_id", "must be less than %d characters", maxBlockID+1)
		}
		if b.BlockID != "" && ids[b.BlockID] {
			c.bad(p+"/block_id", "block_id already exists")
		}
		ids[b.BlockID] = true
		c.block(p, b)
	}
}

func (c *checker) block(p string, b block) {
	switch b.Type {
	case "header":
		c.text(p+"/text", b.Text, maxHeader, "plain_text")
	case "section":
		if b.Text == nil && len(b.Fields) == 0 {
			c.bad(p, "missing required field: text")
		}
		if b.Text != nil {
			c.text(p+"/text", b.Text, maxSection, "plain_text", "mrkdwn")
		}
		if len(b.Fields) > maxFields {
			c.bad(p+"/fields", "no more than %d items allowed", maxFields)
		}
		for i := range b.Fields {
			c.text(fmt.Sprintf("%s/fields/%d", p, i), &b.Fields[i], maxField, "plain_text", "mrkdwn")
		}
	case "context":
		c.count(p, len(b.Elements), maxContext)
		for i, e := range b.Elements {
			o := textObject{Type: e.Type, Text: e.text()}
			c.text(fmt.Sprintf("%s/elements/%d", p, i), &o, maxSection, "plain_text", "mrkdwn", "image")
		}
	case "actions":
		c.actions(p, b)
	case "image":
		if b.File != nil {
			if !c.ready(b.File.ID) || b.AltText == "" {
				c.bad(p+"/slack_file", "invalid slack file")
			}
			return
		}
		if !strings.HasPrefix(b.ImageURL, "http") || len(b.ImageURL) > maxURL || b.AltText == "" || len(b.AltText) > maxAlt {
			c.bad(p, "invalid image")
		}
	case "rich_text":
		c.count(p, len(b.Elements), 1<<20)
		for i, e := range b.Elements {
			c.rich(fmt.Sprintf("%s/elements/%d", p, i), e, 0)
		}
	case "divider":
	default:
		c.bad(p+"/type", "unsupported type: %s", b.Type)
	}
}

func (c *checker) count(p string, n, most int) {
	if n == 0 || n > most {
		c.bad(p+"/elements", "must have between 1 and %d items", most)
	}
}

func (c *checker) text(p string, o *textObject, most int, types ...string) {
	if o == nil {
		c.bad(p, "missing required field: text")
		return
	}
	known := false
	for _, t := range types {
		known = known || t == o.Type
	}
	n := utf8.RuneCountInString(o.Text)
	c.chars += n
	switch {
	case !known:
		c.bad(p+"/type", "unsupported type: %s", o.Type)
	case o.Type != "image" && n == 0:
		c.bad(p+"/text", "must be more than 0 characters")
	case n > most:
		c.bad(p+"/text", "must be less than %d characters", most+1)
	}
}

func (c *checker) rich(p string, e element, depth int) {
	c.chars += utf8.RuneCountInString(e.text())
	switch e.Type {
	case "rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote":
		if depth > 2 {
			c.bad(p, "nested too deeply")
			return
		}
		for i, child := range e.Elements {
			c.rich(fmt.Sprintf("%s/elements/%d", p, i), child, depth+1)
		}
	case "text":
		if e.text() == "" {
			c.bad(p+"/text", "must be more than 0 characters")
		}
	case "link":
		if e.URL == "" || len(e.URL) > maxURL {
			c.bad(p+"/url", "invalid url")
		}
	case "user", "usergroup", "broadcast", "channel", "emoji", "date", "color", "team": //nolint:misspell // Slack's words
	default:
		c.bad(p+"/type", "unsupported type: %s", e.Type)
	}
}
