package model

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/exporters/openapi/match"
)

// join makes one API of its documents, which it does not change.
func join(parts []*compiled, strict bool) *API {
	api := &API{parts: parts, Hash: digest(parts)}
	taken := map[string]bool{}
	var titles, versions, specifications []string
	for _, p := range parts {
		if len(p.operations) > 0 || p.err != nil {
			api.Documents = append(api.Documents, Document{Options{Location: p.location}.Name(), p.err})
		}
		if p.openAPI != "" {
			titles, versions, specifications = append(titles, p.title), append(versions, p.version), append(specifications, p.openAPI)
		}
		api.Problems = append(api.Problems, p.problems...)
		for _, op := range p.operations {
			own := *op
			if taken[own.ID] {
				own.ID = api.rename(p, op, taken)
			}
			taken[own.ID] = true
			api.Operations = append(api.Operations, &own)
		}
	}
	api.Title, api.Version, api.OpenAPI = distinct(titles), distinct(versions), distinct(specifications)
	slices.SortFunc(api.Operations, func(a, b *Operation) int { return cmp.Compare(a.ID, b.ID) })
	api.route(strict)
	return api
}

// rename finds another ID for an operation whose own is taken, and says so.
func (a *API) rename(p *compiled, op *Operation, taken map[string]bool) string {
	route := op.Method + " " + op.Path
	id := Label(route)
	for n := 2; taken[id]; n++ { // the same in two documents, or two templates longer than a label
		id = fmt.Sprintf("%s#%d", Label(route), n)
	}
	told := []Problem{{Kind: "identifier", Where: route, Text: fmt.Sprintf("the ID %q is taken: %s is used", op.ID, id)}}
	if len(a.parts) > 1 {
		name(told, p.location)
	}
	a.Problems = append(a.Problems, told...)
	return id
}

// route compiles the table. Paths that are nearer to their document come first
// where two are the same but for the names of parameters.
func (a *API) route(strict bool) {
	var routes []match.Route
	for i, op := range a.Operations {
		op.Index = i
		for _, r := range op.Routes {
			routes = append(routes, match.Route{Method: op.Method, Path: r, Rest: op.rest, Operation: i})
		}
	}
	table, conflicts := match.New(routes, strict)
	for _, lost := range conflicts {
		a.Problems = append(a.Problems, Problem{
			Kind: "conflict", Where: lost.Lost.Method + " " + lost.Lost.Path,
			Text: fmt.Sprintf("is the same request as %s, which gets all of them", lost.Kept.Path),
		})
	}
	a.Table = table
}

// distinct are values without repetition, in a line.
func distinct(values []string) string {
	slices.Sort(values)
	return strings.Join(slices.Compact(values), ", ")
}

// digest is the hash of the only part, or over the hashes of all.
func digest(parts []*compiled) string {
	if len(parts) == 1 {
		return parts[0].hash
	}
	all := &files{hash: sha256.New()}
	for _, p := range parts {
		fmt.Fprintf(all.hash, "%s %s\n", filepath.Base(p.location), p.hash)
	}
	return all.sum()
}
