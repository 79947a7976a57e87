package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Clean returns untrusted text as one line of at most n runes: without control
// characters, without format characters (bidi overrides, zero-width, tags:
// they make text read as what it is not), with invalid UTF-8 replaced, and
// with white space folded.
func Clean(s string, n int) string { return clean(s, n, false) }

// CleanLines is Clean for text of several lines: line breaks stay, at most two
// in a row.
func CleanLines(s string, n int) string { return clean(s, n, true) }

func clean(s string, n int, lines bool) string {
	if tidy(s) {
		return Cut(s, n)
	}
	var b strings.Builder
	count, space, breaks := 0, false, 0
	for _, r := range s {
		switch {
		case '!' <= r && r <= '~':
		case lines && (r == '\n' || r == '\u2028' || r == '\u2029'):
			breaks++
			continue
		case unicode.IsSpace(r): // before Cc: tab and line break are both
			space = true
			continue
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs):
			continue
		}
		if count > 0 {
			sep := strings.Repeat("\n", min(breaks, 2))
			if sep == "" && space {
				sep = " "
			}
			b.WriteString(sep)
			count += len(sep)
		}
		space, breaks = false, 0
		b.WriteRune(r) // an invalid byte ranges as U+FFFD
		if count++; count > n {
			break
		}
	}
	return Cut(b.String(), n)
}

// tidy reports whether s is printable ASCII with single spaces inside it, as
// labels are as a rule: nothing has to be taken out of it.
func tidy(s string) bool {
	before := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' || c == ' ' && before == ' ' {
			return false
		}
		before = c
	}
	return before != ' ' || s == ""
}

// Cut shortens s to n runes, the last of them an ellipsis if something is missing.
func Cut(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	at, i := 0, 0
	for at = range s {
		if i == n-1 {
			break
		}
		i++
	}
	return strings.TrimRightFunc(s[:at], unicode.IsSpace) + "…"
}

// Span writes a duration as people say it: 0.4 s, 35 s, 4m 10s, 2h 5m, 3d 4h.
func Span(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}
