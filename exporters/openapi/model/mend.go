package model

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// mend empties the local references of a file that lead to nothing, and returns
// where they stood: large documents have some, and work all the same.
func mend(data []byte) ([]byte, []string, error) {
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, nil, fmt.Errorf("parse: %w", err)
	}
	m := mender{doc: doc, known: map[string]bool{}}
	m.walk(doc, "#")
	if len(m.dangling) == 0 {
		return data, nil, nil
	}
	out, err := json.Marshal(doc)
	return out, m.dangling, err
}

type mender struct {
	doc      any
	known    map[string]bool // whether a reference leads somewhere
	dangling []string
}

func (m *mender) walk(v any, where string) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok && strings.HasPrefix(ref, "#/") && !m.leads(ref) {
			m.dangling = append(m.dangling, where+" → "+ref)
			clear(v)
		}
		for key, each := range v {
			m.walk(each, where+"/"+key)
		}
	case []any:
		for i, each := range v {
			m.walk(each, where+"/"+strconv.Itoa(i))
		}
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
