package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A session is a cookie that its operator's token has signed: name, when it
// ends, and a number used once. Replicas share sessions because they share the
// tokens, nothing is stored, and a token that is taken away ends its sessions.
const (
	sessionCookie = "tocsin_session"
	formCookie    = "tocsin_form" // what forms carry where there is no session
	sessionFor    = 12 * time.Hour
)

// visitor is who asks for a page.
type visitor struct {
	Operator
	Form string // what the visitor's forms must carry
	Open bool   // there are no tokens: nobody to sign out
}

// sign returns the signature of a text by an operator's token, for one purpose.
func sign(o Operator, purpose, text string) string {
	m := hmac.New(sha256.New, o.Hash[:])
	m.Write([]byte("tocsin " + purpose + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// issue returns the value of a new session's cookie.
func issue(o Operator, now time.Time) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(o.Name)) + "." + strconv.FormatInt(now.Add(sessionFor).Unix(), 10) + "." + rand.Text()
	return text + "." + sign(o, "session", text)
}

// open returns whose session a cookie's value is.
func open(who Operators, value string, now time.Time) (visitor, bool) {
	at := strings.LastIndexByte(value, '.')
	if at < 0 || len(value) > 1024 {
		return visitor{}, false
	}
	text, signature := value[:at], value[at+1:]
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return visitor{}, false
	}
	name, err := base64.RawURLEncoding.DecodeString(parts[0])
	ends, err2 := strconv.ParseInt(parts[1], 10, 64)
	o, known := who.byName(string(name))
	if err != nil || err2 != nil || !known || subtle.ConstantTimeCompare([]byte(signature), []byte(sign(o, "session", text))) != 1 {
		return visitor{}, false
	}
	if !now.Before(time.Unix(ends, 0)) {
		return visitor{}, false
	}
	return visitor{Operator: o, Form: sign(o, "form", text)}, true
}

// setCookie sets a cookie that no script reads and no other site sends.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, name, value string, lasts time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(lasts / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.secure(r),
	})
}

// secure reports whether the browser came by TLS: to us, or to the proxy before us.
func (s *Server) secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// formToken returns what forms of somebody without a session carry: the value of
// a cookie that only we can set (double submit). It is set if it is not there.
func (s *Server) formToken(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(formCookie); err == nil && len(c.Value) >= 26 && len(c.Value) <= 64 {
		return c.Value
	}
	token := rand.Text()
	s.setCookie(w, r, formCookie, token, sessionFor)
	return token
}

// formed reports whether a form was made by us for this visitor.
func formed(r *http.Request, want string) bool {
	have := r.PostFormValue("form")
	return want != "" && subtle.ConstantTimeCompare([]byte(have), []byte(want)) == 1
}

// turnstile bounds wrong tokens by address: guessing is hopeless, but it need
// not be free.
type turnstile struct {
	mu    sync.Mutex
	tries map[string]tries
}

type tries struct {
	n     int
	since time.Time
}

const (
	maxTries     = 10 // wrong tokens of one address in triesWindow
	triesWindow  = time.Minute
	maxAddresses = 4096
)

// blocked reports whether an address has to wait.
func (t *turnstile) blocked(addr string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.tries[addr]
	return have.n >= maxTries && now.Sub(have.since) < triesWindow
}

// wrong counts a wrong token.
func (t *turnstile) wrong(addr string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tries == nil || len(t.tries) >= maxAddresses {
		t.tries = map[string]tries{} // who fills it with addresses has as many tries as addresses anyway
	}
	have := t.tries[addr]
	if now.Sub(have.since) >= triesWindow {
		have = tries{since: now}
	}
	have.n++
	t.tries[addr] = have
}

func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// localPath returns where to go after signing in: a path of ours, or "/".
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}
