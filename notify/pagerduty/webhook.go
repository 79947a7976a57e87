package pagerduty

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

const (
	maxWebhook    = 256 << 10 // PagerDuty sends none that are larger
	maxSignatures = 16        // in one header
	// PagerDuty waits 5 s for an answer.
	hearing = 4 * time.Second
	// PagerDuty tries for 48 h; what is older is somebody else's replay.
	tooOld = 72 * time.Hour
)

// Callback receives v3 webhooks. Three of them that are answered 4xx in a row
// switch the subscription off for a day, so 4xx is only for who is not
// PagerDuty: trouble of ours is 503, which is tried again, and what is of no use
// here is accepted.
func (t *target) Callback(d notify.Desk) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(t.receive(d, r))
	})
}

// receive returns the status to answer with.
func (t *target) receive(d notify.Desk, r *http.Request) int {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed
	}
	if len(t.webhooks) == 0 {
		t.log.Error("webhook of PagerDuty cannot be verified: write webhook_secret_files", "notifier", t.name)
		return http.StatusServiceUnavailable
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxWebhook+1))
	switch {
	case err != nil:
		return http.StatusServiceUnavailable
	case len(body) > maxWebhook:
		return http.StatusRequestEntityTooLarge
	case !t.genuine(r.Header, body):
		t.log.Warn("webhook with a wrong signature is refused", "notifier", t.name)
		return http.StatusUnauthorized
	}
	e, err := decode(body)
	if err != nil {
		t.log.Error("webhook of PagerDuty cannot be read and is dropped", "notifier", t.name, "err", err)
		return http.StatusAccepted
	}
	ctx, cancel := context.WithTimeout(r.Context(), hearing)
	defer cancel()
	if err := t.hear(ctx, d, e); err != nil {
		t.log.Error("webhook of PagerDuty is left to be sent again", "notifier", t.name, "event", e.Type, "err", err)
		return http.StatusServiceUnavailable
	}
	return http.StatusAccepted
}

// genuine reports whether one of the signatures is of one of our secrets. The
// check of go-pagerduty's webhookv3 takes one secret, reads only the first
// header line, cuts a long body silently, and stops at the first match.
func (t *target) genuine(h http.Header, body []byte) bool {
	given := signatures(h)
	ok := false
	for _, secret := range t.webhooks {
		mac := hmac.New(sha256.New, []byte(secret.Reveal()))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, sig := range given {
			ok = hmac.Equal(want, sig) || ok
		}
	}
	return ok
}

// signatures reads X-PagerDuty-Signature: "v1=<hex>,v1=<hex>". Versions that are
// not known are left out.
func signatures(h http.Header) [][]byte {
	var out [][]byte
	for part := range strings.SplitSeq(strings.Join(h.Values("X-PagerDuty-Signature"), ","), ",") {
		text, ok := strings.CutPrefix(strings.TrimSpace(part), "v1=")
		if !ok || len(out) == maxSignatures || len(text) != 2*sha256.Size {
			continue
		}
		if sig, err := hex.DecodeString(text); err == nil {
			out = append(out, sig)
		}
	}
	return out
}

// heard is what webhooks said of an incident.
type heard struct {
	key string
	at  time.Time // of the last acknowledgement or its end
}

// hear puts on the desk what a person did. An error says that it has to be sent
// again.
func (t *target) hear(ctx context.Context, d notify.Desk, e webhook) error {
	t.heard.change(e.incident(), func(h heard) heard {
		if e.Data.Key != "" {
			h.key = e.Data.Key
		}
		return h
	})
	act, ok := e.act()
	if !ok || t.now().Sub(e.At) > tooOld {
		return nil
	}
	key, err := t.keyOf(ctx, e)
	if err != nil || key == "" {
		return err
	}
	r, err := d.Lookup(ctx, key)
	if errors.Is(err, notify.ErrNotFound) {
		return nil // an incident of somebody else's
	}
	if err != nil {
		return err
	}
	if t.overtaken(e, act) {
		return nil
	}
	act.Via = t.name
	err = d.Put(ctx, page.Event{
		Problem: r.Problem, Episode: r.Episode, Kind: page.Acted, ID: t.name + "/" + e.ID,
		Actor: t.name, At: t.now(), Act: &act,
	})
	if err != nil {
		return err
	}
	if takes(act) {
		t.heard.change(e.incident(), func(h heard) heard {
			if e.At.After(h.at) {
				h.at = e.At
			}
			return h
		})
	}
	return nil
}

func takes(a page.Act) bool { return a.Verb == page.Acknowledge || a.Verb == page.Unacknowledge }

// overtaken reports whether who has the incident was told by a later event
// already. PagerDuty keeps the order of an incident's webhooks, but for large
// ones and those of other subscriptions.
func (t *target) overtaken(e webhook, a page.Act) bool {
	h, _ := t.heard.get(e.incident())
	return takes(a) && e.At.Before(h.at)
}

// keyOf returns the dedup key of the event's incident, "" where it cannot be
// known: a webhook about a note names the incident, not its key.
func (t *target) keyOf(ctx context.Context, e webhook) (string, error) {
	if e.Data.Key != "" {
		return e.Data.Key, nil
	}
	if h, _ := t.heard.get(e.incident()); h.key != "" {
		return h.key, nil
	}
	if t.rest == nil || e.incident() == "" {
		return "", nil
	}
	key, err := t.rest.keyOf(ctx, e.incident())
	if class := remote.ClassOf(err); err != nil && class != remote.NotSent && class != remote.Unknown {
		t.log.Warn("incident of a webhook cannot be read: it is dropped", "notifier", t.name, "event", e.Type, "err", err)
		return "", nil
	}
	return key, err
}
