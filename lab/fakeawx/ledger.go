package fakeawx

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Ledger is all that was launched.
type Ledger struct {
	Launches int   `json:"launches"` // POSTs that reached a template's launch
	Jobs     []Job `json:"jobs"`     // oldest first, those that are not committed yet too
}

// Job is one in the ledger.
type Job struct {
	ID         int64          `json:"id"`
	Kind       string         `json:"kind"`
	Template   string         `json:"template"`
	Parent     int64          `json:"parent,omitempty"`
	By         string         `json:"by,omitempty"`
	Status     string         `json:"status"`
	Limit      string         `json:"limit"`
	JobType    string         `json:"job_type"`
	Vars       map[string]any `json:"extra_vars"`
	Hosts      []string       `json:"hosts,omitempty"` // that it touched
	LaunchType string         `json:"launch_type"`
	Created    time.Time      `json:"created"`
	Visible    time.Time      `json:"visible"`
	Started    time.Time      `json:"started,omitzero"`
	Finished   time.Time      `json:"finished,omitzero"`
	Output     string         `json:"output,omitempty"`
}

// Ledger returns what was launched by now.
func (f *Fake) Ledger() Ledger {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance()
	l := Ledger{Launches: f.launches, Jobs: []Job{}}
	for _, j := range f.jobs {
		out := Job{
			ID: j.id, Kind: j.kind(), Template: j.of.Name, Status: j.status, Limit: j.limit, JobType: j.jobType, Vars: maps.Clone(j.vars),
			LaunchType: j.launchType, Created: j.created, Visible: j.visible, Started: j.started, Finished: j.finished,
		}
		if j.parent != nil {
			out.Parent = j.parent.id
		}
		if j.by != nil {
			out.By = j.by.Name
		}
		if j.result != nil {
			out.Hosts, out.Output = slices.Sorted(maps.Keys(j.result.Hosts)), j.result.Output
		}
		l.Jobs = append(l.Jobs, out)
	}
	return l
}

// Edit changes a template: what somebody does between a look and a launch.
func (f *Fake) Edit(name string, change func(*Template)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.named(name)
	if t == nil {
		return fmt.Errorf("there is no template %q", name)
	}
	change(&t.Template)
	return nil
}

// Remove deletes a template.
func (f *Fake) Remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.templates = slices.DeleteFunc(f.templates, func(t *template) bool { return t.Name == name })
}

// Forget deletes a job, as AWX's clean-up does.
func (f *Fake) Forget(id int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = slices.DeleteFunc(f.jobs, func(j *job) bool { return j.id == id })
}

// LaunchAs launches as a user of the web interface would, past every prompt.
func (f *Fake) LaunchAs(name, templateName, limit string, vars map[string]any) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance()
	t := f.named(templateName)
	i := slices.IndexFunc(f.users, func(u *user) bool { return u.Name == name })
	if t == nil || i < 0 {
		return 0, fmt.Errorf("there is no template %q or no user %q", templateName, name)
	}
	return f.create(t, f.users[i], object{"limit": limit, "extra_vars": vars}, "manual").id, nil
}

func (f *Fake) serveLedger(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, f.Ledger())
}

// read decodes the strict body of an order to the fake itself.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func (f *Fake) serveSwitch(w http.ResponseWriter, r *http.Request) {
	var s Switches
	if read(w, r, &s) {
		f.Switch(s)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *Fake) serveClock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Advance Duration `json:"advance"`
	}
	if read(w, r, &in) {
		f.Advance(time.Duration(in.Advance))
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *Fake) serveEdit(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	if !read(w, r, &raw) {
		return
	}
	var which struct{ Name string }
	err := json.Unmarshal(raw, &which)
	if err == nil {
		var wrong error
		err = f.Edit(which.Name, func(t *Template) {
			changed := *t
			if wrong = json.Unmarshal(raw, &changed); wrong == nil {
				*t = changed
			}
		})
		if err == nil {
			err = wrong
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *Fake) serveRemove(w http.ResponseWriter, r *http.Request) {
	f.Remove(r.URL.Query().Get("name"))
	w.WriteHeader(http.StatusNoContent)
}

func (f *Fake) serveForget(w http.ResponseWriter, r *http.Request) {
	id, ok := number(r.URL.Query().Get("id"))
	if !ok {
		http.Error(w, "id: write a number", http.StatusBadRequest)
		return
	}
	f.Forget(id)
	w.WriteHeader(http.StatusNoContent)
}
