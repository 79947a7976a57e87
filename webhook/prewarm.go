package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/tocsin/tocsin/page"
)

// Warmer is told of alerts before anybody is paged for them, so that the context
// of the page is at hand. It returns at once. by are the labels they are grouped
// by, nil where that is not known.
type Warmer interface {
	Warm(ctx context.Context, way string, alerts []page.Alert, by []string)
}

// preparedFor is for how long after it fired an alert is looked at: Prometheus sends
// it again and again, and by then it has its page.
const preparedFor = 5 * time.Minute

// maxPrewarm is the longest body that is read ahead of pages, in bytes, and
// prewarmAlerts how many alerts of it are looked at: Prometheus sends 256 at a time.
const (
	maxPrewarm    = 4 << 20
	prewarmAlerts = 1000
)

func prewarmLimits() Limits {
	l := DefaultLimits()
	l.Body = maxPrewarm
	return l
}

// ServeAlerts takes what Prometheus sends to an Alertmanager, POST /api/v2/alerts:
// it stands beside the others in `alertmanagers` and hears of alerts when they do.
// It answers 200 at once, keeps nothing and tells nobody.
func (h *Handler) ServeAlerts(w http.ResponseWriter, r *http.Request) {
	h.servePrewarm(w, r, func(ctx context.Context, body []byte) error {
		alerts, err := DecodePosted(body, h.Now())
		if len(alerts) > 0 {
			h.Warmer.Warm(ctx, "alerts", alerts, nil)
		}
		return err
	})
}

// ServeEvents takes what the event recorder of Alertmanager (0.33 and later) sends
// to a webhook, one event or a batch: an alert that was created, or came into a
// group, is looked at before the group is notified. It answers 200 at once, keeps
// nothing and tells nobody.
func (h *Handler) ServeEvents(w http.ResponseWriter, r *http.Request) {
	h.servePrewarm(w, r, func(ctx context.Context, body []byte) error {
		recorded, err := DecodeRecorded(body)
		for _, one := range recorded {
			h.Warmer.Warm(ctx, "events", one.Alerts, one.By)
		}
		return err
	})
}

func (h *Handler) servePrewarm(w http.ResponseWriter, r *http.Request, take func(context.Context, []byte) error) {
	a := h.prewarm(w, r, take)
	h.Metrics.prewarmed(a.Status)
	if a.code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="tocsin"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.code)
	_ = json.NewEncoder(w).Encode(a) // nothing depends on it
}

func (h *Handler) prewarm(w http.ResponseWriter, r *http.Request, take func(context.Context, []byte) error) answer {
	_, ok := h.authenticate(r)
	switch {
	case !ok:
		h.Log.Warn("alerts with wrong credentials", "remote", r.RemoteAddr)
		return answer{code: http.StatusUnauthorized, Status: "denied", Error: "no cluster has these credentials: send a bearer token of its inbound_token_files"}
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return answer{code: http.StatusMethodNotAllowed, Status: "refused", Error: "send alerts by POST"}
	case byBrowser(r):
		return answer{code: http.StatusForbidden, Status: "refused", Error: "send alerts from Prometheus or Alertmanager, not from a browser"}
	case h.Warmer == nil:
		return answer{code: http.StatusOK, Status: "ignored"}
	}
	// Webhooks go first: half of the room is theirs alone.
	defer h.inFlight.Add(-maxPrewarm)
	if h.inFlight.Add(maxPrewarm) > max(h.Limits.InFlight/2, maxPrewarm) {
		return answer{code: http.StatusOK, Status: "overloaded"}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readFor)) // a recorder has none
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPrewarm+1))
	if err != nil {
		return answer{code: http.StatusOK, Status: "torn"}
	}
	if err := take(context.WithoutCancel(r.Context()), body); err != nil {
		return answer{code: http.StatusBadRequest, Status: "unreadable", Error: err.Error()}
	}
	return answer{code: http.StatusOK, Status: "accepted"}
}

// posted is an alert as Prometheus posts it (Alertmanager's API v2, postableAlert).
type posted struct {
	Labels       page.Labels `json:"labels"`
	Annotations  page.Labels `json:"annotations"`
	StartsAt     time.Time   `json:"startsAt"`
	EndsAt       time.Time   `json:"endsAt"`
	GeneratorURL string      `json:"generatorURL"`
}

// DecodePosted reads the body of POST /api/v2/alerts and returns the alerts that
// fire now, and have not for long. What cannot be read is an *Unreadable error.
func DecodePosted(body []byte, now time.Time) ([]page.Alert, error) {
	var list []posted
	if err := decodePrewarm(body, &list); err != nil {
		return nil, err
	}
	limits := prewarmLimits()
	var out []page.Alert
	for _, p := range list[:min(len(list), prewarmAlerts)] {
		over := !p.EndsAt.IsZero() && !p.EndsAt.After(now)
		old := !p.StartsAt.IsZero() && p.StartsAt.Before(now.Add(-preparedFor))
		if over || old || p.Labels["alertname"] == "" || checkSet("labels", p.Labels, limits) != nil {
			continue
		}
		out = append(out, page.Alert{
			ID: p.Labels.ID(), Status: page.Firing, Labels: p.Labels, StartsAt: p.StartsAt, GeneratorURL: p.GeneratorURL,
		})
	}
	return out, nil
}

// Recorded is what an event says of alerts to come.
type Recorded struct {
	Alerts []page.Alert
	By     []string // names of the group's labels, nil where there is none yet
}

// recorded is an event of Alertmanager's recorder in the JSON form of its
// protobuf (eventrecorder.proto of v0.34): of its kinds only those that are read.
type recorded struct {
	Data struct {
		AlertCreated struct {
			Alert recordedAlert `json:"alert"`
		} `json:"alertCreated"`
		AlertGrouped struct {
			Alert struct {
				Details recordedAlert `json:"details"`
			} `json:"alert"`
			GroupInfo struct {
				GroupLabels labelPairs `json:"groupLabels"`
			} `json:"groupInfo"`
		} `json:"alertGrouped"`
	} `json:"data"`
}

type recordedAlert struct {
	Labels   labelPairs `json:"labels"`
	StartsAt time.Time  `json:"startsAt"`
	Resolved bool       `json:"resolved"`
}

type labelPairs struct {
	Labels []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"labels"`
}

func (p labelPairs) set() page.Labels {
	out := page.Labels{}
	for _, l := range p.Labels {
		out[l.Key] = l.Value
	}
	return out
}

// DecodeRecorded reads one event or an array of them. Events of other kinds say
// nothing. What cannot be read is an *Unreadable error.
func DecodeRecorded(body []byte) ([]Recorded, error) {
	var list []recorded
	if err := decodePrewarm(body, &list); err != nil {
		var one recorded
		if decodePrewarm(body, &one) != nil {
			return nil, err
		}
		list = []recorded{one}
	}
	limits := prewarmLimits()
	alone, grouped := Recorded{}, map[string]*Recorded{}
	var order []string
	for _, e := range list[:min(len(list), prewarmAlerts)] {
		for _, a := range []recordedAlert{e.Data.AlertCreated.Alert, e.Data.AlertGrouped.Alert.Details} {
			ls := a.Labels.set()
			if ls["alertname"] == "" || a.Resolved || checkSet("labels", ls, limits) != nil {
				continue
			}
			alert := page.Alert{ID: ls.ID(), Status: page.Firing, Labels: ls, StartsAt: a.StartsAt}
			group := e.Data.AlertGrouped.GroupInfo.GroupLabels.set()
			if len(group) == 0 {
				alone.Alerts = append(alone.Alerts, alert)
				continue
			}
			if grouped[group.ID()] == nil {
				order = append(order, group.ID())
				grouped[group.ID()] = &Recorded{By: group.Names()}
			}
			grouped[group.ID()].Alerts = append(grouped[group.ID()].Alerts, alert)
		}
	}
	var out []Recorded
	for _, id := range order {
		out = append(out, *grouped[id])
	}
	if len(alone.Alerts) > 0 {
		out = append(out, alone)
	}
	return out, nil
}

func decodePrewarm(body []byte, into any) error {
	if err := prewarmLimits().scan(body); err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return unreadable(ReasonSyntax, "", "the body is not UTF-8")
	}
	err := json.Unmarshal(body, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return unreadable(ReasonField, wrong.Field, "it holds a %s: send what Prometheus or Alertmanager sends, unchanged", wrong.Value)
	}
	if err != nil {
		return unreadable(ReasonSyntax, "", "the body is not the JSON that Prometheus or Alertmanager sends")
	}
	return nil
}
