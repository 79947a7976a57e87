package alertmanager

import (
	"regexp"
	"strings"
)

// neutral returns what takes the meaning of a chat service's markup away from
// data: mentions of people and channels, and links whose words are not their
// address. Services that show text as text, and machines, get it as it is.
// A bare address stays one.
func neutral(kind string) func(string) string {
	switch kind {
	case "slack":
		return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	case "discord", "jira", "mattermost", "msteams", "msteamsv2", "rocketchat", "telegram", "webex", "wechat":
		markup := regexp.MustCompile(`<[!@#/~^\pL]|\]\(|\[[~^@]|\|\s*[\pL/]`)
		mention := regexp.MustCompile(`(^|[^\pL\pN_])@([\pL\pN_{])`)
		return func(s string) string {
			if !strings.ContainsAny(s, "<@[]|") {
				return s
			}
			s = markup.ReplaceAllStringFunc(s, func(at string) string {
				switch at[0] {
				case '<':
					return "‹" + at[1:]
				case ']':
					return "] ("
				case '[':
					return "[ " + at[1:]
				default:
					return "¦" + at[1:]
				}
			})
			return mention.ReplaceAllString(mention.ReplaceAllString(s, "$1@ $2"), "$1@ $2")
		}
	default:
		return func(s string) string { return s }
	}
}

// ascii writes every other letter as a question mark. The Webex notifier panics
// where it cuts a long text of many-byte letters; in its simplest form a
// message has none.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0x7e {
			return '?'
		}
		return r
	}, s)
}
