// Package web is the page's own page: what is open, one problem with all that is
// known of it, and the history, rendered here and live in the browser.
package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed static/*
var static embed.FS

// Server serves people with browsers. All fields but Draw and Owner must be set.
type Server struct {
	Archive   *Archive
	Board     *Board
	Acts      *Acts
	Operators func() Operators
	Log       *slog.Logger
	Now       func() time.Time
	Metrics   *Metrics
	Closing   <-chan struct{} // closed when the listener ends: live pages do not hold it up
	// Draw draws a chart as SVG; nil: no charts.
	Draw func(c page.Chart, dark bool) ([]byte, error)
	// Owner names whose problem it is; nil, or "": nobody's.
	Owner func(page.Page) string

	views *template.Template
	gate  turnstile
	live  chan struct{} // a place for each live page
}

// Routes adds the pages to a mux. It is called once.
func (s *Server) Routes(mux *http.ServeMux) error {
	views, err := template.New("").Funcs(functions()).ParseFS(templates, "templates/*.html")
	if err != nil {
		return fmt.Errorf("read templates: %w", err)
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		return fmt.Errorf("read static files: %w", err)
	}
	s.views, s.live = views, make(chan struct{}, maxLive)
	plain := func(pattern string, h http.Handler) { mux.Handle(pattern, armoured(h)) }
	plain("GET /static/", cached(http.StripPrefix("/static/", http.FileServerFS(files))))
	plain("GET /login", http.HandlerFunc(s.showLogin))
	plain("POST /login", http.HandlerFunc(s.login))
	plain("POST /logout", s.visited(s.logout))
	plain("GET /{$}", s.visited(s.list))
	plain("GET /history", s.visited(s.history))
	plain("GET /events", s.visited(s.events))
	plain("GET /pages/{id}", s.visited(s.page))
	plain("GET /pages/{id}/chart.svg", s.visited(s.chart))
	plain("GET /pages/{id}/silence", s.visited(s.confirmSilence))
	plain("POST /pages/{id}/acts", s.visited(s.act))
	return nil
}

// armoured sets what keeps a browser from doing what a page does not ask for.
func armoured(next http.Handler) http.Handler {
	const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// cached lets browsers keep files for an hour: a new release may bring others
// under the same names.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		next.ServeHTTP(w, r)
	})
}

// visited lets those in who have signed in, or all that are near where there
// are no tokens; others are sent to the door.
func (s *Server) visited(next func(http.ResponseWriter, *http.Request, visitor)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := s.Operators()
		if who.Open() {
			if err := who.Near(r); err != nil {
				s.trouble(w, r, visitor{}, &Refusal{http.StatusForbidden, err.Error()})
				return
			}
			next(w, r, visitor{Operator: Anyone(), Form: s.formToken(w, r), Open: true})
			return
		}
		if c, err := r.Cookie(sessionCookie); err == nil {
			if v, ok := open(who, c.Value, s.Now()); ok {
				next(w, r, v)
				return
			}
		}
		if r.Method != http.MethodGet || wantsPart(r) || strings.HasPrefix(r.URL.Path, "/events") {
			s.trouble(w, r, visitor{}, &Refusal{http.StatusUnauthorized, "sign in first"})
			return
		}
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	})
}

// wantsPart reports whether only the live part of a page is asked for.
func wantsPart(r *http.Request) bool { return r.Header.Get("X-Tocsin-Part") != "" }

// frame is what every page shows around its own part.
type frame struct {
	Name    string // of the browser's tab
	Visitor visitor
	Now     time.Time
	Live    bool   // it changes by itself
	Follow  string // the problem whose changes it shows; "": of all
	Body    any
}

// show renders a page, or only its live part, which is the same template.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, name string, f frame) {
	f.Now = s.Now()
	var b bytes.Buffer
	var err error
	for _, part := range []string{"head", name, "foot"} {
		if part != name && wantsPart(r) {
			continue
		}
		err = errors.Join(err, s.views.ExecuteTemplate(&b, part, f))
	}
	if err != nil {
		s.Log.Error("render page", "template", name, "err", err)
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the client has gone: nobody to tell
}

// trouble shows what went wrong, in words.
func (s *Server) trouble(w http.ResponseWriter, r *http.Request, v visitor, err error) {
	status, text := http.StatusServiceUnavailable, "The store could not be read. Try again in a moment."
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		status, text = refusal.Status, refusal.Text
	} else if missing(err) {
		status, text = http.StatusNotFound, "No page has this address. What is over is dropped after the retention of the store."
	} else {
		s.Log.Error("serve page", "path", r.URL.Path, "err", err)
	}
	s.show(w, r, status, "trouble", frame{Name: http.StatusText(status), Visitor: v, Body: text})
}

type loginForm struct {
	Form, Next, Wrong string
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) {
	if s.Operators().Open() {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.askForToken(w, r, http.StatusOK, r.URL.Query().Get("next"), "")
}

func (s *Server) askForToken(w http.ResponseWriter, r *http.Request, status int, next, wrong string) {
	s.show(w, r, status, "login", frame{Name: "Sign in", Body: loginForm{s.formToken(w, r), localPath(next), wrong}})
}

// maxForm is how much of a form is read.
const maxForm = 64 << 10

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	next, addr := r.PostFormValue("next"), addressOf(r)
	c, err := r.Cookie(formCookie)
	switch {
	case s.gate.blocked(addr, s.Now()):
		s.Metrics.logins.WithLabelValues("blocked").Inc()
		w.Header().Set("Retry-After", "60")
		s.askForToken(w, r, http.StatusTooManyRequests, next, "Too many wrong tokens. Wait a minute.")
		return
	case err != nil || !formed(r, c.Value):
		s.askForToken(w, r, http.StatusForbidden, next, "This form had expired. Try again.")
		return
	}
	o, ok := s.Operators().ByToken(strings.TrimSpace(r.PostFormValue("token")))
	if !ok {
		s.gate.wrong(addr, s.Now())
		s.Metrics.logins.WithLabelValues("wrong").Inc()
		s.Log.Warn("sign in refused", "addr", addr)
		s.askForToken(w, r, http.StatusUnauthorized, next, "No operator has this token.")
		return
	}
	s.Metrics.logins.WithLabelValues("ok").Inc()
	s.Log.Info("signed in", "operator", o.Name, "addr", addr)
	s.setCookie(w, r, sessionCookie, issue(o, s.Now()), sessionFor)
	http.Redirect(w, r, localPath(next), http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, v visitor) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if !formed(r, v.Form) {
		s.trouble(w, r, v, &Refusal{http.StatusForbidden, "This form had expired. Go back and try again."})
		return
	}
	s.setCookie(w, r, sessionCookie, "", -time.Second)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
