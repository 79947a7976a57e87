package slack

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
)

const (
	maxBody = 1 << 20
	window  = 5 * time.Minute         // Slack's advice (docs.slack.dev, verifying requests)
	hurry   = 2500 * time.Millisecond // Slack waits three seconds
)

// Callback serves the presses that Slack sends over HTTP. Without a signing
// secret there is nothing to serve.
func (t *target) Callback(d notify.Desk) http.Handler {
	if len(t.signing) == 0 {
		return http.NotFoundHandler()
	}
	return &callback{target: t, desk: d, done: &replays{}}
}

type callback struct {
	*target
	desk notify.Desk
	done *replays
}

// ServeHTTP answers 200 once a press is durable, and 503 where it is not: then
// Slack tells the person that it did not work.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), hurry)
	defer cancel()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body cannot be read, or is too large", http.StatusRequestEntityTooLarge)
		return
	}
	signature, err := verify(c.signing, r.Header, body, c.now())
	if err != nil {
		c.log.Warn("interaction refused", "err", err)
		http.Error(w, "not signed by Slack", http.StatusUnauthorized)
		return
	}
	if c.done.seen(signature, c.now()) {
		c.log.Warn("interaction came again and changes nothing")
		return
	}
	form, err := url.ParseQuery(string(body)) // never the address, which nothing signs
	if err != nil {
		http.Error(w, "not a form", http.StatusBadRequest)
		return
	}
	p, err := parse([]byte(form.Get("payload")))
	if err != nil {
		c.log.Warn("interaction cannot be read", "err", err)
		http.Error(w, "not an interaction", http.StatusBadRequest)
		return
	}
	if err := c.take(ctx, c.desk, p); err != nil {
		c.log.Error("press could not be kept", "err", err)
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	c.done.add(signature, c.now())
}

// verify checks Slack's signature, version v0: HMAC-SHA256 over the time stamp
// and the raw body, by any of the secrets, within the window. It returns the
// signature, which covers the time stamp.
func verify(secrets []config.Secret, h http.Header, body []byte, now time.Time) ([sha256.Size]byte, error) {
	var signature [sha256.Size]byte
	stamp := h.Get("X-Slack-Request-Timestamp")
	sec, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || sec < 0 {
		return signature, errors.New("no time stamp")
	}
	if age := now.Sub(time.Unix(sec, 0)); age.Abs() > window {
		return signature, fmt.Errorf("time stamp is %s old", age.Round(time.Second))
	}
	given, found := strings.CutPrefix(h.Get("X-Slack-Signature"), "v0=")
	raw, err := hex.DecodeString(given)
	if !found || err != nil || len(raw) != sha256.Size {
		return signature, errors.New("no signature of version v0")
	}
	signature = [sha256.Size]byte(raw)
	good := false
	for _, s := range secrets {
		mac := hmac.New(sha256.New, []byte(s.Reveal()))
		mac.Write([]byte("v0:" + stamp + ":"))
		mac.Write(body)
		if hmac.Equal(mac.Sum(nil), signature[:]) {
			good = true // and go on: how long it takes tells nothing
		}
	}
	if !good {
		return signature, errors.New("signature is not right")
	}
	return signature, nil
}

// replays remembers the signatures of what was done, for as long as their time
// stamps are good. More than it can hold is done again, which changes nothing:
// the event has the same id.
type replays struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

const maxReplays = 10000

func (r *replays) seen(signature [sha256.Size]byte, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.until[signature].After(now)
}

func (r *replays) add(signature [sha256.Size]byte, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil || len(r.until) >= maxReplays {
		r.sweep(now)
	}
	r.until[signature] = now.Add(2 * window) // a stamp may be from as far ahead
}

func (r *replays) sweep(now time.Time) {
	kept := map[[sha256.Size]byte]time.Time{}
	for signature, until := range r.until {
		if until.After(now) && len(kept) < maxReplays/2 {
			kept[signature] = until
		}
	}
	r.until = kept
}
