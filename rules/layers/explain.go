package layers

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Explanation says where the fields of a rule have their values from, for one app.
type Explanation struct {
	App      string  `json:"app"`
	Rule     string  `json:"rule"`
	Template string  `json:"template,omitempty"` // as are the next two, of a rule
	File     string  `json:"file,omitempty"`
	Line     int     `json:"line,omitempty"`
	Enabled  bool    `json:"enabled"`
	Fields   []Field `json:"fields"`
	Expr     string  `json:"expr,omitempty"` // compiled, for all apps with the same parameters
	Shared   int     `json:"apps,omitempty"` // how many they are
}

// Field is one field with all that was said of it, the winner first.
type Field struct {
	Field    string     `json:"field"`
	Value    string     `json:"value"`
	Doc      string     `json:"doc,omitempty"` // of a parameter
	Settings []*Setting `json:"settings"`
	Locked   *Setting   `json:"locked,omitempty"`
}

// Explain says where the fields of a rule come from for an app; field is one of
// them, "" for all. A rule that is called policies, policies.NAME or context is
// what layers set beside rules. The error says what there is instead.
func (t *Tree) Explain(app, rule, field string) (*Explanation, error) {
	i := slices.IndexFunc(t.Apps, func(a App) bool { return a.Name == app })
	if i < 0 {
		return nil, fmt.Errorf("apps.yaml has no app %q%s", app, nearest(app, t.values(layerApp)))
	}
	tm, h := t.find(rule)
	if h == nil && beside(rule) {
		return t.explainBeside(&t.Apps[i], rule, field)
	}
	if h == nil {
		return nil, fmt.Errorf("no template has a rule %q%s", rule, nearest(rule, t.ruleNames()))
	}
	chain := t.chain(&t.Apps[i])
	if !tm.perApp {
		chain = t.chain(nil)
	}
	res := (&resolver{t, tm, map[string]*resolved{}}).resolve(chain)
	e := &Explanation{App: app, Rule: h.id, Template: tm.name, File: tm.file, Line: h.line, Enabled: res.on(tm, h.id)}
	for _, r := range t.compile(tm, t.chains()).Rules {
		if r.ID == h.id && (!r.PerApp || slices.Contains(r.Apps, app)) {
			e.Expr, e.Shared = r.Expr, len(r.Apps)
		}
	}
	if err := t.found.err(); err != nil {
		return nil, err
	}
	asked := []string{}
	for _, at := range t.explained(tm, h, e.Enabled, res) {
		name := short(at)
		if at.Rule == "" && at.Part == partEnabled {
			name = "template." + partEnabled
		}
		f := Field{Field: name, Settings: res.stack(tm, at), Locked: res.heldBy(tm, at)}
		if len(f.Settings) == 0 {
			continue
		}
		f.Value = f.Settings[0].shown()
		if at.Part == partParams {
			f.Doc = tm.param(at.Name).Doc
		}
		asked = append(asked, name)
		if field == "" || field == name || partParams+"."+field == name {
			e.Fields = append(e.Fields, f)
		}
	}
	if field != "" {
		e.Expr = ""
	}
	if len(e.Fields) == 0 {
		return nil, fmt.Errorf("nobody sets %q of %s for %s; set are: %s", field, rule, app, strings.Join(asked, ", "))
	}
	return e, nil
}

// explained are the fields to tell of: of a rule that is off, all parameters.
func (t *Tree) explained(tm *template, h *ruleHead, on bool, res *resolved) []Path {
	b := &body{uses: tm.paramNames()}
	if on {
		r := newRenderer(t, tm)
		b = r.render(res, "")[slices.Index(tm.rules, h)]
	}
	out := []Path{{Part: partEnabled}, {Rule: h.id, Part: partEnabled}}
	return append(out, fields(tm, h, b)...)
}

// find is the rule that layers call so, and its template.
func (t *Tree) find(id string) (*template, *ruleHead) {
	for _, tm := range t.templates {
		if h := tm.rule(id); h != nil {
			return tm, h
		}
	}
	return nil, nil
}

func (t *Tree) ruleNames() []string {
	var out []string
	for _, tm := range t.templates {
		out = append(out, tm.ruleNames()...)
	}
	return out
}

// WriteText writes the explanation for people: each field, then what set it,
// the winner first.
func (e *Explanation) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s · %s", e.App, e.Rule)
	if e.File != "" {
		fmt.Fprintf(&b, " (%s:%d)", e.File, e.Line)
	}
	if !e.Enabled {
		b.WriteString(" is off")
	}
	b.WriteString("\n")
	tw := tabwriter.NewWriter(&b, 2, 8, 2, ' ', 0)
	for _, f := range e.Fields {
		fmt.Fprintf(tw, "\n%s = %s", f.Field, oneLine(f.Value))
		if f.Doc != "" {
			fmt.Fprintf(tw, "  (%s)", strings.TrimSuffix(oneLine(f.Doc), "."))
		}
		if f.Locked != nil {
			fmt.Fprintf(tw, "  (locked at %s)", f.Locked.Place())
		}
		fmt.Fprintln(tw)
		for i, s := range f.Settings {
			note := ""
			if i > 0 {
				note = "shadowed"
			}
			fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", s.Place(), s.Layer, oneLine(s.shown()), note)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	if e.Expr != "" {
		whom := plural(e.Shared, "app")
		if e.Shared == 0 {
			whom = "all apps in one"
		}
		fmt.Fprintf(&b, "\nexpr, for %s:\n  %s\n", whom, e.Expr)
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// oneLine is a value on one line, cut where it is long.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return s
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// trimLines takes away the blanks that columns leave at the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}
