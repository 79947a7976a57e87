package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

const (
	// seenFor is how long a body is remembered: as long as Alertmanager sends one
	// again whose answer it lost. Not longer: a reminder may be the same to the byte.
	seenFor = 2 * time.Minute
	// readFor is how long a request may take to arrive.
	readFor = 15 * time.Second
	// weighs is the least a request counts for in Limits.InFlight.
	weighs = 64 << 10
)

// Handler takes Alertmanager's webhooks (version 4). It answers 202 once a
// webhook is on disk; 401, 403 and 405 where the sender's config is wrong; and
// 503 for all that may pass: Alertmanager sends again what got a 5xx, and
// nothing that got a 4xx.
type Handler struct {
	Clusters      []Cluster
	Users         []string          // whose passwords the listener checks (WebUsers); no other user name is believed
	GitHubSecrets []config.Secret   // whose signature lets changes in that GitHub sends
	Anonymous     string            // cluster of requests without credentials; "": they are refused
	Watchdogs     map[string]string // by cluster: the alertname of its heartbeat, which pages nobody
	Limits        Limits
	Door          *Door
	Log           *slog.Logger
	Now           func() time.Time
	Tracer        trace.Tracer // nil: no traces
	Vigil         *Vigil       // nil: the door never fails open
	Teller        Teller       // tells past the store, when Vigil says so
	Warmer        Warmer       // is told of alerts before they are pages; nil: nobody is
	Metrics       *Metrics

	inFlight atomic.Int64
	ration   ration
}

// delivery is one request that was read.
type delivery struct {
	cluster string
	body    []byte
	sum     string // hex SHA-256 of cluster and body
	at      time.Time
}

// admit stores what follows from a body, unless it is the one that was accepted
// last for its problem: then the error is store.ErrConflict. An older one that
// comes again is news: an alert that was silenced in between is back.
func (h *Handler) admit(ctx context.Context, d delivery, problem string, ops ...store.Op) error {
	key := store.SeenKey(problem)
	for {
		last, err := h.Door.Store.Get(ctx, key)
		seen := store.Swap(key, last.Rev, []byte(d.sum))
		switch {
		case errors.Is(err, store.ErrNotFound):
			seen = store.Create(key, []byte(d.sum))
		case errors.Is(err, store.ErrDamaged): // better twice than never
			seen = store.Put(key, []byte(d.sum))
		case err != nil:
			return err
		case string(last.Value) == d.sum:
			return store.ErrConflict
		}
		seen = seen.Until(d.at.Add(seenFor))
		if err := h.Door.apply(ctx, append(slices.Clip(ops), seen)...); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// answer is what is said to Alertmanager, which logs it if it is an error.
type answer struct {
	code    int
	Status  string `json:"status"`
	Problem string `json:"problem,omitempty"`
	Error   string `json:"error,omitempty"`
}

// ServeHTTP answers one webhook as Handler says.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := h.Now()
	cluster, ok := h.authenticate(r)
	ctx, span := h.tracer().Start(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)),
		"webhook", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("cluster", cluster)))
	defer span.End()
	var a answer
	if ok {
		a = h.serve(ctx, w, r, cluster)
	} else {
		h.Log.Warn("webhook with wrong credentials", "remote", r.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="tocsin"`)
		a = answer{code: http.StatusUnauthorized, Status: "denied", Error: "no cluster has these credentials: compare http_config in the receiver's webhook_configs with inbound_token_files"}
	}
	span.SetAttributes(attribute.String("outcome", a.Status), attribute.String("problem", a.Problem))
	h.Metrics.answered(cluster, a.Status, h.Now().Sub(began))
	if a.code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.code)
	_ = json.NewEncoder(w).Encode(a) // who does not hear it sends again
}

func (h *Handler) tracer() trace.Tracer {
	if h.Tracer == nil {
		return noop.Tracer{}
	}
	return h.Tracer
}

func (h *Handler) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, cluster string) answer {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return answer{code: http.StatusMethodNotAllowed, Status: "refused", Error: "send webhooks by POST"}
	}
	// The Content-Type says nothing that the body does not: no page is lost for it.
	if byBrowser(r) {
		return answer{code: http.StatusForbidden, Status: "refused", Error: "send webhooks from Alertmanager, not from a browser"}
	}
	size := r.ContentLength
	if size < 0 || size > h.Limits.Body {
		size = h.Limits.Body
	}
	weight := max(size, weighs)
	defer h.inFlight.Add(-weight)
	if h.inFlight.Add(weight) > max(h.Limits.InFlight, weight) {
		return answer{code: http.StatusServiceUnavailable, Status: "overloaded", Error: "too many webhooks at once: send it again"}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readFor)) // a recorder has none
	body, err := h.read(r.Body, size)
	if err != nil {
		h.Log.Warn("webhook did not arrive whole", "cluster", cluster, "err", err)
		return answer{code: http.StatusServiceUnavailable, Status: "torn", Error: "the body did not arrive whole: send it again"}
	}
	h.Metrics.read(len(body))
	// Who hung up must not stop what was read from being stored.
	return h.accept(context.WithoutCancel(ctx), h.deliveryOf(cluster, body), r.Header.Get("Content-Encoding"))
}

func (h *Handler) deliveryOf(cluster string, body []byte) delivery {
	sum := sha256.Sum256(append(append(make([]byte, 0, len(cluster)+1+len(body)), cluster+"\x00"...), body...))
	return delivery{cluster: cluster, body: body, sum: hex.EncodeToString(sum[:]), at: h.Now()}
}

// byBrowser reports whether some web site may be having a browser post here: one
// that is let in by where it stands, or by what it adds by itself (a password it
// remembers, a certificate). No site can add a bearer token.
func byBrowser(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return !strings.EqualFold(scheme, "Bearer") && (r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "")
}

// read reads a body up to one byte more than it may have, and some of the rest:
// a sender that is cut off while it writes might not hear our answer.
func (h *Handler) read(from io.Reader, size int64) ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := io.Copy(buf, io.LimitReader(from, h.Limits.Body+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > h.Limits.Body {
		_, _ = io.CopyN(io.Discard, from, h.Limits.Body)
	}
	return buf.Bytes(), nil
}

// accept makes a webhook durable, and only then says so.
func (h *Handler) accept(ctx context.Context, d delivery, encoding string) answer {
	if since, open := h.failsOpen(); open {
		return h.pass(ctx, d, encoding, since)
	}
	e, err := h.store(ctx, d, encoding)
	status := "accepted"
	if bad, ok := errors.AsType[*Unreadable](err); ok {
		h.Log.Error("webhook is quarantined", "cluster", d.cluster, "reason", bad.Reason, "key", store.QuarantineKey(d.sum), "err", bad)
		e, err = h.quarantine(ctx, d, bad)
		if status = "quarantined"; err == nil {
			h.Metrics.quarantined(d.cluster, bad.Reason)
		}
	}
	switch {
	case err == nil:
		return answer{code: http.StatusAccepted, Status: status, Problem: e.Problem}
	case errors.Is(err, store.ErrConflict):
		return answer{code: http.StatusAccepted, Status: "duplicate", Problem: e.Problem}
	default:
		if h.Vigil != nil {
			h.Vigil.Suspect()
		}
		h.Log.Error("webhook is not stored and will be sent again", "cluster", d.cluster, "page", e.Problem, "err", err)
		return answer{code: http.StatusServiceUnavailable, Status: "failed", Error: "it is not stored: send it again"}
	}
}

// failsOpen reports whether the store is unusable for so long that critical
// alerts pass by it.
func (h *Handler) failsOpen() (since time.Time, open bool) {
	if h.Vigil == nil {
		return time.Time{}, false
	}
	return h.Vigil.Open()
}

// pass takes a webhook while the store is unusable: what is critical is told at
// once, and acknowledged when a target has it; all else is to be sent again.
func (h *Handler) pass(ctx context.Context, d delivery, encoding string, since time.Time) answer {
	e, err := h.event(ctx, d, encoding)
	if err == nil {
		err = h.Vigil.pass(ctx, e, h.Teller)
	}
	switch {
	case err == nil:
		h.Log.Warn("webhook is told past the store", "cluster", d.cluster, "page", e.Problem, "failed_since", since)
		return answer{code: http.StatusAccepted, Status: "passed", Problem: e.Problem}
	case !errors.Is(err, errDeferred):
		h.Log.Error("webhook is neither stored nor told and will be sent again", "cluster", d.cluster, "page", e.Problem, "err", err)
	}
	return answer{code: http.StatusServiceUnavailable, Status: "failed", Error: "the store is unusable: send it again"}
}

// event decodes a webhook. The error is *Unreadable where the body itself is at fault.
func (h *Handler) event(ctx context.Context, d delivery, encoding string) (page.Event, error) {
	if encoding != "" && encoding != "identity" {
		return page.Event{}, unreadable(ReasonEncoding, "", "Content-Encoding is %.20q: send the body as it is", encoding)
	}
	n, err := Decode(d.cluster, d.body, h.Limits)
	if err != nil {
		return page.Event{}, err
	}
	return page.Event{
		Problem: n.ProblemID(), Kind: page.Notified, Actor: "alertmanager/" + d.cluster, At: d.at, Notification: &n,
		// The same body after the window is another event: a reminder.
		ID: d.sum + "/" + d.at.UTC().Format(time.RFC3339Nano), Trace: traceparent(ctx),
	}, nil
}

// store decodes a webhook and stores its event.
func (h *Handler) store(ctx context.Context, d delivery, encoding string) (page.Event, error) {
	e, err := h.event(ctx, d, encoding)
	if err != nil {
		return e, err
	}
	if h.isBeat(*e.Notification) {
		return e, h.beat(ctx, d, *e.Notification)
	}
	op, err := enqueue(e)
	if errors.Is(err, store.ErrTooLarge) {
		return e, unreadable(ReasonSize, "", "it grows beyond %d bytes: set max_alerts in the receiver's webhook_configs, or group by more labels", store.MaxDecoded)
	}
	if err != nil {
		return e, err
	}
	return e, h.admit(ctx, d, e.Problem, op)
}

func traceparent(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c["traceparent"]
}
