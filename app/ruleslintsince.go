package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tocsin/tocsin/rules"
	"github.com/tocsin/tocsin/rules/lint"
)

// before is what files and trees said at a revision.
type before struct {
	rules map[string]bool // by what they say
	same  map[string]bool // files that did not change
}

// since reads, of what is judged, what stood there at a revision of git. What
// was not there yet is new as a whole.
func (b *lintable) since(ctx context.Context, o RulesLintOptions) (*before, error) {
	old := &before{rules: map[string]bool{}, same: map[string]bool{}}
	for path, now := range b.texts {
		dir := filepath.Dir(path)
		was, there, err := gitFile(ctx, dir, o.Since, filepath.Base(path))
		if err != nil {
			return nil, err
		}
		old.same[path] = there && bytes.Equal(was, now)
		if there && b.trees[path] == "" {
			f, _ := rules.Parse(path, was) // as far as it could be read then
			old.add(path, f.Groups)
		}
	}
	done := map[string]bool{}
	for _, dir := range b.trees {
		if done[dir] {
			continue
		}
		done[dir] = true
		if err := old.tree(ctx, dir, o); err != nil {
			return nil, err
		}
	}
	return old, nil
}

// tree compiles a tree as it was. One that did not compile then is new.
func (old *before) tree(ctx context.Context, dir string, o RulesLintOptions) error {
	commit, err := commitOf(ctx, dir, o.Since)
	if err != nil {
		return err
	}
	if list, err := git(ctx, dir, "ls-tree", commit, "./"); err != nil || len(list) == 0 {
		return err
	}
	into, err := os.MkdirTemp("", "tocsin-rules-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(into)
	if err := checkOut(ctx, dir, o.Since, into); err != nil {
		return err
	}
	c, err := RulesOptions{Only: o.Only}.compileRules(into, dir)
	if err != nil {
		return nil // its mistakes are history
	}
	for _, g := range c.groups {
		old.add(filepath.Join(dir, g.Template), []rules.Group{g.Written()})
	}
	return nil
}

func (old *before) add(path string, groups []rules.Group) {
	for i := range groups {
		for k := range groups[i].Rules {
			old.rules[fingerprint(path, &groups[i], &groups[i].Rules[k])] = true
		}
	}
}

// changed reports whether a rule says something else than any of its file did.
func (old *before) changed(s *lint.Source, g *rules.Group, r *rules.Rule) bool {
	return !old.rules[fingerprint(s.Path, g, r)]
}

// fingerprint is all that a rule says; maps print in the order of their keys.
func fingerprint(path string, g *rules.Group, r *rules.Rule) string {
	return fmt.Sprintf("%q %q %d %q %q %q %q %d %d %q %q", path, g.Name, g.Interval, g.Labels, r.Alert, r.Record, r.Expr, r.For, r.KeepFiringFor, r.Labels, r.Annotations)
}

// gitFile returns a file of a folder as it was at a revision, and whether it was.
func gitFile(ctx context.Context, dir, rev, name string) ([]byte, bool, error) {
	commit, err := commitOf(ctx, dir, rev)
	if err != nil {
		return nil, false, err
	}
	list, err := git(ctx, dir, "--literal-pathspecs", "ls-tree", commit, "./"+name)
	if err != nil || len(list) == 0 {
		return nil, false, err
	}
	data, err := git(ctx, dir, "show", commit+":./"+name)
	return data, err == nil, err
}

func commitOf(ctx context.Context, dir, rev string) (string, error) {
	id, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("%s is no revision of the repository of %s: %w", rev, dir, err)
	}
	return strings.TrimSpace(string(id)), nil
}
