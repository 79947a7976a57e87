package fakepagerduty

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// rest checks the token of a REST call and holds the lock during it.
func (f *Fake) rest(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Token token="+f.opts.APIToken {
			restError(w, http.StatusUnauthorized, 2006, "Account not found or token is invalid")
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ingest()
		next(w, r)
	})
}

func restError(w http.ResponseWriter, status, code int, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func (f *Fake) listIncidents(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	out := []map[string]any{}
	for _, in := range f.incidents {
		key, statuses := q.Get("incident_key"), q["statuses[]"]
		if (key != "" && in.DedupKey != key) || (len(statuses) > 0 && !slices.Contains(statuses, in.Status)) {
			continue
		}
		out = append(out, map[string]any{
			"id": in.ID, "type": "incident", "title": in.Title, "status": in.Status,
			"incident_key": in.DedupKey, "created_at": in.Accepted.UTC().Format("2006-01-02T15:04:05Z"),
		})
	}
	answer(w, http.StatusOK, map[string]any{"incidents": out, "limit": 25, "offset": 0, "more": false})
}

func (f *Fake) notes(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(f.incidents, func(in *Incident) bool { return in.ID == r.PathValue("id") })
	if i < 0 {
		restError(w, http.StatusNotFound, 2100, "Not Found")
		return
	}
	in := f.incidents[i]
	switch r.Method {
	case http.MethodGet:
		answer(w, http.StatusOK, map[string]any{"notes": append([]Note{}, in.Notes...)})
	case http.MethodPost:
		var body struct {
			Note struct {
				Content string `json:"content"`
			} `json:"note"`
		}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body)
		switch {
		case !strings.Contains(r.Header.Get("From"), "@"):
			restError(w, http.StatusBadRequest, 2001, "Requester User Not Found: From header is missing")
		case err != nil || body.Note.Content == "":
			restError(w, http.StatusBadRequest, 2001, "Invalid Input Provided")
		default:
			n := Note{
				ID: fmt.Sprintf("N%06d", len(in.Notes)+1), Content: body.Note.Content,
				From: r.Header.Get("From"), At: f.opts.Now(),
			}
			in.Notes = append(in.Notes, n)
			answer(w, http.StatusOK, map[string]any{"note": n})
		}
	default:
		restError(w, http.StatusMethodNotAllowed, 2000, "method not allowed")
	}
}
