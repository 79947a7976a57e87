package packs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMachinesPageWithinTheMinuteAtWorst holds what pages of the packs for
// machines against the minute, and what is slow to be no page.
func TestMachinesPageWithinTheMinuteAtWorst(t *testing.T) {
	for pack, pages := range map[string][]string{
		"certs":  nil,
		"cpu":    {"HostCPUSaturatedFast"},
		"disk":   {"DiskNearlyFull", "InodesNearlyGone", "DiskStalledFast", "DiskReadOnly"},
		"memory": {"ContainerMemoryFast", "HostMemoryLow"},
	} {
		t.Run(pack, func(t *testing.T) {
			predicted, err := patient(t, golden(pack)).Predict()
			require.NoError(t, err)
			var critical []string
			for _, p := range predicted {
				require.False(t, p.Never, p.Alert)
				if p.Severity != "critical" {
					require.Equal(t, "warning", p.Severity, p.Alert)
					continue
				}
				critical = append(critical, p.Alert)
				require.LessOrEqual(t, p.Worst, time.Minute, p.Alert)
			}
			require.Equal(t, pages, critical)
		})
	}
}
