package webhook

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tocsin/tocsin/page"
)

// Alarm is an event by which Tocsin says something about itself. Its labels are
// its identity: a stream of alarms with the same name and labels is one problem,
// and at most one of them a minute is worked on. The label severity is critical
// unless it is given; the label receiver, if given, says which receiver is told.
func Alarm(name, summary, description string, labels page.Labels, at time.Time) page.Event {
	group := page.Labels{"alertname": name}
	maps.Copy(group, labels)
	all := group.Clone()
	delete(group, "severity")
	if all["severity"] == "" {
		all["severity"] = string(page.Critical)
	}
	notes := page.Labels{"summary": summary, "description": description}
	n := page.Notification{
		Cluster: page.OwnCluster, Receiver: labels["receiver"], Status: page.Firing,
		GroupKey:    "tocsin:{" + group.String() + "}",
		GroupLabels: group, CommonLabels: all, CommonAnnotations: notes,
		Alerts: []page.Alert{{ID: all.ID(), Status: page.Firing, Labels: all, Annotations: notes, StartsAt: at}},
	}
	problem := n.ProblemID()
	return page.Event{
		Problem: problem, Kind: page.Alarmed, Actor: "tocsin", At: at, Notification: &n,
		ID: fmt.Sprintf("alarm/%s/%d", problem, at.Unix()/60),
	}
}

// AllClear ends what an Alarm raised.
func AllClear(alarm page.Event, at time.Time) page.Event {
	n := *alarm.Notification
	n.Status, n.Alerts = page.Resolved, slices.Clone(n.Alerts)
	for i := range n.Alerts {
		n.Alerts[i].Status, n.Alerts[i].EndsAt = page.Resolved, at
	}
	alarm.Notification, alarm.At = &n, at
	alarm.ID = fmt.Sprintf("clear/%s/%d", alarm.Problem, at.Unix()/60)
	return alarm
}
