// Package ttn is the time to notify as the lab has it: the settings of its
// lanes, what the house's formula predicts from them, and what a series of
// measured faults makes of each stage.
package ttn

import "github.com/tocsin/tocsin/rules/latency"

// The formula is the doctor's own.
type (
	// Chain is everything between a fault and its page that takes time.
	Chain = latency.Chain
	// Span is the least, the mean and the longest time.
	Span = latency.Span
)

// The stages of a page, in order.
const (
	StageFault     = latency.StageFault
	StageScrape    = latency.StageScrape
	StageRule      = latency.StageRule
	StageFor       = latency.StageFor
	StageSend      = latency.StageSend
	StageWebhook   = latency.StageWebhook
	StageDurable   = latency.StageDurable
	StageEnriched  = latency.StageEnriched
	StageDelivered = latency.StageDelivered
)

// StageNames returns the stages in order.
func StageNames() []string {
	return []string{
		StageFault, StageScrape, StageRule, StageFor, StageSend,
		StageWebhook, StageDurable, StageEnriched, StageDelivered,
	}
}
