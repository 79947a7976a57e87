package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

const (
	// ChangesKept is how long a change is remembered.
	ChangesKept = 7 * 24 * time.Hour
	// maxChange is the longest body of a change, in bytes.
	maxChange = 1 << 20
)

// changeLimits bound the body of one change: an Argo CD application lists all
// its resources, and none of them nests deeper.
func changeLimits() Limits {
	l := DefaultLimits()
	l.Body = maxChange
	return l
}

// ServeChange takes a change: a deploy, a new config, a failover. It answers
// 202 once the change is on disk, or known already, or of a kind that changes
// nothing (a deployment that is only queued); 400 for what it cannot read, for
// whoever sends changes is told what is wrong with them; and 503 for what may pass.
func (h *Handler) ServeChange(w http.ResponseWriter, r *http.Request) {
	a := h.change(w, r)
	h.Metrics.changed(a.Status)
	switch a.code {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tocsin"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.code)
	_ = json.NewEncoder(w).Encode(a) // who does not hear it sends again
}

func (h *Handler) change(w http.ResponseWriter, r *http.Request) answer {
	cluster, ok := github, true
	if !h.signed(r) {
		cluster, ok = h.authenticate(r)
	}
	switch {
	case !ok:
		h.Log.Warn("change with wrong credentials", "remote", r.RemoteAddr)
		return answer{code: http.StatusUnauthorized, Status: "denied", Error: "no cluster has these credentials: send a bearer token of its inbound_token_files, or from GitHub a body signed with a secret of changes.github_secret_files"}
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return answer{code: http.StatusMethodNotAllowed, Status: "refused", Error: "send changes by POST"}
	case byBrowser(r):
		return answer{code: http.StatusForbidden, Status: "refused", Error: "send changes from where they are made, not from a browser"}
	}
	defer h.inFlight.Add(-maxChange)
	if h.inFlight.Add(maxChange) > max(h.Limits.InFlight, maxChange) {
		return answer{code: http.StatusServiceUnavailable, Status: "overloaded", Error: "too many requests at once: send it again"}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readFor)) // a recorder has none
	body, err := io.ReadAll(io.LimitReader(r.Body, maxChange+1))
	if err != nil {
		return answer{code: http.StatusServiceUnavailable, Status: "torn", Error: "the body did not arrive whole: send it again"}
	}
	if h.signed(r) {
		if a, ok := h.vouched(r, body); !ok {
			return a
		}
	}
	c, err := DecodeChange(body, h.Now())
	switch {
	case errors.Is(err, ErrNoChange):
		return answer{code: http.StatusAccepted, Status: "ignored"}
	case err != nil:
		return answer{code: http.StatusBadRequest, Status: "unreadable", Error: err.Error()}
	}
	c.Source = "webhook/" + cluster
	return h.keep(context.WithoutCancel(r.Context()), c)
}

// keep makes a change durable, once.
func (h *Handler) keep(ctx context.Context, c page.Change) answer {
	value, err := store.Marshal(c)
	if err != nil {
		return answer{code: http.StatusBadRequest, Status: "unreadable", Error: "it is too large"}
	}
	sum := changeSum(c)
	until := h.Now().Add(ChangesKept)
	err = h.Door.apply(ctx,
		store.Create(store.ChangeIDKey(sum), []byte(c.At.UTC().Format(time.RFC3339))).Until(until),
		store.Put(store.ChangeKey(c.At, sum), value).Until(until))
	switch {
	case err == nil:
		return answer{code: http.StatusAccepted, Status: "accepted"}
	case errors.Is(err, store.ErrConflict):
		return answer{code: http.StatusAccepted, Status: "duplicate"}
	}
	h.Log.Error("change is not stored", "source", c.Source, "err", err)
	return answer{code: http.StatusServiceUnavailable, Status: "failed", Error: "it is not stored: send it again"}
}

// changeSum names a change by its sender's id. The clusters share one name
// space, for one deploy may be reported to each of them.
func changeSum(c page.Change) string {
	sum := sha256.Sum256([]byte("change\x00" + c.ID))
	return hex.EncodeToString(sum[:])
}

// ErrNoChange is returned for a body that is well and says that nothing was changed.
var ErrNoChange = errors.New("nothing was changed")

// Bounds of a change, in bytes.
const (
	maxChangeWord   = 256
	maxChangeLink   = 2000
	maxChangeLabels = 32
	maxAhead        = 5 * time.Minute // clocks differ
)

// DecodeChange reads a change in any of the forms that are known: Tocsin's own,
// GitHub's deployment and deployment_status, an Argo CD application, or an event
// of Kubernetes. A change without a time was made now.
func DecodeChange(body []byte, now time.Time) (page.Change, error) {
	if err := changeLimits().scan(body); err != nil {
		return page.Change{}, err
	}
	var forms changeForms
	if err := json.Unmarshal(body, &forms); err != nil {
		return page.Change{}, unreadable(ReasonSyntax, "", "the body is not the JSON of a change: send {\"kind\", \"title\", \"labels\", \"at\", \"id\", \"link\"}")
	}
	c, err := forms.change()
	if err != nil {
		return page.Change{}, err
	}
	if c.At.IsZero() {
		c.At = now
	}
	return c, checkChange(&c, now)
}

// checkChange bounds what is kept, and names a change that has no id by what it says.
func checkChange(c *page.Change, now time.Time) error {
	switch {
	case c.Kind == "":
		return unreadable(ReasonField, "kind", "it is missing: write what was done, as deploy, config or failover")
	case c.Title == "":
		return unreadable(ReasonField, "title", "it is missing: write what it is known by, as v42")
	case c.At.After(now.Add(maxAhead)):
		return unreadable(ReasonField, "at", "it is in the future: write when the change was made")
	case c.At.Before(now.Add(-ChangesKept)):
		return ErrNoChange // nobody would ask for it any more
	case len(c.Labels) > maxChangeLabels:
		return unreadable(ReasonSize, "labels", "more than %d of them: name the service and the place", maxChangeLabels)
	}
	for field, s := range map[string]string{"kind": c.Kind, "title": c.Title, "id": c.ID} {
		if len(s) > maxChangeWord {
			return unreadable(ReasonSize, field, "it is longer than %d bytes", maxChangeWord)
		}
	}
	for name, v := range c.Labels {
		if len(name) > maxChangeWord || len(v) > maxChangeWord {
			return unreadable(ReasonSize, "labels", "one is longer than %d bytes", maxChangeWord)
		}
	}
	if u, ok := page.WebURL(c.Link); !ok || len(u) > maxChangeLink {
		c.Link = ""
	}
	if c.ID == "" {
		c.ID = strings.Join([]string{c.Kind, c.Title, c.Labels.ID(), c.At.UTC().Truncate(time.Second).Format(time.RFC3339)}, "/")
	}
	c.At = c.At.UTC()
	return nil
}
