//go:build !race

// As enginewhole_test.go: `make test` runs these without the race detector.

package remediate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

// 1,000 alerts for 500 hosts of one pool: however large the pool, and however
// they came, no more is launched than the caps allow, and every other target has
// its reason.
func TestAThousandAlertsLaunchNoMoreThanTheCap(t *testing.T) {
	for name, gap := range map[string]time.Duration{"all at once": 0, "over half an hour": 3 * time.Second, "slower than can be doubted": 5 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			var alerts []page.Alert
			for i := range 1000 {
				ago := min(29*time.Minute, 3*time.Minute+time.Duration(i/2)*gap)
				alerts = append(alerts, firing(ago, "instance", fmt.Sprintf("web-%d:9100", i/2), "check", fmt.Sprint(i%2)))
			}
			p := hostPolicy()
			p.Guards.Concurrency.Pool = 50
			if name == "slower than can be doubted" {
				p.Guards.BlastRadius.AtOnce = 1000 // an operator who wants it so
			}
			launched, why := stormed(t, p, pageOf(alerts...), 100_000)
			if name == "slower than can be doubted" {
				require.Equal(t, 3, launched, "concurrency of the policy")
			} else {
				require.Zero(t, launched)
			}
			require.Len(t, why, 500-launched, "each target that was not touched says why")
			for target, reason := range why {
				require.NotEmpty(t, reason, target)
			}
		})
	}
}
