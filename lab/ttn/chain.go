// Package ttn is the arithmetic of the time to notify: what a chain of
// intervals predicts for each stage between a fault and its page, and what a
// series of measured faults makes of it.
package ttn

import (
	"math"
	"time"
)

// Chain is everything between a fault and its page that takes time. The zero
// value of a field costs nothing. Names follow the formula
//
//	TTN = c + X_s + d_s + q + X_e + F* + d_e + k·R* + d_n + A + p·P + d_h
//
// where X_s and X_e are uniform over the scrape and the evaluation interval.
type Chain struct {
	Condition     time.Duration // c: the expression becomes true on perfect data
	Scrape        time.Duration // s: scrape interval
	ScrapeTakes   time.Duration // d_s: duration of a scrape
	Eval          time.Duration // e: evaluation interval of the rule's group
	Offset        time.Duration // q: query offset, or the lag of remote write, the larger
	For           time.Duration // F: the rule's `for`
	EvalTakes     time.Duration // d_e: from the group's start to this rule's end
	Resend        time.Duration // R: --rules.alert.resend-delay
	FailedSends   int           // k: sends that failed, none of which is retried before R
	SendTakes     time.Duration // d_n: Prometheus' post to Alertmanager
	GroupWait     time.Duration // w
	GroupInterval time.Duration // g
	Joins         bool          // the alert joins a group that has flushed: the next tick of g decides, not w
	Position      int           // p: place of the first live Alertmanager among its peers
	PeerTimeout   time.Duration // P: --cluster.peer-timeout
	Receiver      time.Duration // d_h: the gateway and the service behind it
}

// Span is the least, the mean and the longest time.
type Span struct {
	Best  time.Duration `json:"best_ns"`
	Mean  time.Duration `json:"mean_ns"`
	Worst time.Duration `json:"worst_ns"`
}

func constant(d time.Duration) Span { return Span{d, d, d} }

// uniform is a wait that is evenly spread over 0..d.
func uniform(d time.Duration) Span { return Span{0, d / 2, d} }

// Plus adds two spans: stages follow one another, so their bounds add up.
func (s Span) Plus(o Span) Span {
	return Span{s.Best + o.Best, s.Mean + o.Mean, s.Worst + o.Worst}
}

// Hold is F*: `for` in whole evaluations, because a rule fires only when it is
// evaluated. No `for` fires in the evaluation that finds the condition true.
func (c Chain) Hold() time.Duration {
	if c.For <= 0 || c.Eval <= 0 {
		return c.For
	}
	return c.Eval * time.Duration(math.Ceil(float64(c.For)/float64(c.Eval)))
}

// ResendCost is R*: what one failed send costs. Prometheus does not retry; it
// sends again at the first evaluation strictly later than the resend delay.
func (c Chain) ResendCost() time.Duration {
	if c.Eval <= 0 {
		return c.Resend
	}
	return c.Eval * (c.Resend/c.Eval + 1)
}

// Stage is one step of the chain and what the formula gives for it alone.
type Stage struct {
	Name string
	Span Span
}

// The stages of a page, in order.
const (
	StageFault     = "fault"
	StageScrape    = "scrape"    // the first scrape that shows it
	StageRule      = "rule"      // the rule's condition was found true: activeAt
	StageFor       = "for"       // the rule fired
	StageSend      = "send"      // Alertmanager has the alert
	StageWebhook   = "webhook"   // the group was flushed and its webhook read
	StageDurable   = "durable"   // it is on disk
	StageEnriched  = "enriched"  // the first answer to "what do they share?"
	StageDelivered = "delivered" // Slack and PagerDuty have both accepted the page
)

// StageNames returns the stages in order.
func StageNames() []string {
	return []string{
		StageFault, StageScrape, StageRule, StageFor, StageSend,
		StageWebhook, StageDurable, StageEnriched, StageDelivered,
	}
}

// Stages splits the formula by stage; their sum is Total.
func (c Chain) Stages() []Stage {
	group := constant(c.GroupWait)
	if c.Joins {
		group = uniform(c.GroupInterval)
	}
	return []Stage{
		{StageScrape, uniform(c.Scrape).Plus(constant(c.ScrapeTakes))},
		{StageRule, constant(c.Condition + c.Offset).Plus(uniform(c.Eval))},
		{StageFor, constant(c.Hold())},
		{StageSend, constant(c.EvalTakes + time.Duration(c.FailedSends)*c.ResendCost() + c.SendTakes)},
		{StageWebhook, group.Plus(constant(time.Duration(c.Position) * c.PeerTimeout))},
		{StageDelivered, constant(c.Receiver)},
	}
}

// Total is the time to notify.
func (c Chain) Total() Span {
	var sum Span
	for _, s := range c.Stages() {
		sum = sum.Plus(s.Span)
	}
	return sum
}
