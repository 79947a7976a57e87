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
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/web"
)

// api serves the pages to operators and scripts, as JSON.
type api struct {
	store   store.Store
	log     *slog.Logger
	redact  func() []string // labels whose values are not shown
	archive *web.Archive
	board   *web.Board
	acts    *web.Acts
}

// newArchive reads pages as they may be shown now.
func newArchive(s store.Store, redact func() []string) *web.Archive {
	return &web.Archive{Store: s, Redact: redact, Unsent: func(target string) bool {
		_, unsent := notify.ShadowOf(target)
		return unsent
	}}
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
		v, err := a.archive.View(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// show answers one page: as it is now, or ?episode=2 as that episode was last.
func (a *api) show(w http.ResponseWriter, r *http.Request) {
	answer(a, w, r, a.archive.Page)
}

// timeline answers what every room wrote down about an episode.
func (a *api) timeline(w http.ResponseWriter, r *http.Request) {
	answer(a, w, r, a.archive.Timeline)
}

// chart answers the data of an episode's chart.
func (a *api) chart(w http.ResponseWriter, r *http.Request) {
	answer(a, w, r, a.archive.Chart)
}

// answer reads something of the page and the episode that are asked for.
func answer[T any](a *api, w http.ResponseWriter, r *http.Request, read func(context.Context, string, int) (T, error)) {
	episode, err := episodeOf(r)
	if err != nil {
		a.fail(w, http.StatusBadRequest, err)
		return
	}
	switch v, err := read(r.Context(), r.PathValue("id"), episode); {
	case errors.Is(err, store.ErrNotFound):
		a.fail(w, http.StatusNotFound, errors.New("no page has this id, or it has nothing of this kind"))
	case err != nil:
		a.fail(w, http.StatusServiceUnavailable, err)
	default:
		writeJSON(w, http.StatusOK, v)
	}
}

// episodeOf reads ?episode=; 0 where it is not there.
func episodeOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("episode")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, errors.New("episode: write a number")
	}
	return int(n), nil
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
