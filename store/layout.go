package store

import (
	"fmt"
	"time"
)

// The layout of the state: which records and lanes there are, and who writes
// them. The pipeline also removes the pages and receipts of a problem once it
// has been over for long. Rooms that hand work to one another meet here and nowhere else.
const (
	// LaneEvents holds page.Event, ordered by problem. The door writes it, the pipeline takes it.
	LaneEvents = "events"
	// LaneLater holds what the pipeline owes itself: context that was not ready
	// at the deadline, a late firing to ask about. It writes and takes it.
	LaneLater = "later"
	// LaneDeliver is the prefix of one lane per target. The pipeline writes
	// them (notify.Router makes the items), notify takes them.
	LaneDeliver = "deliver/"
	// LaneOverdue holds when to look whether a critical page has reached its
	// targets. The pipeline writes it with the work for them, notify takes it.
	LaneOverdue = "overdue"
	// LaneRemediate holds problems that policies may act on, acts of people on
	// dispatches, and dispatches that are to go on. The pipeline writes the former
	// with the problem (remediate.Inbox makes the items), remediate takes them all.
	LaneRemediate = "remediate"

	// ProbeKey is the record by which the door finds out whether the store takes
	// writes. Writer: webhook.
	ProbeKey = "probe"

	// PastKey is the record of what dispatches have done lately, of switches and
	// of breakers: claims, freezes and resets meet in its revision. Writer: remediate.
	PastKey = "past"
	// ClaimKey is the secret that dispatches' claim tokens are made with. Writer: remediate.
	ClaimKey = "claimkey"

	prefixProblem    = "problem/"
	prefixPage       = "page/"
	prefixReceipt    = "receipt/"
	prefixSeen       = "seen/"
	prefixQuarantine = "quarantine/"
	prefixChange     = "change/"
	prefixChangeID   = "changeid/"
	prefixTimeline   = "timeline/"
	prefixChart      = "chart/"
	prefixDelivery   = "delivery/"
	prefixDead       = "dead/"
	prefixInstead    = "instead/"
	prefixVote       = "vote/"
	prefixBeat       = "beat/"
	prefixOnce       = "once/"
	prefixDispatch   = "dispatch/"
	prefixJournal    = "dispatchlog/"
	prefixLock       = "targetlock/"
)

// ProblemKey is the record of a page.Problem. Writer: pipeline.
func ProblemKey(id string) string { return prefixProblem + id }

// PageKey is the record of the page.Page that one episode shows by now: the
// latest wins, and an old episode keeps its last word. Writer: pipeline.
func PageKey(problem string, episode int) string {
	return fmt.Sprintf("%s%s/%08d", prefixPage, problem, episode)
}

// PagePrefix covers the pages of all episodes of a problem.
func PagePrefix(problem string) string { return prefixPage + problem + "/" }

// ReceiptsPrefix covers the receipts of all episodes of a problem.
func ReceiptsPrefix(problem string) string { return prefixReceipt + problem + "/" }

// ReceiptKey is the ledger's line, a page.Receipt, of one episode at one target. Writer: notify.
func ReceiptKey(problem string, episode int, target string) string {
	return fmt.Sprintf("%s%s/%08d/%s", prefixReceipt, problem, episode, target)
}

// ReceiptPrefix covers the receipts of one episode.
func ReceiptPrefix(problem string, episode int) string {
	return fmt.Sprintf("%s%s/%08d/", prefixReceipt, problem, episode)
}

// TimelineKey is a line, a page.Entry, of one episode's timeline. n wraps
// around, so that a timeline has an end. Writer: the room it is named after.
func TimelineKey(problem string, episode int, room string, n int) string {
	return fmt.Sprintf("%s%s/%08d/%s/%06d", prefixTimeline, problem, episode, room, n%TimelineLines)
}

// TimelineLines is how many lines of one episode a room keeps.
const TimelineLines = 1000

// TimelinePrefix covers the timelines of all episodes of a problem.
func TimelinePrefix(problem string) string { return prefixTimeline + problem + "/" }

// TimelineOf covers the timeline of one episode.
func TimelineOf(problem string, episode int) string {
	return fmt.Sprintf("%s%s/%08d/", prefixTimeline, problem, episode)
}

// ChartKey is the page.Chart of one episode. Writer: pipeline.
func ChartKey(problem string, episode int) string {
	return fmt.Sprintf("%s%s/%08d", prefixChart, problem, episode)
}

// ChartPrefix covers the charts of all episodes of a problem.
func ChartPrefix(problem string) string { return prefixChart + problem + "/" }

// DeliveryKey leads from what a service calls a page, a delivery's id or a
// reference of its own, to the receipt it belongs to. Writer: notify.
func DeliveryKey(target, ref string) string { return prefixDelivery + target + "/" + ref }

// InsteadKey is the record of who was told of an episode in the place of a
// target that could not be. Writer: notify.
func InsteadKey(problem string, episode int, target string) string {
	return fmt.Sprintf("%s%s/%08d/%s", prefixInstead, problem, episode, target)
}

// DeadKey is the record of a delivery that was given up, for people to drive
// again. Writer: notify.
func DeadKey(target, problem string, episode int) string {
	return fmt.Sprintf("%s%s/%s/%08d", prefixDead, target, problem, episode)
}

// VoteKey counts what people think of a rule's pages. Writer: pipeline.
func VoteKey(alertname string) string { return prefixVote + alertname }

// BeatKey is when a heartbeat was last seen. Writer: webhook.
func BeatKey(name string) string { return prefixBeat + name }

// OnceKey marks an event that was put and must not be put again, also once it
// was applied; it expires. Writer: webhook.
func OnceKey(id string) string { return prefixOnce + id }

// DispatchKey is the record of a remediate.Dispatch. Writer: remediate.
func DispatchKey(id string) string { return prefixDispatch + id }

// JournalKey is the n-th line of what happened to a dispatch, or to the switches.
// Lines are created and never changed. Writer: remediate.
func JournalKey(id string, n int) string { return fmt.Sprintf("%s%s/%08d", prefixJournal, id, n) }

// JournalPrefix covers a dispatch's journal.
func JournalPrefix(id string) string { return prefixJournal + id + "/" }

// LockKey is the record of which dispatch has a target for itself. Writer: remediate.
func LockKey(target string) string { return prefixLock + target }

// SeenKey holds the sum of the body that was accepted last for a problem, a
// moment ago. Writer: webhook.
func SeenKey(problem string) string { return prefixSeen + problem }

// QuarantineKey is the record of a body that could not be read. Writer: webhook.
func QuarantineKey(sum string) string { return prefixQuarantine + sum }

// ChangeKey is the record of a page.Change, in order of time. Writer: webhook.
func ChangeKey(at time.Time, sum string) string { return ChangesSince(at) + "/" + sum }

// ChangesSince comes before the changes from at on: a scan of ChangePrefix
// starts after it.
func ChangesSince(at time.Time) string {
	return fmt.Sprintf("%s%012d", prefixChange, max(0, at.Unix()))
}

// ChangeIDKey marks a change that is known, whatever its time. Writer: webhook.
func ChangeIDKey(sum string) string { return prefixChangeID + sum }

// Prefixes for scans; PagesPrefix covers the pages of all problems, LedgerPrefix
// all receipts.
const (
	ChangePrefix     = prefixChange
	DispatchPrefix   = prefixDispatch
	ProblemPrefix    = prefixProblem
	PagesPrefix      = prefixPage
	LedgerPrefix     = prefixReceipt
	QuarantinePrefix = prefixQuarantine
	DeadPrefix       = prefixDead
	VotePrefix       = prefixVote
	BeatPrefix       = prefixBeat
)
