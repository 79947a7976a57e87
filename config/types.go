// Package config holds the words of a config file: secrets, durations, and
// strict decoding that answers a mistake with its line and what to write instead.
package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Secret is a value that prints as <secret> wherever it might be printed.
type Secret string

const hidden = "<secret>"

// Reveal returns the secret itself, for the request that needs it.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string { return hidden }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return hidden }

// MarshalText hides the secret from every encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// SecretFile is the path of a file that holds one secret.
type SecretFile string

// Unfilled is how a secret file begins that was laid out for somebody to fill
// in; what to write into it follows.
const Unfilled = "to be filled in: "

// Read returns the file's content without white space around it. A secret goes
// into a header, so it is one line.
func (f SecretFile) Read() (Secret, error) {
	if f == "" {
		return "", errors.New("name the file that holds the secret")
	}
	b, err := os.ReadFile(string(f))
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" {
		return "", fmt.Errorf("%s is empty: write the secret into it", f)
	}
	if cure, waits := strings.CutPrefix(s, Unfilled); waits {
		return "", fmt.Errorf("%s still is to be filled in: %s", f, cure)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%s holds more than one line, or control characters: write only the secret into it", f)
	}
	return Secret(s), nil
}

// Duration is a time span in Prometheus' notation: 30s, 5m, 1h30m, 7d.
type Duration time.Duration

// UnmarshalYAML reads Prometheus' notation.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := model.ParseDuration(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{
			fmt.Sprintf("line %d: %q is not a duration: write it as 500ms, 30s, 5m or 1h30m", n.Line, n.Value),
		}}
	}
	*d = Duration(v)
	return nil
}

// UnmarshalText reads Prometheus' notation, for values that were stored as JSON.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := model.ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes Prometheus' notation.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes Prometheus' notation.
func (d Duration) String() string { return model.Duration(d).String() }

// D returns the standard library's form.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Invalid is a value that was read but cannot be meant. Field is its path
// inside the section that is validated: "routing_key_file", "tokens[1].name".
type Invalid struct {
	Field  string
	Advice string // what is wrong and what to write instead
}

// Error is `field: advice`.
func (e *Invalid) Error() string { return e.Field + ": " + e.Advice }

// Bad returns an *Invalid.
func Bad(field, format string, args ...any) error {
	return &Invalid{Field: field, Advice: fmt.Sprintf(format, args...)}
}

// Under prefixes the field of every *Invalid in err with a path.
func Under(path string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, Under(path, e))
		}
		return errors.Join(out...)
	}
	if e, ok := errors.AsType[*Invalid](err); ok {
		sep := "."
		if strings.HasPrefix(e.Field, "[") || e.Field == "" {
			sep = ""
		}
		return &Invalid{Field: path + sep + e.Field, Advice: e.Advice}
	}
	return &Invalid{Field: path, Advice: err.Error()}
}

// Validator is a section that can tell what is wrong with itself: it returns
// *Invalid errors, joined when there are several.
type Validator interface{ Validate() error }
