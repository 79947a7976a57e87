package expr

import (
	"errors"
	"fmt"
	"net/url"
)

// MaxURL is the longest generator URL that is read, in bytes.
const MaxURL = 64 << 10

// ErrNoExpression is returned where a generator URL names no expression.
var ErrNoExpression = errors.New("generator URL names no expression")

// FromGeneratorURL reads the expression out of the link to the graph that
// Prometheus and Thanos Ruler put on each alert (g0.expr). The address is read,
// never fetched; what it says is as untrusted as any text from outside.
func FromGeneratorURL(raw string) (string, error) {
	if len(raw) > MaxURL {
		return "", fmt.Errorf("%w: %d bytes, at most %d are read", ErrNoExpression, len(raw), MaxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("%w: not an address", ErrNoExpression)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", fmt.Errorf("%w: not a query string", ErrNoExpression)
	}
	text := q.Get("g0.expr")
	switch {
	case text == "":
		return "", ErrNoExpression
	case len(text) > MaxBytes:
		return "", fmt.Errorf("%w: %d bytes, at most %d are read", ErrNoExpression, len(text), MaxBytes)
	}
	return text, nil
}
