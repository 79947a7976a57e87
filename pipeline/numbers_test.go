package pipeline

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// docs/problems.md says what the code does.
func TestTheNumbersOfTheDocument(t *testing.T) {
	raw, err := os.ReadFile("../docs/problems.md")
	require.NoError(t, err)
	for what, n := range map[string]any{
		"first minute, in which size is not worse": gathering,
		"a jump in size: times":                    jumpTimes,
		"a jump in size: more by":                  jumpBy,
		"better from so many alerts":               calmFrom,
		"better at one of so many":                 calmShare,
		"lines kept of an episode":                 page.MaxUpdates,
		"a storm gathers for":                      stormAfter,
		"a storm shows its counts every":           stormEvery,
		"rules a storm tells apart":                mostRules,
		"time between two lines on flapping":       flapEvery,
		"calls to Alertmanager for a silence":      silenceTries,
		"looks at a chart":                         chartTries,
		"of which a date is waited for":            chartDateTries,
		"time between two looks at a chart":        chartAgain,
		"timeline lines of an episode":             store.TimelineLines,

		"time for context of a page that is late already": minAsk,
	} {
		require.Contains(t, string(raw), fmt.Sprintf("| %s | %v |\n", what, n))
	}
}
