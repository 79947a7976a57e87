package app

import (
	"errors"
	"net/http"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
)

// explanation is why a page says what it says: all that enrichment knows.
type explanation struct {
	Problem  string        `json:"problem"`
	Episode  int           `json:"episode"`
	Revision uint64        `json:"revision"`
	Headline string        `json:"headline"`
	Alone    string        `json:"alone,omitempty"`
	Reach    string        `json:"reach,omitempty"`
	None     bool          `json:"none"`
	Pending  bool          `json:"pending"`
	Failing  int           `json:"failing"`
	Healthy  int           `json:"healthy"`
	Traits   []page.Trait  `json:"traits"`
	Scope    page.Labels   `json:"scope,omitempty"`
	Course   *page.Course  `json:"course,omitempty"`
	Onset    *page.Onset   `json:"onset,omitempty"`
	Changes  []page.Change `json:"changes"`
	Impact   *page.Impact  `json:"impact,omitempty"`

	LastSeen  time.Time       `json:"last_seen,omitzero"`
	Exemplars *page.Exemplars `json:"exemplars,omitempty"`

	Queries []page.Query `json:"queries"`
	Notes   []page.Note  `json:"notes"`
}

// traits explains a page.
func (a *api) traits(w http.ResponseWriter, r *http.Request) {
	p, rev, err := pipeline.Load(r.Context(), a.store, r.PathValue("id"))
	switch {
	case err != nil:
		a.fail(w, http.StatusServiceUnavailable, err)
	case rev == 0:
		a.fail(w, http.StatusNotFound, errors.New("no page has this id"))
	default:
		writeJSON(w, http.StatusOK, explain(p, a.redact()))
	}
}

func explain(p page.Problem, hidden []string) explanation {
	c, v := p.Context, p.View().Redact(hidden...)
	return explanation{
		Problem: p.ID, Episode: p.Episode, Revision: p.Revision,
		Headline: v.Headline, Alone: page.Context{Traits: v.Traits, Onset: v.Onset}.Alone(), Reach: v.Impact.Words(),
		None: c.None, Pending: c.Pending, Failing: c.Failing, Healthy: c.Healthy,
		Traits: v.Traits, Scope: v.Scope, Course: c.Course, Onset: v.Onset, Changes: orEmpty(v.Changes),
		Impact: v.Impact, Exemplars: v.Exemplars, LastSeen: c.LastSeen, Queries: orEmpty(v.Queries), Notes: v.Notes,
	}
}

// orEmpty keeps null out of the answer.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
