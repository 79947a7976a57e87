package match

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// few literals are compared one by one; a map is faster from here on.
const few = 6

// node is a place in the trie: what may follow a path that led here.
type node struct {
	literals  map[string]*node // while the table is built, and where there are many
	short     []edge           // where there are few
	mixed     []mixed          // {id}.json, {a}-{b}, {name}:cancel: most literal first
	parameter *node            // {id}
	rest      *node            // {path}, which may hold slashes

	ends    bool           // a template ends here
	methods [8]int32       // operation + 1 by slot, so that 0 is none
	others  map[string]int // methods without a slot
}

type edge struct {
	segment string
	next    *node
}

// slot is the place of a common method, -1 for any other.
func slot(method string) int {
	switch method {
	case "GET":
		return 0
	case "POST":
		return 1
	case "PUT":
		return 2
	case "DELETE":
		return 3
	case "PATCH":
		return 4
	case "HEAD":
		return 5
	case "OPTIONS":
		return 6
	case "TRACE":
		return 7
	}
	return -1
}

func (n *node) serve(method string, operation int) {
	n.ends = true
	if i := slot(method); i >= 0 {
		n.methods[i] = int32(operation) + 1
		return
	}
	if n.others == nil {
		n.others = map[string]int{}
	}
	n.others[method] = operation
}

// child is the node after a segment of a template, made where there is none.
func (n *node) child(segment string, rest bool) *node {
	if rest {
		if n.rest == nil {
			n.rest = &node{}
		}
		return n.rest
	}
	parts := split(segment)
	for i, p := range parts {
		if literal, err := url.PathUnescape(p); err == nil {
			parts[i] = literal // a search compares what is decoded
		}
	}
	if len(parts) == 1 {
		if n.literals == nil {
			n.literals = map[string]*node{}
		}
		if n.literals[parts[0]] == nil {
			n.literals[parts[0]] = &node{}
		}
		return n.literals[parts[0]]
	}
	if len(parts) == 2 && parts[0] == "" && parts[1] == "" {
		if n.parameter == nil {
			n.parameter = &node{}
		}
		return n.parameter
	}
	for _, m := range n.mixed {
		if slices.Equal(m.parts, parts) {
			return m.next
		}
	}
	n.mixed = append(n.mixed, mixed{parts: parts, next: &node{}})
	return n.mixed[len(n.mixed)-1].next
}

// finish orders what was added.
func (n *node) finish() {
	slices.SortStableFunc(n.mixed, func(a, b mixed) int { return cmp.Compare(b.weight(), a.weight()) })
	if head := slot("HEAD"); n.methods[head] == 0 {
		n.methods[head] = n.methods[slot("GET")]
	}
	for segment, next := range n.literals {
		n.short = append(n.short, edge{segment, next})
	}
	if len(n.short) <= few {
		slices.SortFunc(n.short, func(a, b edge) int { return cmp.Compare(a.segment, b.segment) })
		n.literals = nil
	} else {
		n.short = nil
	}
	for _, e := range n.short {
		e.next.finish()
	}
	for _, next := range n.literals {
		next.finish()
	}
	for _, m := range n.mixed {
		m.next.finish()
	}
	for _, next := range []*node{n.parameter, n.rest} {
		if next != nil {
			next.finish()
		}
	}
}

func (n *node) literal(segment string) *node {
	if n.literals != nil {
		return n.literals[segment]
	}
	for i := range n.short {
		if n.short[i].segment == segment {
			return n.short[i].next
		}
	}
	return nil
}

// literalBytes is literal for a segment on the stack: the conversions do not
// allocate.
func (n *node) literalBytes(segment []byte) *node {
	if n.literals != nil {
		return n.literals[string(segment)]
	}
	for i := range n.short {
		if n.short[i].segment == string(segment) {
			return n.short[i].next
		}
	}
	return nil
}

// mixed is a segment of literals with a parameter between any two of them:
// {id}.json is "", ".json".
type mixed struct {
	parts []string
	next  *node
}

// split takes a segment of a template apart at its parameters. A brace that
// opens nothing is literal; {a}{b} cannot be told from one parameter.
func split(segment string) []string {
	parts := []string{""}
	for segment != "" {
		open := strings.IndexByte(segment, '{')
		length := -1
		if open >= 0 {
			length = strings.IndexByte(segment[open:], '}')
		}
		if length < 0 {
			parts[len(parts)-1] += segment
			break
		}
		parts[len(parts)-1] += segment[:open]
		if len(parts) == 1 || parts[len(parts)-1] != "" {
			parts = append(parts, "")
		}
		segment = segment[open+length+1:]
	}
	return parts
}

func (m mixed) weight() int {
	n := 0
	for _, p := range m.parts {
		n += len(p)
	}
	return n
}

// match says whether every literal stands in its place with something between
// any two. The leftmost place of each is as good as any other.
func (m *mixed) match(s string) bool {
	first, last := m.parts[0], m.parts[len(m.parts)-1]
	if len(s) < len(first)+len(last)+1 || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range m.parts[1 : len(m.parts)-1] {
		i := strings.Index(s[min(1, len(s)):], p)
		if i < 0 {
			return false
		}
		s = s[1+i+len(p):]
	}
	return s != ""
}

func (m *mixed) matchBytes(b []byte) bool {
	first, last := m.parts[0], m.parts[len(m.parts)-1]
	if len(b) < len(first)+len(last)+1 || string(b[:len(first)]) != first || string(b[len(b)-len(last):]) != last {
		return false
	}
	b = b[len(first) : len(b)-len(last)]
	for _, p := range m.parts[1 : len(m.parts)-1] {
		i := index(b, p)
		if i < 0 {
			return false
		}
		b = b[i+len(p):]
	}
	return len(b) > 0
}

// index is where p stands in b, after its first byte, without an allocation.
func index(b []byte, p string) int {
	for i := 1; i+len(p) <= len(b); i++ {
		if string(b[i:i+len(p)]) == p {
			return i
		}
	}
	return -1
}
