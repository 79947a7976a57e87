package layers

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/tocsin/tocsin/rules"
)

// File is one file to write.
type File struct {
	Name     string // http.yaml
	Data     []byte
	Rules    int
	Settings int // of AppsFile: values for classes of apps
}

// Header begins every file that is written here. A file that begins otherwise
// is somebody else's, and left alone.
const Header = "# Written by tocsin rules build"

// maxObject bounds an object of the Prometheus Operator: etcd takes 1.5 MiB.
const maxObject = 1 << 20

// Files writes compiled rules as they are to be read by Prometheus, by Thanos
// Ruler or by the Prometheus Operator: one file per template that has rules,
// and AppsFile for the gateway where layers set policies or context. The same
// tree gives the same bytes.
func (t *Tree) Files(groups []Group) ([]File, error) {
	var out []File
	var m mistakes
	for _, g := range groups {
		if len(g.Rules) == 0 {
			continue
		}
		data, err := t.file(g)
		if err != nil {
			m.add(fmt.Errorf("%s: %w", path.Join(t.dir, g.Template), err))
			continue
		}
		out = append(out, File{Name: g.Name + ".yaml", Data: data, Rules: len(g.Rules)})
	}
	perApp, err := t.perAppFile()
	m.add(err)
	return append(out, perApp...), m.err()
}

func (t *Tree) file(g Group) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s from %s and the layers: change those.\n", Header, path.Join(t.dir, g.Template))
	head := b.Len()
	whole := []rules.Group{g.Written()}
	if err := rules.Write(&b, whole); err != nil {
		return nil, err
	}
	if err := reread(b.Bytes()); err != nil || t.Settings.Output.Format != FormatOperator {
		return b.Bytes(), err
	}
	b.Truncate(head)
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`).MatchString(g.Name) {
		return nil, fmt.Errorf("%q cannot name an object: write its file's name in lower case letters, digits, points and -", g.Name)
	}
	o := rules.Object{Name: g.Name, Namespace: t.Settings.Output.Namespace, Labels: t.Settings.Output.Labels}
	if err := rules.WriteObject(&b, o, whole); err != nil {
		return nil, err
	}
	if b.Len() > maxObject {
		return nil, fmt.Errorf("the object has %d bytes, and a cluster takes %d: part the template in two", b.Len(), maxObject)
	}
	return b.Bytes(), nil
}

// reread holds a rule file against Prometheus' own reader.
func reread(data []byte) error {
	_, errs := rulefmt.Parse(data, true, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	return errors.Join(errs...)
}

// Written is the group as it is written: its rules in the same order, with
// comments that say where everything in them comes from.
func (g Group) Written() rules.Group {
	out := rules.Group{Name: g.Name, Interval: duration(g.Interval), PartialResponse: g.PartialResponse}
	if g.QueryOffset != "" {
		d := duration(g.QueryOffset)
		out.QueryOffset = &d
	}
	out.Limit, _ = strconv.Atoi(g.Limit) // "" is 0, and no other text passed the reader
	for _, r := range g.Rules {
		own := rules.Rule{
			Alert: r.Alert, Record: r.Record, Expr: r.Expr, For: duration(r.For), KeepFiringFor: duration(r.KeepFiringFor),
			Labels: r.Labels, Annotations: r.Annotations, Comments: map[string]string{},
		}
		about := []string{"for " + r.whom()}
		for _, o := range r.Origins {
			if name, ok := strings.CutPrefix(o.Field, partParams+"."); ok {
				about = append(about, fmt.Sprintf("%s = %s (%s)", name, oneLine(r.said[o.Field]), o.places()))
			}
			own.Comments[o.Field] = o.places()
		}
		own.Comments[""] = strings.Join(about, "; ")
		out.Rules = append(out.Rules, own)
	}
	return out
}

// duration reads one that was checked before; "" is none.
func duration(text string) time.Duration {
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0
	}
	return time.Duration(d)
}

// whom names the apps of a rule, for a comment.
func (r *Rule) whom() string {
	if !r.PerApp {
		return "all, whatever their app"
	}
	return strings.TrimPrefix(Change{Apps: r.Apps, Unknown: r.Unknown}.whom(), ", ")
}

// places lists where a field comes from, the one of most apps first.
func (o Origin) places() string {
	const named = 3
	var out []string
	for i, s := range o.From {
		if i == named {
			out = append(out, fmt.Sprintf("and %d more: tocsin rules explain tells them", len(o.From)-named))
			break
		}
		at := s.Place()
		if s.Deleted {
			at += " (null)"
		}
		if len(o.From) > 1 {
			at += " (" + plural(s.Apps, "app") + ")"
		}
		out = append(out, at)
	}
	return strings.Join(out, ", ")
}
