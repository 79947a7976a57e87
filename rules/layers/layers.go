// Package layers compiles rule templates, and the layers that say what is
// different where (global, cluster, phase, app-type, app-group, app), into
// Prometheus rules: one rule per distinct set of parameters, whose matchers
// leave no app out and match none twice. Every field of a rule knows the file
// and line that set it, and what that shadows. docs/layers.md is for authors.
package layers

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/config"
)

// Path names one field of a template. The zero values say how far it goes:
//
//	{Part: "enabled"}                                   the template itself
//	{Part: "params", Name: "window"}                    a parameter
//	{Rule: "HighErrorRate", Part: "for"}                a field of a rule
//	{Rule: "HighErrorRate", Part: "labels", Name: "x"}  an entry of one of its maps
type Path struct{ Rule, Part, Name string }

// The parts of a path.
const (
	partEnabled     = "enabled"
	partParams      = "params"
	partExpr        = "expr"
	partFor         = "for"
	partKeep        = "keep_firing_for"
	partLabels      = "labels"
	partAnnotations = "annotations"
)

// String is the path as people write it: params.window, HighErrorRate.labels.severity.
func (p Path) String() string {
	var words []string
	for _, w := range []string{p.Rule, p.Part, p.Name} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, ".")
}

// covers reports whether a lock or a null at p holds for q too: a whole map
// covers its entries, and a template that is off turns its rules off.
func (p Path) covers(q Path) bool {
	switch {
	case p == q, p == Path{Part: partEnabled} && q.Part == partEnabled:
		return true
	default:
		return p.Rule == q.Rule && p.Part == q.Part && p.Name == ""
	}
}

// Setting is one value that a file gives to a field.
type Setting struct {
	Value   string `json:"value,omitempty"`
	Deleted bool   `json:"deleted,omitempty"` // null: what stood above it is gone
	Layer   string `json:"layer"`             // template, global, phase/live
	File    string `json:"file"`              // as seen from the folder of the tree
	Line    int    `json:"line"`
}

// Place is file:line.
func (s *Setting) Place() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// shown is the value as people read it.
func (s *Setting) shown() string {
	if s.Deleted {
		return "null"
	}
	return s.Value
}

// entry is a field with what one file says of it.
type entry struct {
	path Path
	set  *Setting
}

// lock holds what path covers, for all layers below the one it stands in.
type lock struct {
	path Path
	at   *Setting
}

// patch is what one file says of one template.
type patch struct {
	line    int
	entries []entry
	locks   []lock
	rules   map[string]int // the lines at which it speaks of them
}

// mistakes gathers errors, each text once and at most so many.
type mistakes struct {
	seen map[string]bool
	errs []error
}

// maxMistakes bounds how many mistakes are told at once: one wrong line of a
// global layer can be wrong for every app.
const maxMistakes = 50

func (m *mistakes) add(err error) {
	if err == nil || m.seen[err.Error()] || len(m.errs) > maxMistakes {
		return
	}
	if m.seen == nil {
		m.seen = map[string]bool{}
	}
	m.seen[err.Error()] = true
	if len(m.errs) == maxMistakes {
		err = errors.New("there are more mistakes: mend these first")
	}
	m.errs = append(m.errs, err)
}

func (m *mistakes) err() error { return errors.Join(m.errs...) }

// nearest returns `: write "x"` when a known word is near, else the known words
// when they are few.
func nearest(word string, known []string) string {
	if best := config.Nearest(word, known); best != "" {
		return fmt.Sprintf("; write %q", best)
	}
	if len(known) > 0 && len(known) <= 12 {
		return "; known here: " + strings.Join(known, ", ")
	}
	return ""
}
