package page

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Exemplars are single events that were counted beside others: what their
// traces show, and what the failing ones carry that their series do not say.
type Exemplars struct {
	Failing int       `json:"failing"`           // failing events that were looked at, inside the leading trait
	Healthy int       `json:"healthy"`           // events that did not fail
	Traces  []Trace   `json:"traces,omitempty"`  // of failing events, the latest first
	Carried []Carried `json:"carried,omitempty"` // what sets the failing ones apart, the most evident first
}

// Trace is one traced event.
type Trace struct {
	ID    string    `json:"id"`
	At    time.Time `json:"at"`
	Value float64   `json:"value"` // what its series counts or sums of it: its duration in seconds, or 1
	Links []Link    `json:"links,omitempty"`
}

// Carried is a label of events that is on no series.
type Carried struct {
	Label   Label  `json:"label"`
	Role    string `json:"role"`
	Failing Count  `json:"failing"` // failing events that carry it
	Healthy Count  `json:"healthy"`
}

// Words says what sets the failing events apart: "exemplars: 9 of 10 failing
// carry user=u5 (1 of 12 healthy)"; "" where nothing does.
func (x *Exemplars) Words() string {
	if x == nil || len(x.Carried) == 0 {
		return ""
	}
	var parts []string
	for _, c := range x.Carried {
		parts = append(parts, fmt.Sprintf("%d of %d failing carry %s=%s (%d of %d healthy)",
			c.Failing.Matched, c.Failing.Total, short(c.Label.Name), short(c.Label.Value), c.Healthy.Matched, c.Healthy.Total))
	}
	return "exemplars: " + strings.Join(parts, ", ")
}

// links are those of its traces.
func (x *Exemplars) links() []Link {
	if x == nil {
		return nil
	}
	var out []Link
	for _, t := range x.Traces {
		out = append(out, t.Links...)
	}
	return out
}

// hidden returns a copy without the values of some labels.
func (x *Exemplars) hidden(labels []string, hide func(string) string) *Exemplars {
	if x == nil {
		return nil
	}
	out := *x
	out.Carried, out.Traces = slices.Clone(x.Carried), slices.Clone(x.Traces)
	for i, c := range out.Carried {
		if slices.Contains(labels, c.Label.Name) {
			out.Carried[i].Label.Value = Redacted
		} else {
			out.Carried[i].Label.Value = hide(c.Label.Value)
		}
	}
	for i, t := range out.Traces {
		out.Traces[i].Links = slices.Clone(t.Links)
		for j := range t.Links {
			out.Traces[i].Links[j].URL = hide(t.Links[j].URL)
		}
	}
	return &out
}
