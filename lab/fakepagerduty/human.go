package fakepagerduty

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Human is what a person does to an incident.
type Human struct {
	Incident string `json:"incident"` // its ID, or the dedup key of its newest
	Do       string `json:"do"`       // acknowledge, unacknowledge, resolve, reopen, note, priority, reassign
	Who      string `json:"who"`      // "a person" if ""
	Text     string `json:"text"`     // of the note; the priority; whom it is reassigned to
}

// actor is who did something, and when.
type actor struct {
	Name string
	Kind string // agent type in webhooks, "" for none
	At   time.Time
}

func api() actor { return actor{Name: "API", Kind: "events_api_v2_inbound_integration_reference"} }

// Do lets a person act; the error says why nothing came of it.
func (f *Fake) Do(h Human) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ingest()
	in := f.find(h.Incident)
	if in == nil {
		return fmt.Errorf("there is no incident %q", h.Incident)
	}
	by := actor{Name: cmp.Or(h.Who, "a person"), Kind: "user_reference", At: f.opts.Now()}
	if !f.change(in, h.Do, by, h.Text) {
		return fmt.Errorf("%q does nothing to an incident that is %s", h.Do, in.Status)
	}
	return nil
}

// Resolve closes the open incident of a dedup key as a person would; it
// reports whether there was one.
func (f *Fake) Resolve(routingKey, dedupKey string) bool {
	return f.byHuman(routingKey, dedupKey, "resolve")
}

// Acknowledge acknowledges it as a person would.
func (f *Fake) Acknowledge(routingKey, dedupKey string) bool {
	return f.byHuman(routingKey, dedupKey, "acknowledge")
}

func (f *Fake) byHuman(routingKey, dedupKey, do string) bool {
	in, open := f.open(routingKey, dedupKey)
	return open && f.Do(Human{Incident: in, Do: do}) == nil
}

func (f *Fake) open(routingKey, dedupKey string) (id string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ingest()
	in, ok := f.current[routingKey+" "+dedupKey]
	if ok {
		id = in.ID
	}
	return id, ok
}

// find returns an incident by its ID, or the newest of a dedup key.
func (f *Fake) find(ref string) *Incident {
	for _, in := range slices.Backward(f.incidents) {
		if in.ID == ref || in.DedupKey == ref {
			return in
		}
	}
	return nil
}

// change brings an incident into another state, tells subscribers, and reports
// whether there was anything to change.
func (f *Fake) change(in *Incident, do string, by actor, text string) bool {
	key := in.RoutingKey + " " + in.DedupKey
	says, data := text, any(nil)
	switch {
	case do == "acknowledge" && in.Status != "resolved":
		in.Status, in.acked = "acknowledged", by.At
		if !slices.Contains(in.AckedBy, by.Name) {
			in.AckedBy = append(in.AckedBy, by.Name)
		}
	case do == "unacknowledge" && in.Status == "acknowledged":
		in.Status, says = "triggered", "paged a human again"
		in.Notified++
	case do == "resolve" && in.Status != "resolved":
		in.Status, in.Ended = "resolved", by.At
		delete(f.current, key)
	case do == "reopen" && in.Status == "resolved" && f.current[key] == nil:
		in.Status, in.Ended, says = "triggered", time.Time{}, "paged a human again"
		in.Notified++
		f.current[key] = in
	case do == "note" && text != "":
		n := Note{ID: fmt.Sprintf("N%06d", len(in.Notes)+1), Content: text, From: by.Name, At: by.At}
		in.Notes = append(in.Notes, n)
		data = map[string]any{"type": "incident_note", "id": n.ID, "content": n.Content, "trimmed": false}
	case do == "priority":
		in.Priority = text
	case do == "reassign" && in.Status != "resolved":
		in.Assigned = text
	default:
		return false
	}
	if do != "note" {
		in.log(by, do, says)
	}
	f.emit(eventTypes()[do], by, in, data)
	return true
}

func eventTypes() map[string]string {
	return map[string]string{
		"acknowledge": "incident.acknowledged", "unacknowledge": "incident.unacknowledged",
		"resolve": "incident.resolved", "reopen": "incident.reopened", "note": "incident.annotated",
		"priority": "incident.priority_updated", "reassign": "incident.reassigned",
	}
}

func (f *Fake) serveHuman(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	form := !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) // of the page; curl -d names the same type for JSON
	var h Human
	switch {
	case err != nil:
	case form:
		var q url.Values
		q, err = url.ParseQuery(string(body))
		h = Human{Incident: q.Get("incident"), Do: q.Get("do"), Who: q.Get("who")}
	default:
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		err = dec.Decode(&h)
	}
	if err == nil {
		err = f.Do(h)
	}
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case form:
		http.Redirect(w, r, "/#"+h.Incident, http.StatusSeeOther)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
