package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mend writes the references of a file to anchors of its own as pointers, which
// is what the library follows. It empties those that lead to nothing, and returns
// where they stood: large documents have some, and work all the same.
func mend(data []byte) ([]byte, []string, error) {
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, nil, fmt.Errorf("parse: %w", err)
	}
	m := mender{doc: doc, known: map[string]bool{}, anchors: map[string]string{}}
	m.collect(doc, "#")
	m.walk(doc, "#")
	if len(m.dangling) == 0 && !m.rewrote {
		return data, nil, nil
	}
	out, err := json.Marshal(doc)
	return out, m.dangling, err
}

type mender struct {
	doc      any
	known    map[string]bool   // whether a reference leads somewhere
	anchors  map[string]string // name → pointer
	rewrote  bool
	dangling []string
}

// collect finds the anchors. Of a name that is there twice the first in order has it.
func (m *mender) collect(v any, where string) {
	switch v := v.(type) {
	case map[string]any:
		for _, keyword := range []string{"$anchor", "$dynamicAnchor"} {
			if name, ok := v[keyword].(string); ok && m.anchors[name] == "" {
				m.anchors[name] = where
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			m.collect(v[key], where+"/"+escape(key))
		}
	case []any:
		for i, each := range v {
			m.collect(each, where+"/"+strconv.Itoa(i))
		}
	}
}

func (m *mender) walk(v any, where string) {
	switch v := v.(type) {
	case map[string]any:
		m.reference(v, where)
		for key, each := range v {
			m.walk(each, where+"/"+key)
		}
	case []any:
		for i, each := range v {
			m.walk(each, where+"/"+strconv.Itoa(i))
		}
	}
}

func (m *mender) reference(v map[string]any, where string) {
	ref, _ := v["$ref"].(string)
	name, local := strings.CutPrefix(ref, "#")
	switch {
	case !local || name == "":
	case name[0] != '/' && m.anchors[name] != "":
		v["$ref"], m.rewrote = m.anchors[name], true
	case name[0] != '/' || !m.leads(ref):
		m.dangling = append(m.dangling, where+" → "+ref)
		clear(v)
	}
}

func (m *mender) leads(ref string) bool {
	known, ok := m.known[ref]
	if !ok {
		known = m.find(ref)
		m.known[ref] = known
	}
	return known
}

func (m *mender) find(ref string) bool {
	at := m.doc
	for step := range strings.SplitSeq(ref[2:], "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch v := at.(type) {
		case map[string]any:
			next, ok := v[step]
			if !ok {
				return false
			}
			at = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return false
			}
			at = v[i]
		default:
			return false
		}
	}
	return true
}

// nulls writes the constant null as the only value of an enum: the library
// cannot tell it from a constant that is not there.
func nulls(data []byte) ([]byte, error) {
	if !regexp.MustCompile(`"const"\s*:\s*null`).Match(data) {
		return data, nil
	}
	var doc any
	numbers := json.NewDecoder(bytes.NewReader(data))
	numbers.UseNumber()
	if err := numbers.Decode(&doc); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	constants(doc)
	return json.Marshal(doc)
}

// constants goes through schemas, not through what is data in them.
func constants(v any) {
	switch v := v.(type) {
	case map[string]any:
		if constant, ok := v["const"]; ok && constant == nil {
			delete(v, "const")
			v["enum"] = []any{nil}
		}
		for key, each := range v {
			if !slices.Contains([]string{"example", "examples", "default", "enum", "const"}, key) {
				constants(each)
			}
		}
	case []any:
		for _, each := range v {
			constants(each)
		}
	}
}
