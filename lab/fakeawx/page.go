package fakeawx

import (
	"embed"
	"fmt"
	html "html/template"
	"net/http"
	"slices"
	"time"
)

//go:embed page.html style.css
var assets embed.FS

// The page as its template reads it.
type (
	pageView struct {
		Now    time.Time
		Ledger Ledger
		Jobs   []jobView // newest first
	}
	jobView struct {
		Job
		Anchor string // as AWX's own links end: /jobs/playbook/42
		Shown  string // its variables
	}
)

func (f *Fake) view() pageView {
	v := pageView{Ledger: f.Ledger()}
	f.mu.Lock()
	v.Now = f.now()
	f.mu.Unlock()
	for _, j := range slices.Backward(v.Ledger.Jobs) {
		kind := "playbook"
		if j.Kind == "workflow_job" {
			kind = "workflow"
		}
		v.Jobs = append(v.Jobs, jobView{Job: j, Anchor: fmt.Sprintf("/jobs/%s/%d", kind, j.ID), Shown: asJSON(j.Vars)})
	}
	return v
}

func (f *Fake) servePage(w http.ResponseWriter, _ *http.Request) {
	t, err := html.New("page.html").Funcs(html.FuncMap{
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05") },
	}).ParseFS(assets, "page.html")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = t.Execute(w, f.view())
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, assets, "style.css")
}
