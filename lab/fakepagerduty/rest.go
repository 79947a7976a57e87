package fakepagerduty

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const callsPerMinute = 960 // REST, per token

// rest checks the token and the rate of a REST call and holds the lock during it.
func (f *Fake) rest(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Token token="+f.opts.APIToken {
			restError(w, http.StatusUnauthorized, 2006, "Account not found or token is invalid")
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		left, ok := f.admit("token "+f.opts.APIToken, callsPerMinute)
		w.Header().Set("Ratelimit-Limit", strconv.Itoa(callsPerMinute))
		w.Header().Set("Ratelimit-Remaining", strconv.Itoa(left))
		w.Header().Set("Ratelimit-Reset", strconv.Itoa(f.resets("token "+f.opts.APIToken)))
		if !ok {
			restError(w, http.StatusTooManyRequests, 2020, "Rate Limit Exceeded")
			return
		}
		f.ingest()
		next(w, r)
	})
}

// resets is in how many seconds the oldest request leaves the sliding minute.
func (f *Fake) resets(key string) int {
	if len(f.accepted[key]) == 0 {
		return 0
	}
	left := time.Minute - f.opts.Now().Sub(f.accepted[key][0])
	return int((left + time.Second - 1) / time.Second)
}

func restError(w http.ResponseWriter, status, code int, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

// form is an incident as the REST API and webhooks show it.
func (in *Incident) form(host string) map[string]any {
	url := "http://" + host + "/#" + in.ID
	out := map[string]any{
		"id": in.ID, "type": "incident", "title": in.Title, "status": in.Status, "number": in.Number,
		"incident_key": in.DedupKey, "created_at": in.Accepted.UTC().Format(time.RFC3339),
		"html_url": url, "self": "http://" + host + "/incidents/" + in.ID, "urgency": "high",
		"service": map[string]any{"type": "service_reference", "summary": in.Service}, "assignees": []any{}, "priority": nil,
	}
	if in.Assigned != "" {
		out["assignees"] = []any{map[string]any{"type": "user_reference", "summary": in.Assigned}}
	}
	if in.Priority != "" {
		out["priority"] = map[string]any{"type": "priority_reference", "summary": in.Priority}
	}
	return out
}

const pageSize = 25

func (f *Fake) listIncidents(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, err := moment(q.Get("since"), f.opts.Now().AddDate(0, -1, 0))
	until, err2 := moment(q.Get("until"), f.opts.Now())
	if err != nil || err2 != nil || (q.Get("sort_by") != "" && q.Get("sort_by") != "created_at:desc" && q.Get("sort_by") != "created_at:asc") {
		restError(w, http.StatusBadRequest, 2001, "Invalid Input Provided")
		return
	}
	var found []*Incident
	for _, in := range f.incidents {
		key, statuses := q.Get("incident_key"), q["statuses[]"]
		if (key != "" && in.DedupKey != key) || (len(statuses) > 0 && !slices.Contains(statuses, in.Status)) ||
			in.Accepted.Before(since) || in.Accepted.After(until) {
			continue
		}
		found = append(found, in)
	}
	if q.Get("sort_by") == "created_at:desc" {
		slices.Reverse(found)
	}
	limit, offset := pageSize, 0
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n > 0 {
		limit = min(n, 100)
	}
	if n, err := strconv.Atoi(q.Get("offset")); err == nil && n > 0 {
		offset = min(n, len(found))
	}
	out := []map[string]any{}
	for _, in := range found[offset:min(offset+limit, len(found))] {
		out = append(out, in.form(r.Host))
	}
	answer(w, http.StatusOK, map[string]any{"incidents": out, "limit": limit, "offset": offset, "more": offset+limit < len(found)})
}

// moment reads a time of a query; a second is the finest that counts.
func moment(s string, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise, nil
	}
	return time.Parse(time.RFC3339, s)
}

// known returns the incident a path names; it answers 404 where there is none.
func (f *Fake) known(w http.ResponseWriter, r *http.Request) *Incident {
	i := slices.IndexFunc(f.incidents, func(in *Incident) bool { return in.ID == r.PathValue("id") })
	if i < 0 {
		restError(w, http.StatusNotFound, 2100, "Not Found")
		return nil
	}
	return f.incidents[i]
}

func (f *Fake) oneIncident(w http.ResponseWriter, r *http.Request) {
	if in := f.known(w, r); in != nil {
		answer(w, http.StatusOK, map[string]any{"incident": in.form(r.Host)})
	}
}

func (f *Fake) notes(w http.ResponseWriter, r *http.Request) {
	in := f.known(w, r)
	if in == nil {
		return
	}
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
		from := r.Header.Get("From")
		switch {
		case !strings.Contains(from, "@"):
			restError(w, http.StatusBadRequest, 2001, "Requester User Not Found: From header is missing")
		case err != nil || strings.TrimSpace(body.Note.Content) == "":
			restError(w, http.StatusBadRequest, 2001, "Invalid Input Provided")
		default:
			f.change(in, "note", actor{Name: from, Kind: "user_reference", At: f.opts.Now()}, body.Note.Content)
			answer(w, http.StatusOK, map[string]any{"note": in.Notes[len(in.Notes)-1]})
		}
	default:
		restError(w, http.StatusMethodNotAllowed, 2000, "method not allowed")
	}
}
