package fakepagerduty

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed page.html style.css
var assets embed.FS

// The page as its template reads it.
type (
	pageView struct {
		Now       time.Time
		Ledger    Ledger
		Pages     int
		Open      int
		Incidents []incidentView // newest first
	}
	incidentView struct {
		Incident
		Rows []row
	}
	row struct{ Name, Value string }
)

func (f *Fake) view() pageView {
	out := pageView{Now: f.opts.Now(), Ledger: f.Ledger()}
	for _, in := range slices.Backward(out.Ledger.Incidents) {
		out.Pages += in.Notified
		if in.Status != "resolved" {
			out.Open++
		}
		out.Incidents = append(out.Incidents, incidentView{Incident: in, Rows: rows(in.Details)})
	}
	return out
}

// rows flattens custom details one level deep, in the order of the event.
func rows(details json.RawMessage) []row {
	dec := json.NewDecoder(bytes.NewReader(details))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var out []row
	for dec.More() {
		name, err := dec.Token()
		var raw json.RawMessage
		if err != nil || dec.Decode(&raw) != nil {
			break
		}
		var s string
		var list []string
		switch {
		case json.Unmarshal(raw, &s) == nil:
		case json.Unmarshal(raw, &list) == nil:
			s = strings.Join(list, "\n")
		default:
			var b bytes.Buffer
			_ = json.Indent(&b, raw, "", "  ")
			s = b.String()
		}
		text, _ := name.(string)
		out = append(out, row{Name: text, Value: s})
	}
	return out
}

func (f *Fake) servePage(w http.ResponseWriter, _ *http.Request) {
	t, err := template.New("page.html").Funcs(template.FuncMap{
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05") },
	}).ParseFS(assets, "page.html")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = t.Execute(w, f.view())
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, assets, "style.css")
}
