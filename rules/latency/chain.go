// Package latency is the arithmetic of the time to notify: what stands between
// a fault and its page, and how long each of it takes at best, on average and
// at worst.
package latency

import (
	"math"
	"time"
)

// Span is the least, the mean and the longest time.
type Span struct {
	Best  time.Duration `json:"best_ns"`
	Mean  time.Duration `json:"mean_ns"`
	Worst time.Duration `json:"worst_ns"`
}

// Constant is a time that is always the same.
func Constant(d time.Duration) Span { return Span{d, d, d} }

// Uniform is a wait that is evenly spread over 0..d.
func Uniform(d time.Duration) Span { return Span{0, d / 2, d} }

// Plus adds two spans: stages follow one another, so their bounds add up.
func (s Span) Plus(o Span) Span {
	return Span{s.Best + o.Best, s.Mean + o.Mean, s.Worst + o.Worst}
}

// Chain is everything between a fault and its page that takes time. The zero
// value of a field costs nothing. Names follow the formula
//
//	TTN = c + X_s + d_s + max(q, d_rw) + X_e + F* + d_e + k·R* + d_n + A + p·P + d_h
//
// where X_s and X_e are uniform over the scrape and the evaluation interval:
// targets and groups each have a fixed phase that nobody chose.
type Chain struct {
	Condition     Span          // c: the expression becomes true on perfect data
	Scrape        time.Duration // s: scrape interval
	ScrapeTakes   time.Duration // d_s: duration of a scrape
	Recorded      []Recorded    // recording rules that the alert reads, one after the other
	Eval          time.Duration // e: evaluation interval of the rule's group
	Offset        time.Duration // q: query offset
	Arrives       time.Duration // d_rw: lag of remote write before the evaluator sees a sample; q hides it
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
	Receiver      Span          // d_h: the gateway and the service behind it
}

// Recorded is a recording rule between the samples and the alert.
type Recorded struct {
	Eval   time.Duration // of its group
	Offset time.Duration // of its group
	// Same says that it stands in the alert's own group: ahead of it it costs
	// nothing, behind it the alert reads what the evaluation before recorded.
	Same, Behind bool
}

// wait is what a recording rule adds.
func (r Recorded) wait() Span {
	switch {
	case r.Same && r.Behind:
		return Constant(r.Eval)
	case r.Same:
		return Span{}
	}
	return Uniform(r.Eval).Plus(Constant(r.Offset))
}

// Hold is F*: `for` in whole evaluations, because a rule fires only when it is
// evaluated. No `for` fires in the evaluation that finds the condition true.
func (c Chain) Hold() time.Duration {
	if c.For <= 0 || c.Eval <= 0 {
		return max(0, c.For)
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
	Name string `json:"stage"`
	Span
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
	StageDelivered = "delivered" // the services behind it have accepted the page
)

// Stages splits the formula by stage; their sum is Total.
func (c Chain) Stages() []Stage {
	seen := c.Condition.Plus(Constant(max(c.Offset, c.Arrives))).Plus(Uniform(c.Eval))
	for _, r := range c.Recorded {
		seen = seen.Plus(r.wait())
	}
	return []Stage{
		{StageScrape, Uniform(c.Scrape).Plus(Constant(c.ScrapeTakes))},
		{StageRule, seen},
		{StageFor, Constant(c.Hold())},
		{StageSend, Constant(c.EvalTakes + time.Duration(c.FailedSends)*c.ResendCost() + c.SendTakes)},
		{StageWebhook, c.group().Plus(Constant(time.Duration(c.Position) * c.PeerTimeout))},
		{StageDelivered, c.Receiver},
	}
}

// group is A: how long Alertmanager holds the alert back.
func (c Chain) group() Span {
	if c.Joins {
		return Uniform(c.GroupInterval)
	}
	return Constant(c.GroupWait)
}

// Total is the time to notify.
func (c Chain) Total() Span {
	var sum Span
	for _, s := range c.Stages() {
		sum = sum.Plus(s.Span)
	}
	return sum
}
