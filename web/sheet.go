package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tocsin/tocsin/page"
)

// What one problem's page shows at most; the rest is in the API.
const (
	maxMembers = 500
	maxLines   = 500 // of the timeline
	maxEpisode = 20  // links to episodes
)

// sheet is the page of one problem.
type sheet struct {
	page.Page
	State     string
	Headline  string
	Alone     string
	Reach     string
	Events    string
	Owner     string
	Since     time.Time
	Ended     time.Time
	Latest    bool // not an episode of before
	Episodes  []int
	Stages    []stage
	Members   []page.Alert
	Gone      []page.Alert // resolved while others fire
	Missing   int          // members that are not shown
	Lines     []page.Entry // newest first
	Earlier   int          // lines that are not shown
	Chart     bool
	Standing  []page.Silence
	Rules     []rule // of a storm
	Key       string // of the forms: pressed twice, a button does one thing
	Morning   time.Time
	Done      string // what was just asked for
	Responder bool   // may press buttons
}

// rule is one alertname inside a storm.
type rule struct {
	Name string
	page.Tally
}

// wanted reads which episode of which problem is asked for.
func wanted(r *http.Request) (problem string, episode int, err error) {
	if text := r.URL.Query().Get("episode"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return "", 0, refuse(http.StatusBadRequest, "episode: write a number")
		}
		episode = int(n)
	}
	return r.PathValue("id"), episode, nil
}

func (s *Server) page(w http.ResponseWriter, r *http.Request, v visitor) {
	problem, episode, err := wanted(r)
	if err == nil {
		var sh sheet
		if sh, err = s.sheet(r.Context(), problem, episode); err == nil {
			sh.Responder = v.Acts
			sh.Done = done(page.Verb(r.URL.Query().Get("done")))
			s.show(w, r, http.StatusOK, "problem", frame{Name: clean(sh.Title), Visitor: v, Live: true, Follow: problem, Body: sh})
			return
		}
	}
	s.trouble(w, r, v, err)
}

// sheet gathers all that is known of an episode.
func (s *Server) sheet(ctx context.Context, problem string, episode int) (sheet, error) {
	v, err := s.Archive.Page(ctx, problem, episode)
	if err != nil {
		return sheet{}, err
	}
	latest := v
	if episode != 0 {
		if latest, err = s.Archive.Page(ctx, problem, 0); err != nil {
			return sheet{}, err
		}
	}
	lines, err := s.Archive.Timeline(ctx, problem, v.Episode)
	if err != nil {
		return sheet{}, err
	}
	row := rowOf(v)
	sh := sheet{
		Page: v, State: state(v), Headline: row.Headline, Since: row.Since, Ended: row.Ended,
		Alone: page.Context{Traits: v.Traits, Onset: v.Onset}.Alone(), Reach: v.Impact.Words(), Events: v.Exemplars.Words(),
		Latest: v.Episode == latest.Episode, Stages: stages(v.Clock), Members: v.Alerts, Gone: v.Resolved,
		Chart: s.Draw != nil && !v.Charted.IsZero(), Key: rand.Text(), Morning: Morning(s.Now()),
	}
	if s.Owner != nil {
		sh.Owner = s.Owner(v)
	}
	for n := latest.Episode; n > 0 && len(sh.Episodes) < maxEpisode; n-- {
		sh.Episodes = append(sh.Episodes, n)
	}
	sh.cut(lines)
	for _, silence := range v.Silences {
		if silence.Ended.IsZero() && silence.Error == "" && s.Now().Before(silence.Until) {
			sh.Standing = append(sh.Standing, silence)
		}
	}
	if v.Storm != nil {
		for name, t := range v.Storm.Rules {
			sh.Rules = append(sh.Rules, rule{name, t})
		}
		slices.SortFunc(sh.Rules, func(a, b rule) int {
			if d := a.Severity.Rank() - b.Severity.Rank(); d != 0 {
				return d
			}
			return b.Total - a.Total
		})
	}
	return sh, nil
}

// cut keeps the page readable where there is too much. Where no room wrote down
// a timeline, the page's own updates are one.
func (sh *sheet) cut(lines []page.Entry) {
	if len(lines) == 0 {
		for _, u := range sh.Updates {
			lines = append(lines, page.Entry{At: u.At, Kind: string(u.Kind), Actor: u.Actor, Text: u.Text, Evidence: u.Evidence})
		}
	}
	sh.Earlier = max(0, len(lines)-maxLines)
	sh.Lines = slices.Clone(lines[sh.Earlier:])
	slices.Reverse(sh.Lines)
	sh.Missing = max(0, len(sh.Members)-maxMembers) + max(0, len(sh.Gone)-maxMembers)
	sh.Members, sh.Gone = sh.Members[:min(len(sh.Members), maxMembers)], sh.Gone[:min(len(sh.Gone), maxMembers)]
}

// chart serves the chart as a picture, for ?dark=1 as for a dark screen.
func (s *Server) chart(w http.ResponseWriter, r *http.Request, v visitor) {
	problem, episode, err := wanted(r)
	if err == nil && s.Draw == nil {
		err = refuse(http.StatusNotFound, "charts are not drawn here")
	}
	var c page.Chart
	if err == nil {
		c, err = s.Archive.Chart(r.Context(), problem, episode)
	}
	var svg []byte
	if err == nil {
		svg, err = s.Draw(c, r.URL.Query().Get("dark") != "")
	}
	if err != nil {
		s.trouble(w, r, v, err)
		return
	}
	// opened by itself, a picture is a document: it may style itself and no more
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox")
	w.Header().Set("Content-Type", "image/svg+xml")
	_, _ = w.Write(svg) // the client has gone: nobody to tell
}

// silencing is the page that asks whether a silence is meant.
type silencing struct {
	page.Page
	Matchers []string
	For      string // the value of the form: "1h" or "morning"
	Until    time.Time
	Key      string
}

// length reads how long a form's silence lasts.
func length(text string, now time.Time) (time.Time, bool) {
	switch text {
	case "morning":
		return Morning(now), true
	case "1h":
		return now.Add(time.Hour), true
	case "4h":
		return now.Add(4 * time.Hour), true
	}
	return time.Time{}, false
}

func (s *Server) confirmSilence(w http.ResponseWriter, r *http.Request, v visitor) {
	sil := silencing{For: r.URL.Query().Get("for"), Key: rand.Text()}
	until, ok := length(sil.For, s.Now())
	if !ok {
		s.trouble(w, r, v, refuse(http.StatusBadRequest, "for: write 1h, 4h or morning"))
		return
	}
	if !v.Acts {
		s.trouble(w, r, v, lookOnly(v))
		return
	}
	var err error
	if sil.Page, err = s.Archive.Page(r.Context(), r.PathValue("id"), 0); err == nil {
		sil.Matchers, err = s.Acts.Silencing(r.Context(), r.PathValue("id"))
	}
	if err != nil {
		s.trouble(w, r, v, err)
		return
	}
	sil.Until = until
	s.show(w, r, http.StatusOK, "silence", frame{Name: "Silence", Visitor: v, Body: sil})
}

func lookOnly(v visitor) error {
	return refuse(http.StatusForbidden, "%s may look, not act. Role operator may.", v.Name)
}

// act takes a form and shows the page again, which shows what came of it.
func (s *Server) act(w http.ResponseWriter, r *http.Request, v visitor) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	wish := Wish{
		Operator: v.Name, Problem: r.PathValue("id"), Key: r.PostFormValue("key"),
		Act: page.Act{Verb: page.Verb(r.PostFormValue("verb")), Silence: r.PostFormValue("silence"), Text: r.PostFormValue("text"), Dispatch: r.PostFormValue("dispatch")},
	}
	wish.Episode, _ = strconv.Atoi(r.PostFormValue("episode")) // what is no number is the latest
	switch {
	case err != nil:
		err = refuse(http.StatusBadRequest, "the form could not be read")
	case !formed(r, v.Form):
		err = refuse(http.StatusForbidden, "This form had expired. Go back, reload the page and try again.")
	case !v.Acts:
		err = lookOnly(v)
	default:
		if wish.Act.Verb == page.SilenceIt {
			wish.Act.Until, _ = length(r.PostFormValue("for"), s.Now()) // none is refused
		}
		var event string
		if event, err = s.Acts.Put(r.Context(), wish); err == nil {
			s.Log.Info("operator acts", "page", wish.Problem, "operator", v.Name, "verb", wish.Act.Verb, "event", event)
		}
	}
	if err != nil {
		s.trouble(w, r, v, err)
		return
	}
	http.Redirect(w, r, "/pages/"+url.PathEscape(wish.Problem)+"?done="+url.QueryEscape(string(wish.Act.Verb)), http.StatusSeeOther)
}

// done says that a wish was taken; the page changes once it was worked on.
func done(verb page.Verb) string {
	return map[page.Verb]string{
		page.Acknowledge:   "Acknowledged.",
		page.Unacknowledge: "No longer acknowledged.",
		page.SilenceIt:     "Alertmanager is asked for the silence.",
		page.UnsilenceIt:   "Alertmanager is asked to end the silence.",
		page.NotUseful:     "Counted as not useful.",
		page.Remark:        "Noted.",
		page.ApproveIt:     "Your approval is handed in.",
		page.DenyIt:        "Your no is handed in.",
	}[verb]
}
