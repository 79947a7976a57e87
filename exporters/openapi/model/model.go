// Package model is what the exporter knows of a web API: the operations of an
// OpenAPI 2.0, 3.0 or 3.1 document, compiled once into a form that does not
// change. Documents are hostile: what is read, where from, and what becomes of
// it is bounded before a library looks at it.
package model

import (
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/exporters/openapi/match"
)

// API is one compiled document. It does not change and is safe for concurrent
// use.
type API struct {
	Title      string
	Version    string       // info.version; of several documents the different ones, as of Title and OpenAPI
	OpenAPI    string       // the version of the specification: 2.0, 3.0.3, 3.1.0
	Hash       string       // hex SHA-256 over every file that was read, shortened to 16 characters
	Operations []*Operation // in order of ID; Operation.Index is the place
	Documents  []Document   // in order; more than one of a folder
	Problems   []Problem    // what is wrong in a document that works all the same
	Table      *match.Table // finds the place of an operation

	parts []*compiled // its documents
}

// Problem is something wrong in a document, and where.
type Problem struct {
	Kind  string // one of ProblemKinds
	Where string // a JSON pointer or a route
	Text  string
}

// String is the problem in a line.
func (p Problem) String() string {
	if p.Where == "" {
		return p.Kind + ": " + p.Text
	}
	return p.Kind + " " + p.Where + ": " + p.Text
}

// ProblemKinds are all kinds of Problem, for labels.
func ProblemKinds() []string {
	return []string{"conflict", "identifier", "invalid", "metric", "reference", "schema", "server"}
}

// Operation is one method of one path.
type Operation struct {
	Index      int
	ID         string // operationId, or METHOD /template where that is missing or taken
	Method     string
	Path       string // the template as in the document
	Routes     []string
	Tag        string // the first one
	Deprecated bool
	Parameters []Parameter
	Request    *Body
	Responses  map[string]*Response // by code as declared: 200, 4XX, default
	Objective  Objective

	rest string // the parameter that may hold slashes
}

// Objective is what x-slo promises of an operation; 0 is nothing.
type Objective struct {
	ErrorShare float64       // of requests, at most
	Latency    time.Duration // of 99 % of requests, at most
}

// Parameter is something a request carries beside its body.
type Parameter struct {
	Name     string
	In       string // query, header, path or cookie
	Required bool
	Style    string // how it is written: simple, form, label …; content: as JSON
	Explode  bool
	Example  any // a value that the document gives; nil: none
}

// Body is what a request may carry.
type Body struct {
	Required bool
	Content  Content
	Media    string // the JSON one that Example is of
	Example  any    // nil: none
}

// Response is what may be answered. No Content means that nothing is promised.
type Response struct {
	Content     Content
	Annotations []Annotation // of its JSON, in the order of their places
}

// Content is a schema by media range: application/json, text/*. A schema may be
// nil.
type Content map[string]Schema

// Schema judges a decoded JSON value (json.Unmarshal into any).
type Schema interface {
	// Check returns what is wrong, nil if nothing. It is safe for concurrent use.
	Check(value any) error
}

// Declared is the declared code that covers a status: itself, its range (4XX),
// default, or nothing.
func (o *Operation) Declared(status int) string {
	code := strconv.Itoa(status)
	if o.Responses[code] != nil {
		return code
	}
	if class := code[:1] + "XX"; o.Responses[class] != nil {
		return class
	}
	if o.Responses["default"] != nil {
		return "default"
	}
	return ""
}

// Lookup finds the schema for a media type, parameters (; charset=…) aside: the
// exact one, one of its range, one for the suffix's type, */*. It reports whether
// the media type is declared.
func (c Content) Lookup(contentType string) (Schema, bool) {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	kind, _, _ := strings.Cut(media, "/")
	for _, key := range []string{media, kind + "/*", "*/*"} {
		if s, ok := c[key]; ok {
			return s, true
		}
	}
	return nil, false
}

// JSON says whether a media type's body is JSON.
func JSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "application/json" || strings.HasSuffix(media, "+json") || media == "text/json"
}
