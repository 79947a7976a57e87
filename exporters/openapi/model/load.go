package model

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Document is one of the documents of an API.
type Document struct {
	// Name is the file's. Of a URL it is host and path.
	Name string
	// Err is why what is there now cannot be used; the one before is in use, if there was one.
	Err error
}

// compiled is one document of an API by itself.
type compiled struct {
	location                string
	files                   []*url.URL // what was read, in order
	bytes                   int
	hash                    string // over all of them
	title, version, openAPI string
	operations              []*Operation // of none where others refer to it only
	problems                []Problem
	err                     error // why what is there now cannot be used
}

// Load reads and compiles what is at a location. An error means that there is no
// API: a document cannot be read, is refused, or says nothing that can be used.
// Of a folder this holds for all of its documents: one of them that is broken is
// left out, and told in API.Documents. What is merely wrong is in API.Problems,
// and what Validate finds.
func Load(ctx context.Context, o Options) (*API, error) { return (*API)(nil).Reload(ctx, o) }

// Reload is Load where a, which may be nil, was loaded from the same Options: a
// document in a folder that is broken now stays as it is in a, and those that
// have not changed are not compiled again. a does not change.
func (a *API) Reload(ctx context.Context, o Options) (*API, error) {
	locations, folder, err := o.documents()
	if err != nil {
		return nil, err
	}
	var parts []*compiled
	files, total := 0, 0
	for _, location := range locations {
		p, err := a.reload(ctx, o.at(location), folder)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		files, total = files+len(p.files), total+p.bytes
		if files > maxFiles || total > maxTotal {
			return nil, fmt.Errorf("%w: the documents of %s are more than %d files or %d MiB", ErrRefused, o.Location, maxFiles, maxTotal>>20)
		}
	}
	api := join(parts, o.Strict)
	if len(api.Operations) == 0 {
		return nil, errors.Join(errors.New("the document has no operation"), api.Broken())
	}
	return api, nil
}

// reload is one part: the one that is in use where it has not changed or, in a
// folder, what is there now is broken.
func (a *API) reload(ctx context.Context, o Options, folder bool) (*compiled, error) {
	used := a.part(o.Location)
	if used != nil && used.err == nil {
		if same, err := used.same(ctx, o); err == nil && same {
			return used, nil
		}
	}
	p, err := load(ctx, o)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !folder:
		return nil, err
	case errors.Is(err, errNoDocument) && (used == nil || len(used.operations) == 0): // others may refer to it
		return p, nil
	case used != nil:
		kept := *used
		kept.err = err
		return &kept, nil
	default:
		return &compiled{location: o.Location, err: err}, nil
	}
	if folder {
		name(p.problems, o.Location)
	}
	return p, nil
}

// part is the one of a location, nil if there is none.
func (a *API) part(location string) *compiled {
	if a == nil {
		return nil
	}
	i := slices.IndexFunc(a.parts, func(p *compiled) bool { return p.location == location })
	if i < 0 {
		return nil
	}
	return a.parts[i]
}

// load compiles one document. What is no document has a part too, beside the error.
func load(ctx context.Context, o Options) (*compiled, error) {
	doc, f, err := resolve(ctx, o)
	if f == nil {
		return nil, err
	}
	p := &compiled{location: o.Location, files: f.read, bytes: f.total, hash: f.sum()}
	if err != nil {
		return p, err
	}
	if doc.Info != nil {
		p.title, p.version = doc.Info.Title, doc.Info.Version
	}
	c := newCompiler()
	if f.annotated {
		c.places = newPlaces()
	}
	for _, where := range f.dangling {
		c.problem("reference", where, "leads to nothing")
	}
	c.compile(doc, o)
	if f.version == "2.0" { // it was converted: a place is where it stands in the file
		back := strings.NewReplacer("#/components/schemas/", "#/definitions/", "#/components/responses/", "#/responses/")
		for i := range c.problems {
			c.problems[i].Where = back.Replace(c.problems[i].Where)
		}
	}
	p.openAPI, p.operations, p.problems = f.version, c.operations, c.problems
	return p, nil
}

// name has problems name a file of a folder.
func name(problems []Problem, location string) {
	for i := range problems {
		problems[i].Where = strings.TrimSpace(filepath.Base(location) + " " + problems[i].Where)
	}
}

// Same says whether what is there now is what was read.
func (a *API) Same(ctx context.Context, o Options) (bool, error) {
	locations, _, err := o.documents()
	if err != nil {
		return false, err
	}
	if !slices.EqualFunc(a.parts, locations, func(p *compiled, location string) bool { return p.location == location && p.err == nil }) {
		return false, nil
	}
	for _, p := range a.parts {
		if same, err := p.same(ctx, o.at(p.location)); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (p *compiled) same(ctx context.Context, o Options) (bool, error) {
	src, _, err := open(ctx, o.Location, o.Root)
	if err != nil {
		return false, err
	}
	defer src.close()
	f := &files{source: src, hash: sha256.New()}
	for _, u := range p.files {
		data, err := src.read(u)
		if err != nil {
			return false, err
		}
		f.hash.Write(data)
	}
	return f.sum() == p.hash, nil
}

// Broken joins why documents cannot be used as they are now, nil if all can.
func (a *API) Broken() error {
	var err error
	for _, d := range a.Documents {
		if d.Err != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", d.Name, d.Err))
		}
	}
	return err
}

// Name is what the document or the folder is called in metrics and logs.
func (o Options) Name() string {
	u, err := url.Parse(o.Location)
	if err != nil || u.Host == "" {
		return Label(filepath.Base(o.Location))
	}
	return Label(path.Join(u.Host, u.Path))
}
