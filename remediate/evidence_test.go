package remediate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remediate"
)

// People who are needed are told what it was like before and what it is now, what
// the job did and said, and what every guard saw.
func TestPeopleAreNeededWithEvidence(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Steps = w.policy.Steps[:1]
		w.policy.Steps[0].Verify.PromQL = "up{host=$target} == 1"
		w.policy.Guards.PreChecks = []remediate.PreCheck{{Name: "open sessions", PromQL: "sessions", Require: "<= 9"}}
		w.policy.Guards.Proof = &remediate.PreCheck{Name: "from outside", PromQL: "probe", Require: "== 0", Source: "outside"}
		w.judge.set(func(c remediate.Candidate) []remediate.Verdict {
			return []remediate.Verdict{
				{Guard: "freshness", Outcome: remediate.Pass, Reason: "active", Value: "1 of 1", At: c.Now},
				{Guard: "pre-checks", Outcome: remediate.Pass, Reason: "all hold", Value: "open sessions: 7", At: c.Now},
			}
		})
		began := time.Now()
		w.judge.saw = func(source, query string) (string, error) {
			switch {
			case query == "probe":
				require.Equal(t, "outside", source, "each question is asked where the policy asks it")
				return "", errLost
			case time.Since(began) < time.Minute:
				return "7", nil
			}
			return "3", nil
		}
		w.start(w.store)
		w.fires("p1", 1, "web-1", "web-2")
		d := w.until(0, remediate.Escalated, time.Hour)
		require.Equal(t, []remediate.Reading{
			{Name: "alerts of it that fire", Before: "1", After: "1"},
			{Name: "verification", Before: "7", After: "3"},
			{Name: "open sessions", Before: "7", After: "3"},
			{Name: "from outside", Before: "not known (connection reset)", After: "not known (connection reset)"},
		}, d.Readings)
		var last string
		for _, said := range w.told() {
			if strings.Contains(said, "nothing more is tried") && strings.Contains(said, d.Target.Name) {
				last = said
			}
		}
		require.Equal(t, strings.Join([]string{
			"restart-web, step restart, host " + d.Target.Name + ": nothing more is tried: people are needed; the alert still fires 10 min after the job",
			"alerts of it that fire: 1 before the launch, 1 now",
			"verification: 7 before the launch, 3 now",
			"open sessions: 7 before the launch, 3 now",
			"from outside: not known (connection reset) before the launch, not known (connection reset) now",
			d.Target.Name + ": 2 ok, 1 changed, 0 failed, 0 unreachable",
			"output ends:",
			"| PLAY RECAP ok=2",
			"all 2 guards pass",
			"freshness: pass, active (1 of 1)",
			"pre-checks: pass, all hold (open sessions: 7)",
		}, "\n"), last)
	})
}

// Who is to decide sees what the guards saw.
func TestPeopleAreAskedWithEvidence(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy = policy(remediate.Approve)
		w.judge.set(func(c remediate.Candidate) []remediate.Verdict {
			return []remediate.Verdict{
				{Guard: "calendar", Outcome: remediate.Pass, Reason: "no windows", At: c.Now},
				{Guard: "proof", Outcome: remediate.Pass, Reason: "failing requests from outside must be > 0.1", Value: "failing requests from outside: 0.31", At: c.Now},
			}
		})
		w.start(w.store)
		w.fires("p1", 1, "web-1")
		w.until(0, remediate.Awaiting, time.Minute)
		told := w.told()
		require.Contains(t, told[len(told)-1], "waits for approval")
		require.True(t, strings.HasSuffix(told[len(told)-1], "; all 2 guards pass\nproof: pass, failing requests from outside must be > 0.1 (failing requests from outside: 0.31)"), told)
	})
}
