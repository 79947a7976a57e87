package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/web"
)

// actRequest is the body of POST /api/v1/pages/{id}/acts.
type actRequest struct {
	Verb     page.Verb `json:"verb"`
	For      string    `json:"for"`      // silence: how long
	Until    time.Time `json:"until"`    // silence: or until when
	Silence  string    `json:"silence"`  // unsilence: its id
	Text     string    `json:"text"`     // note
	Dispatch string    `json:"dispatch"` // approve, deny: its id
	Episode  int       `json:"episode"`  // 0: the latest
	ID       string    `json:"id"`       // idempotency key; the header Idempotency-Key says it too
}

// maxAct is how much of a body is read.
const maxAct = 64 << 10

// act takes what an operator does. The answer, 202 and the event's id, says that
// it is on disk; what comes of it stands on the page and its timeline.
func (a *api) act(w http.ResponseWriter, r *http.Request, who web.Operator) {
	wish, err := readAct(w, r, a.acts.Now())
	wish.Operator = who.Name
	if err != nil {
		a.fail(w, http.StatusBadRequest, err)
		return
	}
	event, err := a.acts.Put(r.Context(), wish)
	if refusal, ok := errors.AsType[*web.Refusal](err); ok {
		a.fail(w, refusal.Status, err)
		return
	}
	if err != nil {
		a.fail(w, http.StatusServiceUnavailable, err)
		return
	}
	a.log.Info("operator acts", "page", wish.Problem, "operator", wish.Operator, "verb", wish.Act.Verb, "event", event)
	writeJSON(w, http.StatusAccepted, map[string]string{"event": event})
}

// readJSON reads a body that is one object, of what into points to.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	// a form of another site cannot send this type without asking first
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return errors.New("send Content-Type: application/json")
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAct))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read body: there is more than one object")
	}
	return nil
}

func readAct(w http.ResponseWriter, r *http.Request, now time.Time) (web.Wish, error) {
	wish := web.Wish{Problem: r.PathValue("id")}
	var q actRequest
	if err := readJSON(w, r, &q); err != nil {
		return wish, err
	}
	key := r.Header.Get("Idempotency-Key")
	switch {
	case key != "" && q.ID != "" && key != q.ID:
		return wish, errors.New("id: the header Idempotency-Key says another")
	case key == "":
		key = q.ID
	}
	until := q.Until
	if q.For != "" {
		d, err := model.ParseDuration(q.For)
		if err != nil || !until.IsZero() {
			return wish, errors.New("for: write it as 1h, or until as 2026-03-01T08:00:00Z, but not both")
		}
		until = now.Add(time.Duration(d))
	}
	wish.Episode, wish.Key = q.Episode, key
	wish.Act = page.Act{Verb: q.Verb, Until: until, Silence: q.Silence, Text: q.Text, Dispatch: q.Dispatch}
	return wish, nil
}

// history answers pages of all episodes, newest first: ?q= words, ?match=label=value,
// ?severity= ?receiver= ?state= ?from= ?to= ?limit= and ?after= of the answer before.
func (a *api) history(w http.ResponseWriter, r *http.Request) {
	q, err := web.ParseQuery(r.URL.Query())
	if err != nil {
		a.fail(w, http.StatusBadRequest, err)
		return
	}
	found, err := a.board.Find(r.Context(), q)
	if err != nil {
		a.fail(w, http.StatusServiceUnavailable, err)
		return
	}
	writeJSON(w, http.StatusOK, found)
}
