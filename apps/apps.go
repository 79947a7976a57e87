// Package apps is what layers set for single apps beside their rules: how far a
// remediation policy goes for them, and how long their pages wait for context.
// rules/layers compiles it into a file of classes of apps, the gateway reads it.
// docs/layers.md is for authors.
package apps

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
)

// File is the compiled file. An app is in one class at most.
type File struct {
	Label   string  `yaml:"label" need:"true" doc:"The label of alerts that names the app."`
	Classes []Class `yaml:"classes" doc:"Apps with the same settings."`

	source config.Section
}

// Class are apps with the same settings.
type Class struct {
	Apps     []string  `yaml:"apps,flow,omitempty" doc:"Their names."`
	Others   bool      `yaml:"others,omitempty" doc:"It is that of apps that stand in no class, and of alerts without the label."`
	Settings []Setting `yaml:"settings" doc:"What is set for them, by policy and field."`
}

// Setting is one value, and which line of the layers set it.
type Setting struct {
	Policy string `yaml:"policy,omitempty" json:"policy,omitempty" doc:"Name of the policy; empty: a field of context."`
	Field  string `yaml:"field" json:"field" need:"true" doc:"The field, as layers call it: trigger.firing_for."`
	Value  string `yaml:"value" json:"value" need:"true" doc:"What it is; names of a list are parted by commas."`
	At     string `yaml:"at" json:"at" need:"true" doc:"file:line of the layer that set it."`
}

// String is the setting as it is shown: mode observe (layers/app/checkout.yaml:4).
func (s Setting) String() string { return fmt.Sprintf("%s %s (%s)", s.Field, s.Value, s.At) }

// Read reads a compiled file strictly. All mistakes are returned together, as
// *config.Mistake with file and line.
func Read(path string) (*File, error) {
	sec, err := config.Read(path)
	if err != nil {
		return nil, err
	}
	return decode(sec)
}

// Parse is Read for bytes at hand.
func Parse(path string, data []byte) (*File, error) {
	sec, err := config.Parse(path, data)
	if err != nil {
		return nil, err
	}
	return decode(sec)
}

func decode(sec config.Section) (*File, error) {
	f := &File{}
	if err := sec.Decode(f); err != nil {
		return nil, err
	}
	f.source = sec
	return f, nil
}

// Mistakes gives the *config.Invalid errors about fields of f their lines.
func (f *File) Mistakes(err error) error { return f.source.Mistakes(err) }

// At is the path of a setting inside the file, for errors.
func At(class, setting int) string { return fmt.Sprintf("classes[%d].settings[%d]", class, setting) }

// Validate says what cannot be: two classes for one app, a field that layers
// cannot set, a value that is none.
func (f *File) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, config.Bad(field, format, args...)) }
	if f.Label == "" {
		bad("label", "write the label of alerts that names the app")
	}
	others := false
	seen := map[string]bool{}
	for i, c := range f.Classes {
		at := fmt.Sprintf("classes[%d]", i)
		if c.Others && others {
			bad(at+".others", "two classes are that of all others")
		}
		others = others || c.Others
		if len(c.Apps) == 0 && !c.Others {
			bad(at, "it is for no app")
		}
		for j, name := range c.Apps {
			if name == "" || seen[name] {
				bad(fmt.Sprintf("%s.apps[%d]", at, j), "%q is no name, or stands in two classes", name)
			}
			seen[name] = true
		}
		errs = append(errs, c.check(i))
	}
	return errors.Join(errs...)
}

func (c Class) check(class int) error {
	var errs []error
	type key struct{ policy, field string }
	seen := map[key]bool{}
	for i, s := range c.Settings {
		at := At(class, i)
		known, where := ContextFields(), "context"
		if s.Policy != "" {
			known, where = PolicyFields(), "a policy"
		}
		f, ok := Find(known, s.Field)
		if !ok {
			errs = append(errs, config.Bad(at+".field", "layers set no field %q of %s%s", s.Field, where, near(s.Field, known)))
			continue
		}
		if seen[key{s.Policy, s.Field}] {
			errs = append(errs, config.Bad(at+".field", "%s stands twice", s.Field))
		}
		seen[key{s.Policy, s.Field}] = true
		if _, err := f.Kind.Read(s.Value); err != nil {
			errs = append(errs, config.Bad(at+".value", "%v", err))
		}
		if s.At == "" {
			errs = append(errs, config.Bad(at+".at", "write which line of the layers set it"))
		}
	}
	return errors.Join(errs...)
}

func near(word string, known []Field) string {
	var names []string
	for _, f := range known {
		names = append(names, f.Name)
	}
	if best := config.Nearest(word, names); best != "" {
		return fmt.Sprintf("; write %q", best)
	}
	return "; known here: " + strings.Join(names, ", ")
}

// Marshal writes the file behind its first line. The same settings give the
// same bytes.
func (f *File) Marshal(header string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(header + "\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(f), enc.Close()); err != nil {
		return nil, fmt.Errorf("write settings of apps: %w", err)
	}
	return b.Bytes(), nil
}

// Index returns what tells an app's class by its number: that of all others
// where it has none of its own, -1 where there is neither.
func (f *File) Index() func(app string) int {
	of, others := map[string]int{}, -1
	for i, c := range f.Classes {
		for _, name := range c.Apps {
			of[name] = i
		}
		if c.Others {
			others = i
		}
	}
	return func(app string) int {
		if i, ok := of[app]; ok {
			return i
		}
		return others
	}
}
