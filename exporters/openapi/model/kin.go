package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
)

// Options say where a document is and how its paths are read.
type Options struct {
	Location string   // a file, a folder whose documents together are the API, or an http or https URL
	Root     string   // of a file: what it refers to stays below; "" is its folder
	Strict   bool     // a trailing slash makes another path
	Bases    []string // base paths instead of those of the document's servers
}

// Limits of strict validation, whose time grows with their square.
const (
	maxValidated = 50_000 // schemas
	maxProblems  = 100
)

// Validate is strict validation: what of the document is not as its
// specification says. It may take many times as long as Load, so that it is done
// beside. Examples and defaults are not judged.
func Validate(ctx context.Context, o Options) ([]Problem, error) {
	locations, folder, err := o.documents()
	if err != nil {
		return nil, err
	}
	var all []Problem
	for _, location := range locations {
		problems, err := validate(ctx, o.at(location))
		if folder && ctx.Err() == nil && err != nil { // Load has told, unless it is no document
			continue
		}
		if err != nil {
			return nil, err
		}
		if folder {
			name(problems, location)
		}
		all = append(all, problems...)
	}
	return all[:min(len(all), maxProblems)], nil
}

func validate(ctx context.Context, o Options) (problems []Problem, err error) {
	doc, _, err := resolve(ctx, o)
	if err != nil {
		return nil, err
	}
	defer recovered(&err)
	c := newCompiler()
	c.compile(doc, o)
	if n := len(c.schemas); n > maxValidated {
		return []Problem{{Kind: "invalid", Text: fmt.Sprintf("not validated: it has %d schemas, more than %d", n, maxValidated)}}, nil
	}
	err = doc.Validate(ctx, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation(),
		openapi3.AllowExtensionsWithRef(), openapi3.DisableSchemaPatternValidation(), openapi3.EnableMultiError())
	var all openapi3.MultiError
	if err != nil && !errors.As(err, &all) {
		all = openapi3.MultiError{err}
	}
	for _, e := range all[:min(len(all), maxProblems)] {
		text, _, _ := strings.Cut(e.Error(), "\n")
		problems = append(problems, Problem{Kind: "invalid", Text: text[:min(len(text), 300)]})
	}
	return problems, nil
}

// recovered makes an error of a panic: documents are hostile, and the library
// has not seen all there are.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: the library panicked: %v", ErrRefused, r)
	}
}

// files are the bytes of a document on their way to the library.
type files struct {
	*source
	location *url.URL
	mend     bool
	version  string
	hash     hash.Hash
	dangling []string

	references int
	annotated  bool // somewhere
	read       []*url.URL
}

func (f *files) sum() string { return hex.EncodeToString(f.hash.Sum(nil))[:16] }

// resolve is a document as the library sees it, of version 3 and with its
// references resolved. One that has references to nothing is read once more
// without them.
func resolve(ctx context.Context, o Options) (doc *openapi3.T, f *files, err error) {
	defer recovered(&err)
	for _, mended := range []bool{false, true} {
		var src *source
		var location *url.URL
		if src, location, err = open(ctx, o.Location, o.Root); err != nil {
			return nil, nil, err
		}
		f = &files{source: src, location: location, mend: mended, hash: sha256.New()}
		doc, err = f.parse(ctx)
		src.close()
		if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, errNoDocument) {
			break
		}
	}
	return doc, f, err
}

func (f *files) json(_ *openapi3.Loader, u *url.URL) ([]byte, error) {
	data, err := f.source.read(u)
	if err != nil {
		return nil, err
	}
	f.hash.Write(data)
	f.annotated = f.annotated || bytes.Contains(data, []byte(Extension))
	at := *u
	f.read = append(f.read, &at)
	if data, err = toJSON(data, fileName(u)); err != nil {
		return nil, err
	}
	if f.references += bytes.Count(data, []byte(`"$ref"`)); f.references > maxReferences {
		return nil, fmt.Errorf("%w: more than %d references", ErrRefused, maxReferences)
	}
	if data, err = nulls(data); err != nil || !f.mend {
		return data, err
	}
	data, dangling, err := mend(data)
	f.dangling = append(f.dangling, dangling...)
	return data, err
}

func (f *files) parse(ctx context.Context) (*openapi3.T, error) {
	loader := &openapi3.Loader{Context: ctx, IsExternalRefsAllowed: true, ReadFromURIFunc: f.json}
	data, err := f.json(loader, f.location)
	if errors.Is(err, errNoMapping) { // of a file that it refers to, the document is wrong
		return nil, fmt.Errorf("%w: %w", err, errNoDocument)
	}
	if err != nil {
		return nil, err
	}
	var version struct{ Swagger, OpenAPI string }
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	switch {
	case version.Swagger == "2.0":
		f.version = version.Swagger
		var old openapi2.T
		if err := json.Unmarshal(data, &old); err != nil {
			return nil, fmt.Errorf("parse: %w", err)
		}
		doc, err := openapi2conv.ToV3WithLoader(&old, loader, f.location)
		if err != nil {
			return nil, fmt.Errorf("convert 2.0: %w", err)
		}
		return doc, nil
	case strings.HasPrefix(version.OpenAPI, "3."):
		f.version = version.OpenAPI
		doc, err := loader.LoadFromDataWithPath(data, f.location)
		if err != nil {
			return nil, fmt.Errorf("parse: %w", err)
		}
		return doc, nil
	default:
		return nil, fmt.Errorf("swagger %q, openapi %q: %w", version.Swagger, version.OpenAPI, errNoDocument)
	}
}
