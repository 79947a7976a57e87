package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/store"
)

// api serves the pages to operators and scripts, as JSON.
type api struct {
	store  store.Store
	log    *slog.Logger
	redact func() []string // labels whose values are not shown
}

const (
	listed  = 500 // pages in one answer of the list, at most and where no limit is asked for
	scanned = 100 // problems that are read at once
)

// list answers every open page, in order of their IDs; ?state=all adds those
// that are over. ?limit=50 asks for no more than so many, and ?after=<id> for
// those behind a page: the last one of an answer leads to the next.
func (a *api) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := listed
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > listed {
			a.fail(w, http.StatusBadRequest, fmt.Errorf("limit: write a number from 1 to %d", listed))
			return
		}
		limit = n
	}
	out, after := []page.Page{}, ""
	if id := q.Get("after"); id != "" {
		after = store.ProblemKey(id)
	}
	for size := min(limit, scanned); len(out) < limit; {
		recs, err := a.store.Scan(r.Context(), store.ProblemPrefix, after, size)
		if err != nil {
			a.fail(w, http.StatusServiceUnavailable, err)
			return
		}
		views, err := a.views(r.Context(), recs, q.Get("state") == "all", limit-len(out))
		if err != nil {
			a.fail(w, http.StatusServiceUnavailable, err)
			return
		}
		out = append(out, views...)
		if len(recs) < size {
			break
		}
		after = recs[len(recs)-1].Key
	}
	writeJSON(w, http.StatusOK, out)
}

// views shows the problems of some records in their order, up to a limit: the
// open ones, or all.
func (a *api) views(ctx context.Context, recs []store.Record, all bool, limit int) ([]page.Page, error) {
	var out []page.Page
	for _, rec := range recs {
		if len(out) == limit {
			break
		}
		var p page.Problem
		if err := store.Unmarshal(rec.Value, &p); err != nil {
			return nil, err
		}
		if !all && p.State != page.Open || p.IsCanary() {
			continue
		}
		v, err := a.view(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (a *api) show(w http.ResponseWriter, r *http.Request) {
	p, rev, err := pipeline.Load(r.Context(), a.store, r.PathValue("id"))
	switch {
	case err != nil:
		a.fail(w, http.StatusServiceUnavailable, err)
	case rev == 0:
		a.fail(w, http.StatusNotFound, errors.New("no page has this id"))
	default:
		v, err := a.view(r.Context(), p)
		if err != nil {
			a.fail(w, http.StatusServiceUnavailable, err)
			return
		}
		writeJSON(w, http.StatusOK, v)
	}
}

// view is the page with the receipts of its episode, and its clock with the
// first of them.
func (a *api) view(ctx context.Context, p page.Problem) (page.Page, error) {
	v := p.View().Redact(a.redact()...)
	recs, err := a.store.Scan(ctx, store.ReceiptPrefix(p.ID, p.Episode), "", 100)
	if err != nil {
		return v, err
	}
	for _, rec := range recs {
		var r page.Receipt
		if err := store.Unmarshal(rec.Value, &r); err != nil {
			return v, err
		}
		v.Receipts = append(v.Receipts, r)
		if _, unsent := notify.ShadowOf(r.Target); unsent {
			continue
		}
		if !r.First.IsZero() && (v.Clock.Sent.IsZero() || r.First.Before(v.Clock.Sent)) {
			v.Clock.Sent = r.First
		}
	}
	return v, nil
}

func (a *api) fail(w http.ResponseWriter, status int, err error) {
	if status >= http.StatusInternalServerError {
		a.log.Error("answer api request", "err", err)
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody to tell
}
