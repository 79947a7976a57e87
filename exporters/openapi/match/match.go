// Package match finds the operation of an OpenAPI document that a request is
// for: a trie of path segments, compiled once, searched without an allocation.
package match

import (
	"net/url"
	"strings"
)

// Reason says what came of a search. Its words are label values.
type Reason uint8

// What can come of a search.
const (
	Found    Reason = iota // an operation was found
	NoPath                 // no template is that path
	NoMethod               // a template is that path, and has no such method
	Options                // the same for OPTIONS: mostly a browser's preflight
)

// String is the word for a label.
func (r Reason) String() string {
	switch r {
	case NoPath:
		return "path"
	case NoMethod:
		return "method"
	case Options:
		return "options"
	default:
		return "found"
	}
}

// Route is one way to an operation.
type Route struct {
	Method    string // upper case
	Path      string // a template with the base path in front: /v1/pets/{id}.json
	Rest      string // the parameter that may hold slashes, if it is the last segment
	Operation int    // what Find returns: its place in the model
}

// Conflict is a route that can never be found, since an earlier one has the
// same method and a template that differs in the names of parameters at most.
type Conflict struct{ Kept, Lost Route }

// Table is a compiled set of routes. It does not change and is safe for
// concurrent use. Its size depends on the routes alone, never on requests.
type Table struct {
	root   *node
	strict bool
}

// New compiles routes. With strict, /pets and /pets/ are different paths; else
// the one stands in for the other where that is not declared.
func New(routes []Route, strict bool) (*Table, []Conflict) {
	t := &Table{root: &node{}, strict: strict}
	var conflicts []Conflict
	first := map[*node]map[string]Route{}
	for _, r := range routes {
		end := t.root
		path := strings.TrimPrefix(r.Path, "/")
		for more := true; more; {
			var segment string
			segment, path, more = strings.Cut(path, "/")
			end = end.child(segment, !more && r.Rest != "" && segment == "{"+r.Rest+"}")
		}
		if first[end] == nil {
			first[end] = map[string]Route{}
		}
		if kept, taken := first[end][r.Method]; taken {
			if kept.Operation != r.Operation {
				conflicts = append(conflicts, Conflict{Kept: kept, Lost: r})
			}
			continue
		}
		first[end][r.Method] = r
		end.serve(r.Method, r.Operation)
	}
	t.root.finish()
	return t, conflicts
}

// Find searches the path as it stands in a request line, escaped and without
// a query. The number is Route.Operation, -1 where none was found. HEAD is
// answered by GET where HEAD is not declared.
func (t *Table) Find(method, path string) (int, Reason) {
	return t.find(method, path, true)
}

// FindURL is Find for a parsed URL, whose host is not looked at.
func (t *Table) FindURL(method string, u *url.URL) (int, Reason) {
	if u.RawPath != "" {
		return t.find(method, u.RawPath, true)
	}
	// Path is what the default escaping of RawPath would have been, decoded
	return t.find(method, u.Path, false)
}

func (t *Table) find(method, path string, escaped bool) (int, Reason) {
	if path == "" || path[0] != '/' {
		return -1, NoPath
	}
	s := search{method: slot(method), name: method, escaped: escaped}
	if op := s.walk(t.root, path[1:]); op >= 0 {
		return op, Found
	}
	if !t.strict && path != "/" {
		if op := s.other(t.root, path[1:]); op >= 0 {
			return op, Found
		}
	}
	switch {
	case !s.path:
		return -1, NoPath
	case method == "OPTIONS":
		return -1, Options
	default:
		return -1, NoMethod
	}
}

// search is one Find under way.
type search struct {
	method  int    // slot of the method
	name    string // the method itself, for those without a slot
	escaped bool
	path    bool // some template was the path
	slash   bool // one more, empty, segment follows the path
}

// other searches the path with its trailing slash added or taken away.
func (s *search) other(root *node, path string) int {
	if trimmed, had := strings.CutSuffix(path, "/"); had {
		return s.walk(root, trimmed)
	}
	s.slash = true
	return s.walk(root, path)
}

// walk goes on from n with the first segment of path.
func (s *search) walk(n *node, path string) int {
	segment, rest, more := strings.Cut(path, "/")
	if s.escaped && strings.IndexByte(segment, '%') >= 0 {
		return s.decoded(n, segment, rest, more)
	}
	return s.plain(n, segment, rest, more)
}

// plain tries what is most literal first and comes back where that has led to
// no operation. Every node is visited once at most.
func (s *search) plain(n *node, segment, rest string, more bool) int {
	if next := n.literal(segment); next != nil {
		if op := s.step(next, rest, more); op >= 0 {
			return op
		}
	}
	if segment == "" {
		return -1 // a parameter is not empty
	}
	for i := range n.mixed {
		if m := &n.mixed[i]; m.match(segment) {
			if op := s.step(m.next, rest, more); op >= 0 {
				return op
			}
		}
	}
	return s.parameter(n, rest, more)
}

// decoded is plain for an escaped segment, decoded on the stack.
func (s *search) decoded(n *node, segment, rest string, more bool) int {
	var space [128]byte
	text, ok := unescape(space[:0], segment)
	if !ok {
		return s.plain(n, segment, rest, more)
	}
	if next := n.literalBytes(text); next != nil {
		if op := s.step(next, rest, more); op >= 0 {
			return op
		}
	}
	for i := range n.mixed {
		if m := &n.mixed[i]; m.matchBytes(text) {
			if op := s.step(m.next, rest, more); op >= 0 {
				return op
			}
		}
	}
	return s.parameter(n, rest, more)
}

// parameter tries what takes any segment.
func (s *search) parameter(n *node, rest string, more bool) int {
	if n.parameter != nil {
		if op := s.step(n.parameter, rest, more); op >= 0 {
			return op
		}
	}
	if n.rest != nil {
		return s.end(n.rest)
	}
	return -1
}

func (s *search) step(n *node, rest string, more bool) int {
	switch {
	case more:
		return s.walk(n, rest)
	case s.slash:
		if n = n.literal(""); n == nil {
			return -1
		}
	}
	return s.end(n)
}

func (s *search) end(n *node) int {
	if !n.ends {
		return -1
	}
	s.path = true
	if s.method < 0 {
		if op, ok := n.others[s.name]; ok {
			return op
		}
		return -1
	}
	return int(n.methods[s.method]) - 1
}

// unescape appends the decoded segment to an array on the stack. A segment that
// is longer than that, or badly escaped, is no literal of a document.
func unescape(to []byte, segment string) ([]byte, bool) {
	for i := 0; i < len(segment); i++ {
		if len(to) == cap(to) {
			return nil, false
		}
		c := segment[i]
		if c == '%' {
			if i+2 >= len(segment) {
				return nil, false
			}
			high, low := unhex(segment[i+1]), unhex(segment[i+2])
			if high > 15 || low > 15 {
				return nil, false
			}
			c, i = high<<4|low, i+2
		}
		to = append(to, c)
	}
	return to, true
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
