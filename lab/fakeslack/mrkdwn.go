package fakeslack

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Span is a run of text as a reader sees it.
type Span struct {
	Text    string
	URL     string // it is a link
	Mention bool   // it rings somebody: @channel, @here, a user, a group
	Bold    bool
	Italic  bool
	Strike  bool
	Code    bool
}

// plain returns text that Slack interprets in no way.
func plain(s string) []Span { return []Span{{Text: s}} }

// mrkdwn reads Slack's markup. autolink turns bare addresses into links, and
// bare @channel, @here, @everyone into mentions when names is set.
func mrkdwn(s string, autolink, names bool) []Span {
	p := parser{autolink: autolink, names: names}
	for s != "" {
		s = p.next(s)
	}
	p.flush()
	return p.out
}

type parser struct {
	out             []Span
	buf             strings.Builder
	style           Span
	autolink, names bool
}

func (p *parser) flush() {
	if p.buf.Len() == 0 {
		return
	}
	s := p.style
	s.Text = unescape(p.buf.String())
	p.buf.Reset()
	p.out = append(p.out, s)
}

func (p *parser) push(s Span) {
	p.flush()
	s.Bold, s.Italic, s.Strike = p.style.Bold, p.style.Italic, p.style.Strike
	p.out = append(p.out, s)
}

// next consumes some of s and returns the rest.
func (p *parser) next(s string) string {
	switch c := s[0]; c {
	case '<':
		if inner, rest, ok := strings.Cut(s[1:], ">"); ok && !strings.ContainsAny(inner, "<\n") {
			p.push(angle(inner))
			return rest
		}
	case '`':
		fence := "`"
		if strings.HasPrefix(s, "```") {
			fence = "```"
		}
		if inner, rest, ok := strings.Cut(s[len(fence):], fence); ok && inner != "" {
			p.push(Span{Text: unescape(inner), Code: true})
			return rest
		}
	case '*', '_', '~':
		if rest, ok := p.toggle(c, s); ok {
			return rest
		}
	case 'h', '@':
		if rest, ok := p.bare(s); ok {
			return rest
		}
	}
	_, n := utf8.DecodeRuneInString(s)
	p.buf.WriteString(s[:n])
	return s[n:]
}

// toggle switches a style on where a closing mark follows on the line, or off.
func (p *parser) toggle(mark byte, s string) (string, bool) {
	on := map[byte]*bool{'*': &p.style.Bold, '_': &p.style.Italic, '~': &p.style.Strike}[mark]
	line, _, _ := strings.Cut(s[1:], "\n")
	end := strings.IndexByte(line, mark)
	if !*on && (end < 1 || line[0] == ' ' || line[end-1] == ' ' || p.inWord()) {
		return s, false
	}
	p.flush()
	*on = !*on
	return s[1:], true
}

func (p *parser) inWord() bool {
	r, _ := utf8.DecodeLastRuneInString(p.buf.String())
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

func (p *parser) bare(s string) (string, bool) {
	if p.autolink && (strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")) {
		end := strings.IndexAny(s, " \n\t<>|")
		if end < 0 {
			end = len(s)
		}
		p.push(Span{Text: unescape(s[:end]), URL: unescape(s[:end])})
		return s[end:], true
	}
	for _, name := range []string{"@channel", "@here", "@everyone"} {
		if p.names && strings.HasPrefix(s, name) {
			p.push(Span{Text: name, Mention: true})
			return s[len(name):], true
		}
	}
	return s, false
}

// angle reads what stands between < and >.
func angle(inner string) Span {
	target, label, labelled := strings.Cut(inner, "|")
	if !labelled {
		label = target
	}
	switch {
	case strings.HasPrefix(inner, "!date^"):
		return Span{Text: unescape(label)}
	case strings.HasPrefix(inner, "!"), strings.HasPrefix(inner, "@"):
		return Span{Text: "@" + unescape(strings.TrimLeft(label, "!@")), Mention: true}
	case strings.HasPrefix(inner, "#"):
		return Span{Text: "#" + unescape(strings.TrimLeft(label, "#")), URL: "slack://channel/" + target[1:]}
	default:
		return Span{Text: unescape(label), URL: unescape(target)}
	}
}

func unescape(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// Part is one piece of a message: what Kind says, with its spans.
type Part struct {
	Kind    string // text, header, section, field, context, actions, image, divider, rich, item, pre, quote
	Spans   []Span
	Buttons []Button // of actions
	Press   *Press   // who would press them, and where; nil where nobody can
}

// parts lays a version out as people see it: its blocks, or its text when it
// has none. bar holds the attachments, each with its colour.
func (v version) parts() []Part {
	if len(v.blocks) > 0 {
		return partsOf(v.blocks)
	}
	if v.text == "" {
		return nil
	}
	return []Part{{Kind: "text", Spans: mrkdwn(v.text, v.autolink, v.autolink)}}
}

func (a attachment) parts() []Part {
	var out []Part
	for _, s := range []string{a.Pretext, a.Title, a.Text} {
		if s != "" {
			out = append(out, Part{Kind: "text", Spans: mrkdwn(s, true, false)})
		}
	}
	return append(out, partsOf(a.Blocks)...)
}

func partsOf(blocks []block) []Part {
	var out []Part
	for _, b := range blocks {
		switch b.Type {
		case "header", "section":
			if b.Text != nil {
				out = append(out, Part{Kind: b.Type, Spans: b.Text.spans()})
			}
			for _, f := range b.Fields {
				out = append(out, Part{Kind: "field", Spans: f.spans()})
			}
		case "context":
			p := Part{Kind: "context"}
			for _, e := range b.Elements {
				o := textObject{Type: e.Type, Text: e.text(), Verbatim: e.Verbatim}
				p.Spans = append(append(p.Spans, o.spans()...), Span{Text: "  "})
			}
			out = append(out, p)
		case "actions":
			p := Part{Kind: "actions"}
			for _, e := range b.Elements {
				p.Buttons = append(p.Buttons, e.asButton(b.BlockID))
				p.Spans = append(p.Spans, Span{Text: "[" + e.text() + "] ", URL: e.URL})
			}
			out = append(out, p)
		case "image":
			out = append(out, Part{Kind: "image", Spans: []Span{{Text: b.AltText, URL: b.ImageURL}}})
		case "rich_text":
			for _, e := range b.Elements {
				out = append(out, e.richParts("rich")...)
			}
		default:
			out = append(out, Part{Kind: b.Type})
		}
	}
	return out
}

func (o textObject) spans() []Span {
	if o.Type == "mrkdwn" {
		return mrkdwn(o.Text, !o.Verbatim, false)
	}
	return plain(o.Text)
}

func (e element) richParts(kind string) []Part {
	switch e.Type {
	case "rich_text_list":
		var out []Part
		for _, item := range e.Elements {
			out = append(out, item.richParts("item")...)
		}
		return out
	case "rich_text_preformatted":
		kind = "pre"
	case "rich_text_quote":
		kind = "quote"
	}
	p := Part{Kind: kind}
	for _, c := range e.Elements {
		p.Spans = append(p.Spans, c.span())
	}
	return []Part{p}
}

func (e element) span() Span {
	var style struct{ Bold, Italic, Strike, Code bool }
	_ = json.Unmarshal(e.Style, &style)
	s := Span{Text: e.text(), Bold: style.Bold, Italic: style.Italic, Strike: style.Strike, Code: style.Code}
	switch e.Type {
	case "link":
		s.URL = e.URL
		if s.Text == "" {
			s.Text = e.URL
		}
	case "broadcast", "user", "usergroup":
		s.Text, s.Mention = "@"+e.Range+e.UserID+e.Group, true
	case "emoji":
		s.Text = ":" + e.Name + ":"
	}
	return s
}
