package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tocsin/tocsin/rules/layers"
)

// RulesOptions choose what the commands over layered rules do.
type RulesOptions struct {
	Dir      string            // rules.yaml, apps.yaml, templates/ and layers/
	Out      string            // where the written rules are
	Only     map[string]string // of the apps only those: cluster: dc1
	DryRun   bool
	JSON     bool
	ExitCode bool // a change is an error
}

// ErrRulesDiffer says that rules changed, or that written ones are not what the
// tree says.
var ErrRulesDiffer = errors.New("the rules differ")

// compiled is a tree with what becomes of it, proved.
type compiled struct {
	tree   *layers.Tree
	groups []layers.Group
	files  []layers.File
}

// loadRules reads the tree of a folder; name is how people call it.
func (o RulesOptions) loadRules(dir, name string) (*layers.Tree, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	return layers.Load(os.DirFS(dir), name, o.Only)
}

func (o RulesOptions) compileRules(dir, name string) (*compiled, error) {
	t, err := o.loadRules(dir, name)
	if err != nil {
		return nil, err
	}
	c := &compiled{tree: t}
	if c.groups, err = t.Compile(); err != nil {
		return nil, err
	}
	if err := t.Prove(c.groups); err != nil {
		return nil, err
	}
	c.files, err = t.Files(c.groups)
	return c, err
}

// summary is what was compiled, in one line.
func (c *compiled) summary() string {
	rules := 0
	for _, f := range c.files {
		rules += f.Rules
	}
	set := ""
	if n := len(c.files); n > 0 && c.files[n-1].Settings > 0 {
		set = fmt.Sprintf(", settings for policies and context: %d", c.files[n-1].Settings)
	}
	return fmt.Sprintf("apps: %d, templates: %d, rules: %d; proved to take each app once%s", len(c.tree.Apps), len(c.groups), rules, set)
}

// RulesBuild writes the rules of a tree as files: all of them, or none. Files
// of templates that are gone are removed, those of others left alone.
func RulesBuild(w io.Writer, o RulesOptions) error {
	c, err := o.compileRules(o.Dir, o.Dir)
	if err != nil {
		return err
	}
	p, err := planFiles(o.Out, c.files)
	if err != nil {
		return err
	}
	if !o.DryRun {
		if err := p.apply(o.Out); err != nil {
			return err
		}
	}
	wrote, removed := "wrote", "removed"
	if o.DryRun {
		wrote, removed = "would write", "would remove"
	}
	for _, f := range p.change {
		what, n := "rules", f.Rules
		if f.Name == layers.AppsFile {
			what, n = "settings", f.Settings
		}
		fmt.Fprintf(w, "%s %s, %s: %d\n", wrote, filepath.Join(o.Out, f.Name), what, n)
	}
	for _, name := range p.remove {
		fmt.Fprintf(w, "%s %s: %s\n", removed, filepath.Join(o.Out, name), gone(name))
	}
	_, err = fmt.Fprintln(w, c.summary())
	return err
}

// gone says why a file that was written before is no longer.
func gone(name string) string {
	if name == layers.AppsFile {
		return "no layer sets policies or context"
	}
	return "no template has rules for it"
}

// RulesCheck compiles a tree and says what is wrong with it; with Out also
// whether the files there are what it would write.
func RulesCheck(w io.Writer, o RulesOptions) error {
	c, err := o.compileRules(o.Dir, o.Dir)
	if err != nil {
		if o.JSON {
			return errors.Join(printFindings(w, CheckOptions{JSON: true}, mistakes(err)), err)
		}
		return err
	}
	found := []Finding{{What: "rules " + o.Dir, OK: true, Note: c.summary()}}
	if o.Out != "" {
		p, err := planFiles(o.Out, c.files)
		if err != nil {
			return err
		}
		for _, f := range p.change {
			found = append(found, Finding{What: "file " + filepath.Join(o.Out, f.Name), Error: "is not what the tree says: run tocsin rules build"})
		}
		for _, name := range p.remove {
			found = append(found, Finding{What: "file " + filepath.Join(o.Out, name), Error: gone(name) + ": run tocsin rules build"})
		}
	}
	if err := printFindings(w, CheckOptions{JSON: o.JSON}, found); err != nil {
		return err
	}
	if len(found) > 1 {
		return ErrRulesDiffer
	}
	return nil
}

// RulesExplain tells where the fields of a rule have their values from for an app.
func RulesExplain(w io.Writer, o RulesOptions, app, rule, field string) error {
	t, err := o.loadRules(o.Dir, o.Dir)
	if err != nil {
		return err
	}
	e, err := t.Explain(app, rule, field)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(w, e)
	}
	return e.WriteText(w)
}

// ours reports whether a file was written by RulesBuild.
func ours(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(layers.Header))
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return strings.HasPrefix(string(head[:n]), layers.Header), err
}
