package webhook

import (
	"fmt"
)

// Limits bound what one webhook may hold. What is beyond them is quarantined.
type Limits struct {
	Body       int64 // bytes of a request
	Depth      int   // of nested arrays and objects
	Alerts     int   // items of any array, alerts first of all
	Names      int   // members of any object, label sets first of all
	LabelBytes int   // names and values of one set of labels or annotations
	InFlight   int64 // bytes of all requests that are read or decoded at once; beyond it they are asked to come back
}

// DefaultLimits fit an Alertmanager that sends 20,000 alerts in one group.
func DefaultLimits() Limits {
	return Limits{Body: 32 << 20, Depth: 32, Alerts: 20_000, Names: 1024, LabelBytes: 64 << 10, InFlight: 128 << 20}
}

// Unreadable is why a body is not a notification.
type Unreadable struct {
	Reason string // one of the Reasons: a label of metrics and of the alarm
	Field  string // path in the body, "" when it is about all of it
	Advice string // what is wrong and what to do
}

// The Reasons.
const (
	ReasonSize     = "size"     // a limit was passed
	ReasonSyntax   = "syntax"   // not JSON, or not UTF-8
	ReasonPayload  = "payload"  // JSON, but not Alertmanager's own body
	ReasonVersion  = "version"  // Alertmanager's body, of a version that is not read
	ReasonField    = "field"    // a field is missing, or is of the wrong kind
	ReasonEncoding = "encoding" // compressed, or otherwise encoded
)

// Error is `field: advice`, or the advice alone.
func (e *Unreadable) Error() string {
	if e.Field == "" {
		return e.Advice
	}
	return e.Field + ": " + e.Advice
}

func unreadable(reason, field, format string, args ...any) error {
	return &Unreadable{Reason: reason, Field: field, Advice: fmt.Sprintf(format, args...)}
}

// scan makes sure that decoding body can neither nest deeper nor make longer
// arrays and larger objects than l allows, before any of it is allocated. It
// knows strings, brackets and commas; whether the rest is JSON is not its matter.
func (l Limits) scan(body []byte) error {
	if int64(len(body)) > l.Body {
		return unreadable(ReasonSize, "", "the body is over %d bytes: set max_alerts in the receiver's webhook_configs, or group by more labels", l.Body)
	}
	counts := make([]int, 0, l.Depth) // commas in each container that is open
	open := make([]byte, 0, l.Depth)
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			i = skipString(body, i)
		case '{', '[':
			if len(open) == l.Depth {
				return unreadable(ReasonSize, "", "it nests deeper than %d levels at byte %d: this is no body of Alertmanager's", l.Depth, i)
			}
			open, counts = append(open, c), append(counts, 1)
		case '}', ']':
			if len(open) > 0 {
				open, counts = open[:len(open)-1], counts[:len(counts)-1]
			}
		case ',':
			if len(open) == 0 {
				continue
			}
			top := len(open) - 1
			counts[top]++
			if err := l.count(open[top], counts[top], i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l Limits) count(container byte, n, at int) error {
	if container == '[' && n > l.Alerts {
		return unreadable(ReasonSize, "alerts", "more than %d of them (at byte %d): set max_alerts in the receiver's webhook_configs, or group by more labels", l.Alerts, at)
	}
	if container == '{' && n > l.Names {
		return unreadable(ReasonSize, "labels", "more than %d names in one set (at byte %d): set label_limit where they are scraped", l.Names, at)
	}
	return nil
}

// skipString returns the index of the quote that ends the string which begins
// at i, or of the last byte.
func skipString(body []byte, i int) int {
	for i++; i < len(body); i++ {
		switch body[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(body) - 1
}
