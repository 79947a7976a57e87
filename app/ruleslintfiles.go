package app

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/layers"
	"github.com/tocsin/tocsin/rules/lint"
)

// lintable is what was read to be judged.
type lintable struct {
	sources []lint.Source
	texts   map[string][]byte
	trees   map[string]string // folder of the tree that a file is of
	passed  []string
	only    map[string]string
}

// readLintable reads files, patterns, folders of rule files and trees, each file
// once. Files of folders that hold no rules are passed over; those that are
// named must.
func readLintable(paths []string, only map[string]string) (*lintable, error) {
	b := &lintable{texts: map[string][]byte{}, trees: map[string]string{}, only: only}
	var errs []error
	for _, pattern := range paths {
		found, err := filepath.Glob(pattern)
		if _, missing := os.Lstat(pattern); missing == nil {
			found, err = []string{pattern}, nil // a name that holds [ or *
		}
		if err == nil && len(found) == 0 {
			err = errors.New("no file or folder is called so")
		}
		if err != nil {
			errs = append(errs, &config.Mistake{File: pattern, Text: err.Error()})
		}
		for _, path := range found {
			info, err := os.Stat(path)
			switch {
			case err != nil:
			case info.IsDir():
				err = b.folder(path)
			default:
				err = b.file(path, true)
			}
			errs = append(errs, err)
		}
	}
	return b, errors.Join(errs...)
}

// folder reads a tree, or the rule files and the trees of a folder.
func (b *lintable) folder(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() && isTree(path):
			if err := b.tree(path); err != nil {
				return err
			}
			return fs.SkipDir
		case d.Type().IsRegular() && slices.Contains([]string{".yml", ".yaml"}, filepath.Ext(path)):
			return b.file(path, false)
		}
		return nil
	})
}

// isTree reports whether a folder is one of layered rules.
func isTree(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "templates"))
	_, errApps := os.Stat(filepath.Join(dir, "apps.yaml"))
	return err == nil && info.IsDir() && errApps == nil
}

// file reads one; named says that it must hold rules.
func (b *lintable) file(path string, named bool) error {
	path = filepath.Clean(path)
	if _, ok := b.texts[path]; ok {
		return nil
	}
	data, err := readServer(path)
	if err != nil {
		return err
	}
	if !named && !holdsRules(data) {
		b.passed = append(b.passed, path)
		return nil
	}
	b.texts[path] = data
	f, err := rules.Parse(path, data)
	b.sources = append(b.sources, lint.Source{Path: path, Groups: f.Groups, Broken: allMistakes(err)})
	return nil
}

// holdsRules tells rule files from whatever else is in a folder: tests of rules,
// other objects, values. A file that is no YAML is one where it says groups.
func holdsRules(data []byte) bool {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc struct {
			Kind   string
			Groups []struct{ Rules yaml.Node }
		}
		err := dec.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return false
		case err != nil:
			return bytes.Contains(data, []byte("\ngroups:")) || bytes.HasPrefix(data, []byte("groups:"))
		case strings.HasPrefix(doc.Kind, "PrometheusRule"):
			return true
		}
		for _, g := range doc.Groups {
			if !g.Rules.IsZero() {
				return true
			}
		}
	}
}

// allMistakes are those that a joined error holds.
func allMistakes(err error) []*config.Mistake {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*config.Mistake
		for _, e := range j.Unwrap() {
			out = append(out, allMistakes(e)...)
		}
		return out
	}
	if m, ok := errors.AsType[*config.Mistake](err); ok {
		return []*config.Mistake{m}
	}
	return nil
}

// tree compiles layered rules. What is found in them is said of the line that
// its authors wrote.
func (b *lintable) tree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(path) == ".yaml" {
			b.trees[path] = dir
			b.texts[path], err = readServer(path)
		}
		return err
	})
	if err != nil {
		return err
	}
	c, err := RulesOptions{Only: b.only}.compileRules(dir, dir)
	if wrong := allMistakes(err); len(wrong) > 0 {
		b.sources = append(b.sources, lint.Source{Path: dir, Broken: wrong})
		return nil
	}
	if err != nil {
		return err
	}
	for _, g := range c.groups {
		s := lint.Source{Path: filepath.Join(dir, g.Template), Groups: []rules.Group{g.Written()}}
		of := map[*rules.Rule]*layers.Rule{}
		for i := range g.Rules {
			of[&s.Groups[0].Rules[i]] = &g.Rules[i]
		}
		s.At = func(r *rules.Rule, field string) lint.Place {
			for _, o := range of[r].Origins {
				if o.Field == field && len(o.From) > 0 {
					return lint.Place{File: filepath.Join(dir, o.From[0].File), Line: o.From[0].Line}
				}
			}
			return lint.Place{File: s.Path, Line: of[r].Line}
		}
		b.sources = append(b.sources, s)
	}
	return nil
}
