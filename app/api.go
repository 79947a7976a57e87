package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

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

// listed bounds one answer of the list.
const listed = 500

// list answers every open page; ?state=all adds those that are over.
func (a *api) list(w http.ResponseWriter, r *http.Request) {
	all := r.URL.Query().Get("state") == "all"
	out, after := []page.Page{}, ""
	for len(out) < listed {
		recs, err := a.store.Scan(r.Context(), store.ProblemPrefix, after, 100)
		if err != nil {
			a.fail(w, http.StatusServiceUnavailable, err)
			return
		}
		for _, rec := range recs {
			var p page.Problem
			if err := store.Unmarshal(rec.Value, &p); err != nil {
				a.fail(w, http.StatusInternalServerError, err)
				return
			}
			if all || p.State == page.Open {
				v, err := a.view(r.Context(), p)
				if err != nil {
					a.fail(w, http.StatusServiceUnavailable, err)
					return
				}
				out = append(out, v)
			}
			after = rec.Key
		}
		if len(recs) < 100 {
			break
		}
	}
	writeJSON(w, http.StatusOK, out)
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
