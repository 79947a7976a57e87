package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tocsin/tocsin/page"
)

// removePayload is what to do about a body that the receiver makes up itself.
const removePayload = "this is not Alertmanager's own webhook body (version 4): remove `payload:` from the receiver's webhook_configs, and send nothing else here"

// message is the body as Alertmanager 0.25 to 0.34 sends it (notify/webhook's
// Message and template's Data). Later fields are passed over.
type message struct {
	Version            string      `json:"version"`
	GroupKey           string      `json:"groupKey"`
	TruncatedAlerts    uint64      `json:"truncatedAlerts"`
	Receiver           string      `json:"receiver"`
	Status             string      `json:"status"`
	Alerts             []alert     `json:"alerts"`
	NotificationReason string      `json:"notification_reason"` // since 0.32
	GroupLabels        page.Labels `json:"groupLabels"`
	CommonLabels       page.Labels `json:"commonLabels"`
	CommonAnnotations  page.Labels `json:"commonAnnotations"`
	RouteLabels        page.Labels `json:"routeLabels"` // since 0.34
	ExternalURL        string      `json:"externalURL"`
}

type alert struct {
	Status       string      `json:"status"`
	Labels       page.Labels `json:"labels"`
	Annotations  page.Labels `json:"annotations"`
	StartsAt     string      `json:"startsAt"`
	EndsAt       string      `json:"endsAt"`
	GeneratorURL string      `json:"generatorURL"`
	Fingerprint  string      `json:"fingerprint"`
}

// Decode reads the body of an Alertmanager webhook (version 4), sent by cluster.
// What cannot be read is an *Unreadable error. The receiver is kept as it was
// sent: Alertmanager escapes it as a regular expression. Alerts whose label sets
// are the same are folded into one, which fires if any of them does.
func Decode(cluster string, body []byte, limits Limits) (page.Notification, error) {
	m, err := parse(body, limits)
	if err != nil {
		return page.Notification{}, err
	}
	if err := m.validate(limits); err != nil {
		return page.Notification{}, err
	}
	n := page.Notification{
		Cluster: cluster, Receiver: m.Receiver, GroupKey: m.GroupKey, Status: page.Status(m.Status),
		GroupLabels: m.GroupLabels, CommonLabels: m.CommonLabels, CommonAnnotations: m.CommonAnnotations, RouteLabels: m.RouteLabels,
		ExternalURL: m.ExternalURL, Reason: m.NotificationReason, Truncated: m.TruncatedAlerts,
		Alerts: make([]page.Alert, 0, len(m.Alerts)),
	}
	at := make(map[string]int, len(m.Alerts)) // by ID: its place in n.Alerts
	for i, a := range m.Alerts {
		read, err := a.read(limits)
		if err != nil {
			return page.Notification{}, within(fmt.Sprintf("alerts[%d].", i), err)
		}
		j, twice := at[read.ID]
		switch {
		case !twice:
			at[read.ID] = len(n.Alerts)
			n.Alerts = append(n.Alerts, read)
		case n.Alerts[j].Status == page.Resolved && read.Status == page.Firing:
			n.Alerts[j] = read
		}
	}
	return n, nil
}

// parse decodes the JSON, and says of what is not the body why.
func parse(body []byte, limits Limits) (message, error) {
	var m message
	if err := limits.scan(body); err != nil {
		return m, err
	}
	if !utf8.Valid(body) {
		return m, unreadable(ReasonSyntax, "", "the body is not UTF-8: send what Alertmanager sends, unchanged")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return m, unreadable(ReasonPayload, "", "the body is empty: %s", removePayload)
	}
	err := json.Unmarshal(body, &m)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" || m.Version == "" && m.GroupKey == "" {
			return m, unreadable(ReasonPayload, wrong.Field, "%s", removePayload)
		}
		return m, unreadable(ReasonField, wrong.Field, "it holds a %s where %s is expected: %s", wrong.Value, kind(wrong), removePayload)
	}
	if err != nil {
		return m, unreadable(ReasonSyntax, "", "the body is not JSON (%v): send what Alertmanager sends, unchanged", err)
	}
	return m, nil
}

// kind says in JSON's words what a field should be.
func kind(e *json.UnmarshalTypeError) string {
	switch name := e.Type.String(); {
	case name == "string":
		return "a text"
	case name == "uint64":
		return "a count"
	case strings.HasPrefix(name, "[]"):
		return "an array"
	default:
		return "an object"
	}
}

func (m message) validate(limits Limits) error {
	switch {
	case m.Version == "":
		return unreadable(ReasonPayload, "version", "it is missing: %s", removePayload)
	case m.Version != "4":
		return unreadable(ReasonVersion, "version", "it is %.20q where \"4\" is expected: use an Alertmanager from 0.25 on, or a newer tocsin", m.Version)
	case m.GroupKey == "":
		return unreadable(ReasonField, "groupKey", "it is missing: %s", removePayload)
	case m.Receiver == "":
		return unreadable(ReasonField, "receiver", "it is missing: %s", removePayload)
	case len(m.Alerts) == 0:
		return unreadable(ReasonField, "alerts", "there is none: %s", removePayload)
	}
	if err := checkStatus("status", m.Status); err != nil {
		return err
	}
	for _, set := range []struct {
		field  string
		labels page.Labels
	}{
		{"groupLabels", m.GroupLabels},
		{"commonLabels", m.CommonLabels},
		{"commonAnnotations", m.CommonAnnotations},
		{"routeLabels", m.RouteLabels},
	} {
		if err := checkSet(set.field, set.labels, limits); err != nil {
			return err
		}
	}
	return nil
}

func (a alert) read(limits Limits) (page.Alert, error) {
	if err := checkStatus("status", a.Status); err != nil {
		return page.Alert{}, err
	}
	if err := checkSet("labels", a.Labels, limits); err != nil {
		return page.Alert{}, err
	}
	if err := checkSet("annotations", a.Annotations, limits); err != nil {
		return page.Alert{}, err
	}
	starts, err := readTime("startsAt", a.StartsAt)
	if err != nil {
		return page.Alert{}, err
	}
	var ends time.Time
	if a.EndsAt != "" {
		// Alertmanager's zero time, 0001-01-01T00:00:00Z, is Go's: it has not ended.
		if ends, err = readTime("endsAt", a.EndsAt); err != nil {
			return page.Alert{}, err
		}
	}
	return page.Alert{
		ID: a.Labels.ID(), Status: page.Status(a.Status), Labels: a.Labels, Annotations: a.Annotations,
		StartsAt: starts, EndsAt: ends, GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint,
	}, nil
}

func checkStatus(field, status string) error {
	if s := page.Status(status); s != page.Firing && s != page.Resolved {
		return unreadable(ReasonField, field, "it is %.20q where \"firing\" or \"resolved\" is expected: %s", status, removePayload)
	}
	return nil
}

func checkSet(field string, set page.Labels, limits Limits) error {
	size := 0
	for name, value := range set {
		size += len(name) + len(value)
	}
	if size > limits.LabelBytes {
		return unreadable(ReasonSize, field, "its %d bytes are more than %d: shorten what the rule writes into it", size, limits.LabelBytes)
	}
	return nil
}

func readTime(field, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, unreadable(ReasonField, field, "%.40q is not a time as in 2026-01-02T15:04:05Z: %s", text, removePayload)
	}
	if t.IsZero() {
		return time.Time{}, nil
	}
	return t.UTC(), nil
}

// within puts the path of an alert before the field of an error.
func within(path string, err error) error {
	if e, ok := errors.AsType[*Unreadable](err); ok {
		return &Unreadable{Reason: e.Reason, Field: path + e.Field, Advice: e.Advice}
	}
	return err
}

// salvage finds the receiver in a body that cannot be read, or in the beginning
// of one: Alertmanager writes it first.
func salvage(body []byte) string {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return ""
		}
		if name == "receiver" {
			var receiver string
			_ = json.Unmarshal(value, &receiver)
			return strings.ToValidUTF8(receiver, "\uFFFD")
		}
	}
	return ""
}
