package config

import (
	"errors"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// invalid places validation errors at their lines. One about a part of the file
// in which there is another mistake may be its consequence: it waits until
// that is mended.
func (c *checker) invalid(n *yaml.Node, err error) {
	found := unjoin(err)
	for _, e := range found {
		if m, ok := errors.AsType[*Mistake](e); ok {
			c.mistakes = append(c.mistakes, m)
		}
	}
	known := slices.Clone(c.mistakes)
	for _, e := range found {
		if _, ok := errors.AsType[*Mistake](e); ok {
			continue
		}
		at := place{value: n}
		if n != nil {
			at.line = n.Line
		}
		if i, ok := errors.AsType[*Invalid](e); ok && n != nil {
			at = find(n, i.Field)
		}
		if !at.holds(known) {
			c.add(at.line, "%s", e.Error())
		}
	}
}

// find returns the place of a path such as receivers[0].notify[1].with.channel,
// or of the nearest part of it that is there.
func find(n *yaml.Node, path string) place {
	at := place{n, n.Line}
	for _, step := range regexp.MustCompile(`[^.\[\]]+`).FindAllString(path, -1) {
		next := child(at.value, step)
		if next == nil {
			break
		}
		at = *next
	}
	return at
}

// holds reports whether one of the mistakes stands in p.
func (p place) holds(mistakes []error) bool {
	last := max(p.line, lastLine(p.value))
	return slices.ContainsFunc(mistakes, func(err error) bool {
		m, ok := errors.AsType[*Mistake](err)
		return ok && m.Line >= p.line && m.Line <= last
	})
}

// lastLine is where the last node under n begins.
func lastLine(n *yaml.Node) int {
	if n == nil {
		return 0
	}
	last := n.Line
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

type place struct {
	value *yaml.Node
	line  int
}

func child(n *yaml.Node, step string) *place {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return &place{n.Content[i], n.Content[i].Line}
		}
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == step {
			return &place{n.Content[i+1], n.Content[i].Line}
		}
	}
	return nil
}
