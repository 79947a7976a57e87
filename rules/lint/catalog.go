package lint

// The checks, as comments name them. Those that are exported are made by others
// and given to Run.
const (
	checkSyntax     = "syntax"
	checkDisable    = "disable"
	checkTemplate   = "template"
	checkComparison = "comparison"
	checkFilter     = "filter"
	checkFragile    = "fragile"
	checkMatching   = "matching"
	checkSelector   = "selector"
	checkRegexp     = "regexp"
	checkRate       = "rate"
	checkHistogram  = "histogram"
	checkDuplicate  = "duplicate"
	checkSeverity   = "severity"
	checkSummary    = "summary"
	checkRunbook    = "runbook"
	checkTrait      = "trait"
	checkRemediate  = "remediate"

	CheckLatency = "latency" // made by those who know the servers
	CheckSeries  = "series"  // as are these of Server.Ask
	CheckCost    = "cost"
	CheckFires   = "fires"
)

// Check is one thing that is looked for.
type Check struct {
	Name     string   `json:"name"`
	Severity Severity `json:"severity"` // the gravest that it says
	What     string   `json:"what"`
	Fix      string   `json:"fix"`
}

// Checks returns all checks, the gravest first.
func Checks() []Check {
	return []Check{
		{checkSyntax, Error, "The file is no rule file, or Prometheus would refuse it.", "Write it as the message says."},
		{checkComparison, Error, "A comparison that can never be true, or is always.", "Compare with a value that the left side can have."},
		{checkTemplate, Error, "A text uses a label that the expression drops: it is empty.", "Keep the label in the aggregation, or leave it out of the text."},
		{checkMatching, Error, "Two sides whose labels can never match, or match only where labels are missing.", "Say with on() or ignoring() which labels both sides have."},
		{checkSelector, Error, "A selector whose matchers contradict each other.", "Take one of the matchers out."},
		{checkRate, Error, "A window that holds too few samples, or a rate of a sum.", "Use a window of four scrapes or more; sum the rates."},
		{checkHistogram, Error, "A quantile over buckets whose label le is aggregated away.", "Keep le in the aggregation."},
		{checkFilter, Error, "An alert without a condition: it fires on any value.", "Compare the value with a threshold."},
		{checkDisable, Warning, "A comment of this linter that has no reason, names no check or suppresses nothing.", "Write `# tocsin: disable CHECK: reason`, or take it out."},
		{checkFragile, Warning, "A condition that flips without a fault: topk, absent() without for, fractions held equal.", "See the message."},
		{checkDuplicate, Warning, "The same rule twice.", "Remove one of them."},
		{checkRemediate, Warning, "A machine acts on the alert, and the alert names no target, rests on what is missing, or flaps.", "Keep the label of the target, measure the fault, set for or keep_firing_for."},
		{CheckLatency, Warning, "A page that takes longer from the fault than its severity may: with --prometheus or --alertmanager.", "The line that shortens it most."},
		{CheckSeries, Warning, "A selector that nothing was like within a week: with --prometheus URL.", "Write the names as they are scraped."},
		{CheckCost, Warning, "An expression that reads very many series or takes long: with --prometheus URL.", "Record what it reads, or narrow its selectors."},
		{CheckFires, Warning, "An alert that would have fired within a day: with --prometheus URL.", "A longer for, or a higher threshold, where nobody would have acted."},
		{checkSeverity, Warning, "An alert without the label severity.", "Add it: routes, deadlines and budgets go by it."},
		{checkSummary, Warning, "An alert without a sentence for people.", "Add the annotation summary."},
		{checkRegexp, Info, "A regular expression that is none, or that lets everything in.", "Use = or !=, or leave the matcher out."},
		{checkRunbook, Info, "An alert that pages without a runbook.", "Add the annotation runbook_url."},
		{checkTrait, Info, "A page whose first sentence Tocsin cannot find: nothing tells the failing from the healthy.", "Compare one value with a constant, over series that carry labels of roles."},
	}
}
