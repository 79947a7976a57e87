package page

import (
	"encoding/json"
	"math"
	"time"
)

// Chart is the course of an alert's expression: what fails against what is
// healthy, the threshold, and the changes. It is data; drawing it is another's.
// All series share the same moments: From, From+Step … ; NaN is written as null.
type Chart struct {
	Title     string        `json:"title"` // the alert
	Expr      string        `json:"expr"`  // the side of the comparison that is shown
	Unit      string        `json:"unit,omitempty"`
	From      time.Time     `json:"from"`
	Step      time.Duration `json:"step_ns"`
	Threshold *float64      `json:"threshold,omitempty"`
	Below     bool          `json:"below,omitempty"`  // low values are the bad ones
	Failing   []Line        `json:"failing"`          // a few, worst first
	Others    int           `json:"others,omitempty"` // failing lines that are not shown
	Healthy   Band          `json:"healthy,omitzero"` // of all that do not fail
	Marks     []Mark        `json:"marks,omitempty"`
	At        time.Time     `json:"at"` // when it was asked for
}

// Line is one member's course.
type Line struct {
	Name   string   `json:"name"` // untrusted
	Values []Sample `json:"values"`
}

// Band is between the lowest and the highest tenth of many courses.
type Band struct {
	Members int      `json:"members,omitempty"`
	Low     []Sample `json:"low,omitempty"`
	Middle  []Sample `json:"middle,omitempty"`
	High    []Sample `json:"high,omitempty"`
}

// Mark is a moment worth a line across the chart.
type Mark struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"` // "deploy v42", "rule fired"; untrusted
	Kind string    `json:"kind"` // change, fired, onset
}

// Sample is one value; NaN where there is none, which JSON writes as null.
type Sample float64

// MarshalJSON writes null for what is no number.
func (s Sample) MarshalJSON() ([]byte, error) {
	if f := float64(s); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return json.Marshal(f)
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads null as NaN.
func (s *Sample) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*s = Sample(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(s))
}
