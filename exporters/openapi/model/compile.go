package model

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
)

const (
	maxID    = 200 // bytes of an operation's ID: it is a label
	maxBases = 32
)

// compiler makes our model of one resolved document.
type compiler struct {
	operations []*Operation // their IDs may be those of other documents too
	problems   []Problem
	schemas    map[*openapi3.Schema]*schema
	place      []string // of what is being compiled: a JSON pointer, then steps from there
	places     *places  // of annotations; nil: nothing is annotated
}

func newCompiler() *compiler { return &compiler{schemas: map[*openapi3.Schema]*schema{}} }

func (c *compiler) problem(kind, where, format string, args ...any) {
	c.problems = append(c.problems, Problem{Kind: kind, Where: where, Text: fmt.Sprintf(format, args...)})
}

// compile makes the operations of the document, in order of path and method.
func (c *compiler) compile(doc *openapi3.T, o Options) {
	if !c.knows(doc.JSONSchemaDialect) {
		c.problem("schema", "#/jsonSchemaDialect", "not judged: the keywords of schemas are taken for those of 2020-12")
	}
	bases := o.Bases
	if len(bases) == 0 {
		bases = c.bases("/servers", doc.Servers)
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		item := doc.Paths.Value(path)
		if item == nil {
			continue
		}
		if !strings.HasPrefix(path, "/") {
			c.problem("invalid", path, "a path begins with a slash")
			continue
		}
		pathBases := bases
		if len(o.Bases) == 0 && len(item.Servers) > 0 {
			pathBases = c.bases(path, item.Servers)
		}
		methods := item.Operations()
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			var op *Operation
			c.at("#/paths", nil, func() {
				c.at("", []string{path, strings.ToLower(method)}, func() { op = c.operation(method, path, item, methods[method]) })
			})
			opBases := pathBases
			if servers := methods[method].Servers; len(o.Bases) == 0 && servers != nil && len(*servers) > 0 {
				opBases = c.bases(op.ID, *servers)
			}
			for _, base := range opBases {
				op.Routes = append(op.Routes, strings.TrimRight(base, "/")+clean(path))
			}
			op.rest = tail(path, item.Parameters, methods[method].Parameters)
			c.operations = append(c.operations, op)
		}
	}
	slices.SortFunc(c.problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Where, b.Where), cmp.Compare(a.Text, b.Text)) })
}

// clean is the part of a template that a path can have.
func clean(path string) string {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return path[:i]
	}
	return path
}

// tail is the parameter in the last segment that says of itself that it may hold
// slashes (x-multi-segment, as GitHub's document has it).
func tail(path string, lists ...openapi3.Parameters) string {
	last := path[strings.LastIndexByte(path, '/')+1:]
	for _, list := range lists {
		for _, p := range list {
			if p.Value == nil || last != "{"+p.Value.Name+"}" {
				continue
			}
			if many, _ := p.Value.Extensions["x-multi-segment"].(bool); many {
				return p.Value.Name
			}
		}
	}
	return ""
}

// bases are the paths of servers, whose variables are all their values or the
// default. The host is not looked at: behind a proxy it is another.
func (c *compiler) bases(where string, servers openapi3.Servers) []string {
	var bases []string
	for _, server := range servers {
		for _, text := range expand(server) {
			u, err := url.Parse(text)
			if err != nil {
				c.problem("server", where, "%q is no URL", server.URL)
				continue
			}
			if base := strings.TrimRight(u.Path, "/"); !slices.Contains(bases, base) {
				bases = append(bases, base)
			}
		}
	}
	if len(bases) == 0 {
		return []string{""}
	}
	if len(bases) > maxBases {
		c.problem("server", where, "%d base paths: the first %d are used", len(bases), maxBases)
		bases = bases[:maxBases]
	}
	return bases
}

// expand is a server's URL from where its path begins, with every value of every
// variable.
func expand(server *openapi3.Server) []string {
	text := server.URL
	if _, after, ok := strings.Cut(text, "://"); ok {
		text = ""
		if i := strings.IndexByte(after, '/'); i >= 0 {
			text = after[i:]
		}
	}
	urls := []string{text}
	for _, name := range slices.Sorted(maps.Keys(server.Variables)) {
		variable := server.Variables[name]
		if variable == nil || !strings.Contains(text, "{"+name+"}") {
			continue
		}
		values := variable.Enum
		if len(values) == 0 {
			values = []string{variable.Default}
		}
		var next []string
		for _, u := range urls {
			for _, v := range values[:min(len(values), maxBases)] {
				next = append(next, strings.ReplaceAll(u, "{"+name+"}", strings.TrimPrefix(v, "/")))
			}
		}
		urls = next[:min(len(next), maxBases)]
	}
	for i, u := range urls {
		if u != "" && !strings.HasPrefix(u, "/") {
			urls[i] = "/" + u
		}
	}
	return urls
}

func (c *compiler) operation(method, path string, item *openapi3.PathItem, o *openapi3.Operation) *Operation {
	op := &Operation{Method: method, Path: path, Deprecated: o.Deprecated, Responses: map[string]*Response{}}
	op.ID = c.identify(method, path, o.OperationID)
	op.Objective = c.objective(op.ID, o.Extensions["x-slo"])
	if len(o.Tags) > 0 {
		op.Tag = Label(o.Tags[0])
	}
	op.Parameters = parameters(item.Parameters, o.Parameters)
	if o.RequestBody != nil && o.RequestBody.Value != nil {
		b := o.RequestBody.Value
		op.Request = &Body{Required: b.Required}
		c.at(o.RequestBody.Ref, []string{"requestBody"}, func() { op.Request.Content = c.content(b.Content, true) })
		op.Request.Media, op.Request.Example = bodyExample(b.Content)
	}
	if o.Responses == nil {
		return op
	}
	for code, ref := range o.Responses.Map() {
		code = strings.ToUpper(code)
		if code == "DEFAULT" {
			code = "default"
		}
		if !isCode(code) {
			c.problem("invalid", op.ID, "%q is no status code", code)
			continue
		}
		op.Responses[code] = &Response{}
		if ref != nil && ref.Value != nil {
			c.at(ref.Ref, []string{"responses", code}, func() { op.Responses[code].Content = c.content(ref.Value.Content, false) })
			op.Responses[code].Annotations = c.annotations(op.ID+" "+code, ref.Value.Content)
		}
	}
	return op
}

// objective reads x-slo: {error_share: 0.01, latency: 250ms}.
func (c *compiler) objective(where string, extension any) (o Objective) {
	if extension == nil {
		return o
	}
	fields, ok := extension.(map[string]any)
	if share, has := fields["error_share"]; has {
		f, number := share.(float64)
		ok = ok && number && f > 0 && f < 1
		o.ErrorShare = f
	}
	if latency, has := fields["latency"]; has {
		text, _ := latency.(string)
		d, err := time.ParseDuration(text)
		ok = ok && err == nil && d > 0
		o.Latency = d
	}
	if !ok {
		c.problem("invalid", where, "x-slo has error_share between 0 and 1, and latency as 250ms")
		return Objective{}
	}
	return o
}

// isCode says whether a declared code is a status, a range or default.
func isCode(code string) bool {
	if code == "default" {
		return true
	}
	if len(code) != 3 || code[0] < '1' || code[0] > '5' {
		return false
	}
	digits := func(s string) bool { return s[0] >= '0' && s[0] <= '9' && s[1] >= '0' && s[1] <= '9' }
	return code[1:] == "XX" || digits(code[1:])
}

// identify is the one name of an operation, in metrics, logs and alerts, unless
// another one has it.
func (c *compiler) identify(method, path, id string) string {
	route := method + " " + path
	switch {
	case id == "":
		return route
	case id != Label(id):
		c.problem("identifier", route, "operationId has %d bytes, or some that do not print: it is shortened", len(id))
	}
	return Label(id)
}

// Label makes a label value of words that are somebody else's: printable, and
// of 200 bytes at most.
func Label(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '_'
	}, s)
	if len(s) > maxID {
		s = strings.ToValidUTF8(s[:maxID], "")
	}
	return s
}

// parameters are those of the path with those of the operation over them.
func parameters(lists ...openapi3.Parameters) []Parameter {
	var all []Parameter
	for _, list := range lists {
		for _, ref := range list {
			if ref == nil || ref.Value == nil {
				continue
			}
			p := Parameter{Name: ref.Value.Name, In: ref.Value.In, Required: ref.Value.Required, Example: example(ref.Value)}
			p.Style, p.Explode = style(ref.Value)
			same := func(q Parameter) bool { return q.Name == p.Name && q.In == p.In }
			if i := slices.IndexFunc(all, same); i >= 0 {
				all[i] = p
				continue
			}
			all = append(all, p)
		}
	}
	return all
}
