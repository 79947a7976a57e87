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

//go:embed page.html confirm.html style.css
var assets embed.FS

// The page as its template reads it.
type (
	pageView struct {
		Now      time.Time
		User     string
		People   []User
		Channels []channelView
	}
	channelView struct {
		Channel
		Messages []messageView
	}
	messageView struct {
		TS        string
		At        time.Time
		Who       string
		App       bool
		Edits     int
		Deleted   bool
		Broadcast bool
		Content   contentView
		Versions  []contentView // earlier ones, newest first
		Files     []File
		Whispers  []Whisper
		Replies   []messageView
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

func (f *Fake) view(user string) pageView {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := pageView{Now: f.opts.Now(), User: user, People: f.opts.People}
	if _, ok := f.user(user); !ok && len(f.opts.People) > 0 {
		out.User = f.opts.People[0].ID
	}
	for _, id := range slices.Sorted(maps.Keys(f.channels)) {
		c := f.channels[id]
		view := channelView{Channel: c.Channel}
		at := map[int64]int{}
		for _, m := range c.messages {
			seen := f.messageView(m, Press{Channel: id, TS: formatTS(m.ts), User: out.User})
			if i, isReply := at[m.thread]; m.thread != 0 && isReply {
				view.Messages[i].Replies = append(view.Messages[i].Replies, seen)
				if !m.broadcast {
					continue
				}
			}
			at[m.ts] = len(view.Messages)
			view.Messages = append(view.Messages, seen)
		}
		slices.Reverse(view.Messages) // newest on top: the page refreshes itself and does not scroll
		out.Channels = append(out.Channels, view)
	}
	return out
}

func (f *Fake) messageView(m *message, p Press) messageView {
	out := messageView{
		TS: p.TS, At: m.versions[0].at, Who: "Tocsin", App: m.bot != "", Edits: len(m.versions) - 1,
		Deleted: m.deleted, Broadcast: m.broadcast, Content: m.current().view(),
	}
	if u, ok := f.user(m.user); ok {
		out.Who = u.Name
	}
	if !m.deleted {
		out.Content.pressable(p)
	}
	for _, v := range slices.Backward(m.versions[:len(m.versions)-1]) {
		out.Versions = append(out.Versions, v.view())
	}
	for _, x := range m.files {
		out.Files = append(out.Files, x.ledger())
	}
	for _, w := range f.whispers {
		if w.Channel == p.Channel && w.TS == p.TS && (w.User == "" || w.User == p.User) {
			if u, ok := f.user(w.User); ok {
				w.User = u.Name
			}
			out.Whispers = append(out.Whispers, w)
		}
	}
	return out
}

// pressable lets the buttons of what a message says now be pressed.
func (c *contentView) pressable(p Press) {
	for _, parts := range append([][]Part{c.Parts}, bars(c.Bars)...) {
		for i := range parts {
			parts[i].Press = &p
		}
	}
}

func bars(in []barView) [][]Part {
	var out [][]Part
	for _, b := range in {
		out = append(out, b.Parts)
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

func (f *Fake) servePage(w http.ResponseWriter, r *http.Request) {
	show(w, "page.html", f.view(r.URL.Query().Get("user")))
}

// serveConfirm shows the dialogue of a button.
func (f *Fake) serveConfirm(w http.ResponseWriter, p Press, b Button) {
	show(w, "confirm.html", struct {
		Press
		Button Button
	}{p, b})
}

func show(w http.ResponseWriter, name string, data any) {
	t, err := template.New(name).Funcs(template.FuncMap{
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"text":  func(s string) []Span { return mrkdwn(s, false, false) },
	}).ParseFS(assets, "*.html")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = t.Execute(w, data)
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, assets, "style.css")
}
