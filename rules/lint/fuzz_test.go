package lint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/lint"
)

func mistakes(err error) []*config.Mistake {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*config.Mistake
		for _, e := range j.Unwrap() {
			out = append(out, mistakes(e)...)
		}
		return out
	}
	if m, ok := err.(*config.Mistake); ok { //nolint:errorlint // joined errors are taken apart above
		return []*config.Mistake{m}
	}
	return nil
}

// Whatever stands in a file, the linter ends, and each finding has a place, a
// check of the list and a fix.
func FuzzLint(f *testing.F) {
	for _, c := range examples() {
		if c.rules != "" {
			f.Add([]byte(head + c.rules))
			continue
		}
		f.Add([]byte(head + "  - alert: A\n    expr: |\n      " + c.expr + "\n    annotations: {summary: '{{ $labels.pod }}'} # tocsin: disable rate: no\n"))
	}
	known := map[string]bool{}
	for _, c := range lint.Checks() {
		known[c.Name] = true
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := rules.Parse("r.yml", data)
		o := options()
		o.Roles, o.Texts = roles(), map[string][]byte{"r.yml": data}
		for _, found := range lint.Run([]lint.Source{{Path: "r.yml", Groups: file.Groups, Broken: mistakes(err)}}, o) {
			require.True(t, known[found.Check], found.Check)
			require.Equal(t, "r.yml", found.File)
			require.NotEmpty(t, found.Message)
			require.NotEmpty(t, found.Fix)
			require.GreaterOrEqual(t, found.Line, 0)
		}
	})
}
