package fakeslack

import (
	"embed"
	"html/template"
	"maps"
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
		Now      time.Time
		Channels []channelView
	}
	channelView struct {
		Channel
		Messages []messageView
	}
	messageView struct {
		TS       string
		At       time.Time
		Edits    int
		Deleted  bool
		Content  contentView
		Versions []contentView // earlier ones, newest first
		Replies  []messageView
	}
	contentView struct {
		At    time.Time
		Text  string
		Parts []Part
		Bars  []barView
	}
	barView struct {
		Colour string
		Parts  []Part
	}
)

func (f *Fake) view() pageView {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := pageView{Now: f.opts.Now()}
	for _, id := range slices.Sorted(maps.Keys(f.channels)) {
		c := f.channels[id]
		view := channelView{Channel: c.Channel}
		at := map[int64]int{}
		for _, m := range c.messages {
			i, isReply := at[m.thread]
			if m.thread != 0 && isReply {
				view.Messages[i].Replies = append(view.Messages[i].Replies, m.view())
				continue
			}
			at[m.ts] = len(view.Messages)
			view.Messages = append(view.Messages, m.view())
		}
		slices.Reverse(view.Messages) // newest on top: the page refreshes itself and does not scroll
		out.Channels = append(out.Channels, view)
	}
	return out
}

func (m *message) view() messageView {
	out := messageView{
		TS: formatTS(m.ts), At: m.versions[0].at, Edits: len(m.versions) - 1,
		Deleted: m.deleted, Content: m.current().view(),
	}
	for _, v := range slices.Backward(m.versions[:len(m.versions)-1]) {
		out.Versions = append(out.Versions, v.view())
	}
	return out
}

func (v version) view() contentView {
	out := contentView{At: v.at, Text: v.text, Parts: v.parts()}
	for _, a := range v.attachments {
		colour := strings.TrimPrefix(a.Color, "#") //nolint:misspell // Slack's word
		if named, ok := map[string]string{"good": "2eb886", "warning": "daa038", "danger": "a30200"}[colour]; ok {
			colour = named
		}
		out.Bars = append(out.Bars, barView{Colour: "#" + colour, Parts: a.parts()})
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
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = t.Execute(w, f.view())
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, assets, "style.css")
}
