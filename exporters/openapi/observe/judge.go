package observe

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// Finding is what a check found. What names places of the document and never a
// value of the exchange.
type Finding struct {
	Check  string
	Broken bool
	What   string
}

// Judge checks an answer by what its operation declares. A body of no bytes is
// not judged, nor is one that is no JSON by its headers.
func Judge(op *model.Operation, status int, h http.Header, body []byte) []Finding {
	declared := op.Responses[op.Declared(status)]
	all := []Finding{{statusCode, declared == nil, "status " + strconv.Itoa(status)}}
	if declared == nil {
		return all
	}
	if media := h.Get("Content-Type"); media != "" && len(declared.Content) > 0 {
		_, ok := declared.Content.Lookup(media)
		all = append(all, Finding{contentType, !ok, "a content type that is not declared"})
	}
	if len(body) > 0 && op.Method != http.MethodHead && judged(declared.Content, h) {
		if f, ok := judgeBody(responseSchema, declared.Content, h, body); ok {
			all = append(all, f)
		}
	}
	return all
}

// judgeBody reports false where the body would take too much to judge.
func judgeBody(check string, content model.Content, h http.Header, body []byte) (Finding, bool) {
	schema, _ := content.Lookup(h.Get("Content-Type"))
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return Finding{check, true, "no JSON"}, true
	}
	switch err := schema.Check(value); {
	case errors.Is(err, model.ErrTooMuch):
		return Finding{}, false
	case err != nil:
		return Finding{check, true, err.Error()}, true
	default:
		return Finding{Check: check}, true
	}
}

// Answer is a whole JSON body that was sampled.
type Answer struct {
	Operation *model.Operation
	Status    int
	Body      []byte
	Part      bool // the request chose it: by its path or query
}

// Reader takes the answers of operations that it wants.
type Reader interface {
	Wants(operation string) bool
	Read(answer Answer)
}

// ReadBy gives what is sampled to a reader too, beside the requests. It is called
// before the first request.
func (o *Observer) ReadBy(r Reader) { o.checker.reader = r }

// isJSON says whether a body under these headers can be read as JSON.
func isJSON(h http.Header) bool {
	encoding := h.Get("Content-Encoding")
	return (encoding == "" || encoding == "identity") && model.JSON(h.Get("Content-Type"))
}

// judged says whether there is a schema for the body under these headers.
func judged(content model.Content, h http.Header) bool {
	schema, _ := content.Lookup(h.Get("Content-Type"))
	return schema != nil && isJSON(h)
}

// read gives an answer to who reads values.
func (k *checker) read(x *exchange) {
	if op := x.cell.op; k.reader != nil && k.reader.Wants(op.ID) && isJSON(x.answer) {
		k.reader.Read(Answer{Operation: op, Status: x.status, Body: x.response.bytes, Part: len(x.query) > 0 || strings.Contains(op.Path, "{")})
	}
}
