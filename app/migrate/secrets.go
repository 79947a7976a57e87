package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
	"go.yaml.in/yaml/v3"
)

// part is a part of an alertmanager.yml on its way into a target: what
// Alertmanager treats as a secret becomes a file.
type part struct {
	m      *migration
	name   string // what files of its secrets are named after; "" in the global block
	places []func()
	errs   []error
}

// settle gives files and secrets their places, once it is sure that the part
// is taken over.
func (p *part) settle() {
	for _, place := range p.places {
		place()
	}
}

func (p *part) refuse(path, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s: %s", strings.TrimPrefix(path, "."), fmt.Sprintf(format, args...)))
}

// visit walks a node beside the type that Alertmanager reads it into.
func (p *part) visit(n *yaml.Node, t reflect.Type, path string) {
	if secret(t) && (n.Value != "" || len(n.Content) > 0) {
		p.refuse(path, "it is a secret, and Alertmanager knows no file for it; write the target by hand (docs/targets.md)")
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		p.fields(n, t, path)
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 0; i+1 < len(n.Content); i += 2 {
			p.visit(n.Content[i+1], t.Elem(), path+"."+n.Content[i].Value)
		}
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			p.visit(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	case n.Kind == yaml.ScalarNode && password(n.Value):
		p.refuse(path, "a password stands in its address; write the target by hand (docs/targets.md)")
	}
}

func (p *part) fields(n *yaml.Node, t reflect.Type, path string) {
	types, rest := fieldsOf(t)
	content := n.Content
	n.Content = nil
	for i := 0; i+1 < len(content); i += 2 {
		key, val := content[i], content[i+1]
		t, ok := types[key.Value]
		if !ok {
			t = rest
		}
		at := path + "." + key.Value
		switch {
		case t == nil: // Alertmanager would have refused it
		case strings.HasSuffix(key.Value, "_file") && val.Kind == yaml.ScalarNode:
			p.file(val)
		case key.Value == "files" && val.Kind == yaml.SequenceNode: // of http_headers
			for _, item := range val.Content {
				p.file(item)
			}
		case secret(t) && val.ShortTag() == "!!null": // as if it were not written
			continue
		case secret(t) && (val.Value != "" || len(val.Content) > 0):
			p.secret(key, val, types, at)
		default:
			p.visit(val, t, at)
		}
		n.Content = append(n.Content, key, val)
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		if key := n.Content[i].Value; seen[key] {
			p.refuse(path+"."+key, "it stands there inline too; keep one of them")
		} else {
			seen[key] = true
		}
	}
}

// file is a file that Alertmanager reads already.
func (p *part) file(n *yaml.Node) {
	if n.Value != "" && n.ShortTag() != "!!null" {
		p.places = append(p.places, func() { *n = *scalar(p.m.referenced(n.Value)) })
	}
}

// secret puts an inline secret into a file, and the key that reads files in the
// place of its own.
func (p *part) secret(key, val *yaml.Node, beside map[string]reflect.Type, path string) {
	name := key.Value
	for _, other := range []string{name + "_file", strings.TrimSuffix(name, "secrets") + "files"} {
		if beside[other] == nil {
			continue
		}
		key.Value = other
		if val.Kind == yaml.SequenceNode {
			for _, item := range val.Content {
				p.shut(item, name)
			}
			return
		}
		p.shut(val, name)
		return
	}
	p.visit(val, beside[name], path)
}

// shut lets a file stand for a value, byte for byte: not every notifier trims
// what it reads.
func (p *part) shut(n *yaml.Node, key string) {
	text, name := n.Value, strings.TrimPrefix(p.name+"-"+key+".secret", "-")
	*n = *scalar(secretsDir + "/" + name)
	p.places = append(p.places, func() { *n = *scalar(p.m.hidden(p.m.values, name, key+"\x00"+text, text)) })
}

// secret reports whether Alertmanager hides values of the type: Secret,
// SecretURL, SecretTemplateURL of several packages, and lists of them.
func secret(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return strings.HasPrefix(t.Name(), "Secret")
}

// fieldsOf returns the types of a struct's keys, and that of further keys if it
// takes any.
func fieldsOf(t reflect.Type) (types map[string]reflect.Type, rest reflect.Type) {
	types = map[string]reflect.Type{}
	for f := range t.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case strings.Contains(opts, "inline") && f.Type.Kind() == reflect.Map:
			rest = f.Type.Elem()
		case strings.Contains(opts, "inline"):
			inner, _ := fieldsOf(f.Type)
			maps.Copy(types, inner)
		default:
			types[cmp.Or(name, strings.ToLower(f.Name))] = f.Type
		}
	}
	return types, rest
}

// itemType is what an item of a list of a receiver is read into.
func itemType(list string) reflect.Type {
	types, _ := fieldsOf(reflect.TypeFor[amconfig.Receiver]())
	return types[list].Elem()
}
