package page

import (
	"strings"
	"time"
)

// Status is Alertmanager's word for an alert or a group.
type Status string

// The two states Alertmanager reports.
const (
	Firing   Status = "firing"
	Resolved Status = "resolved"
)

// Severity orders pages: it chooses the deadline, the lane and PagerDuty's own severity.
type Severity string

// PagerDuty's four severities, worst first.
const (
	Critical Severity = "critical"
	Error    Severity = "error"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Rank is 0 for critical and grows as the severity falls.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 0
	case Error:
		return 1
	case Warning:
		return 2
	default:
		return 3
	}
}

// Alert is one alert of a group as Alertmanager reported it last.
type Alert struct {
	ID           string    `json:"id"` // Labels.ID()
	Status       Status    `json:"status"`
	Labels       Labels    `json:"labels"`
	Annotations  Labels    `json:"annotations,omitempty"`
	StartsAt     time.Time `json:"starts_at"` // Prometheus' FiredAt: differs per replica and restart
	EndsAt       time.Time `json:"ends_at,omitzero"`
	GeneratorURL string    `json:"generator_url,omitempty"`
	Fingerprint  string    `json:"fingerprint,omitempty"`
}

// Severity reads the alert's severity label. Unknown words count as warning:
// an alert that names no severity should be seen, and should wake nobody at once.
func (a Alert) Severity() Severity {
	switch strings.ToLower(strings.TrimSpace(a.Labels["severity"])) {
	case "critical", "page", "emergency", "fatal", "p1", "sev1":
		return Critical
	case "error", "high", "major", "p2", "sev2":
		return Error
	case "info", "informational", "none", "low", "p4", "p5":
		return Info
	default:
		return Warning
	}
}

// Name is the alertname label.
func (a Alert) Name() string { return a.Labels["alertname"] }

// Notification is one webhook of Alertmanager (version 4): a snapshot of a
// group, holding all its firing and its newly resolved alerts. It is not a delta.
type Notification struct {
	Cluster           string  `json:"cluster"` // by the credentials of the request, never by its body
	Receiver          string  `json:"receiver"`
	GroupKey          string  `json:"group_key"`
	Status            Status  `json:"status"`
	GroupLabels       Labels  `json:"group_labels,omitempty"`
	CommonLabels      Labels  `json:"common_labels,omitempty"`
	CommonAnnotations Labels  `json:"common_annotations,omitempty"`
	RouteLabels       Labels  `json:"route_labels,omitempty"` // Alertmanager >= 0.34
	ExternalURL       string  `json:"external_url,omitempty"` // shown as a link; never fetched, never an identity
	Reason            string  `json:"reason,omitempty"`       // notification_reason, Alertmanager >= 0.32
	Truncated         uint64  `json:"truncated,omitempty"`    // alerts left out by max_alerts: absence proves nothing then
	Alerts            []Alert `json:"alerts"`
}

// ProblemID names the problem this notification is about: one Alertmanager
// group of one receiver of one cluster. HA peers agree on it; startsAt and
// externalURL, on which they differ, have no part in it.
func (n Notification) ProblemID() string {
	return ProblemID(n.Cluster, n.Receiver, n.GroupKey)
}

// ProblemID is the hex SHA-256 of the three names that identify a problem.
func ProblemID(cluster, receiver, groupKey string) string {
	return digest("problem", cluster, receiver, groupKey)
}
