package fakeslack

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Variant is a way to send an interaction: as Slack does, or as somebody does
// who wants to be taken for it.
type Variant string

// The variants. All but Good must change nothing; Replayed sends a good one
// twice and tells the answer to the second.
const (
	Good         Variant = ""
	Unsigned     Variant = "unsigned"
	BadSignature Variant = "bad_signature"
	Stale        Variant = "stale"    // well signed, ten minutes ago
	Early        Variant = "early"    // well signed, ten minutes from now
	Tampered     Variant = "tampered" // the body is not the one that was signed
	Query        Variant = "query"    // the payload in the address, which nothing signs
	Replayed     Variant = "replayed"
)

// Sign returns Slack's signature of a request: HMAC-SHA256 over the version, the
// time stamp and the raw body.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// request sends a payload to the app's request URL and returns the status of
// its answer.
func (f *Fake) request(ctx context.Context, variant Variant, payload []byte) (int, error) {
	f.mu.Lock()
	a := f.app
	f.mu.Unlock()
	if a.Interactivity == "" {
		return 0, errors.New("the app has no request URL")
	}
	ctx, cancel := context.WithTimeout(ctx, patience+2*time.Second) // how late it is, is worth knowing
	defer cancel()
	at := f.opts.Now()
	switch variant {
	case Stale:
		at = at.Add(-10 * time.Minute)
	case Early:
		at = at.Add(10 * time.Minute)
	case Good, Unsigned, BadSignature, Tampered, Query, Replayed:
	}
	target, body := a.Interactivity, url.Values{"payload": {string(payload)}}.Encode()
	if variant == Query {
		target, body = target+"?"+body, ""
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	signature := Sign(a.SigningSecret, stamp, []byte(body))
	switch variant {
	case Unsigned:
		signature = ""
	case BadSignature:
		signature = Sign("another secret", stamp, []byte(body))
	case Tampered:
		body += "&x=1"
	case Good, Stale, Early, Query, Replayed:
	}
	status, err := send(ctx, target, stamp, signature, body)
	if variant == Replayed && err == nil {
		status, err = send(ctx, target, stamp, signature, body)
	}
	return status, err
}

func send(ctx context.Context, target, stamp, signature, body string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	req.Header.Set("X-Slack-Request-Timestamp", stamp)
	if signature != "" {
		req.Header.Set("X-Slack-Signature", signature)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, err
}
