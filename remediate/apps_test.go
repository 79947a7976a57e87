package remediate_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/apps"
	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/store"
)

// layered are policies as classes of settings have them: `class: app app; field=value field=value`.
func layered(t *testing.T, ps []*remediate.Policy, classes ...string) (*remediate.Apps, error) {
	t.Helper()
	f := &apps.File{Label: "app"}
	for i, text := range classes {
		names, settings, _ := strings.Cut(text, ":")
		c := apps.Class{Apps: strings.Fields(names)}
		if names == "*" {
			c = apps.Class{Others: true}
		}
		for j, s := range strings.Fields(settings) {
			field, value, _ := strings.Cut(s, "=")
			policy, field, _ := strings.Cut(field, "/")
			c.Settings = append(c.Settings, apps.Setting{Policy: policy, Field: field, Value: value, At: fmt.Sprintf("layers/%d.yaml:%d", i, j+1)})
		}
		f.Classes = append(f.Classes, c)
	}
	data, err := f.Marshal("#")
	require.NoError(t, err)
	read, err := apps.Parse("apps.conf", data)
	require.NoError(t, err)
	made, err := remediate.NewApps(read, ps)
	if err != nil {
		err = read.Mistakes(err)
	}
	return made, err
}

// sound is the world's policy, with nothing that its validation refuses.
func sound(mode remediate.Mode) *remediate.Policy {
	p := policy(mode)
	p.Target.Validate = `web-[0-9]{1,4}`
	return p
}

func of(names ...string) []page.Alert {
	var out []page.Alert
	for _, n := range names {
		out = append(out, page.Alert{Labels: page.Labels{"app": n}})
	}
	return out
}

func TestAPolicyAsItIsForAnApp(t *testing.T) {
	base := sound(remediate.Auto)
	base.Approval.Roles = []string{"operator", "dba", "web"}
	a, err := layered(t, []*remediate.Policy{base},
		"*: restart-web/mode=approve",
		"cart: restart-web/mode=observe restart-web/trigger.firing_for=10m restart-web/approval.roles=web,dba restart-web/guards.attempts.target=1/24h",
		"search: restart-web/mode=approve restart-web/trigger.max_age=20m restart-web/approval.roles=dba restart-web/guards.attempts.target=2/24h",
		"free:", "shop: restart-web/approval.roles=operator",
		"slow: restart-web/trigger.firing_for=25m", "old: restart-web/trigger.max_age=20m")
	require.NoError(t, err)

	cart := a.Of(base, of("cart", "cart"))
	require.Equal(t, remediate.Observe, cart.Mode)
	require.Equal(t, remediate.Observe, cart.Steps[1].Mode, "no step goes further than its policy")
	require.Equal(t, 10*time.Minute, cart.Trigger.FiringFor.D())
	require.Equal(t, []string{"dba", "web"}, cart.Approval.Roles)
	require.Equal(t, "mode observe (layers/1.yaml:1)", cart.Layered[0].String())
	require.NotEqual(t, remediate.VersionOf(base), remediate.VersionOf(cart))
	require.Equal(t, remediate.Auto, base.Mode, "the config's own is left alone")
	require.Equal(t, remediate.Auto, base.Steps[0].Mode)

	require.Same(t, base, a.Of(base, of("free")))
	require.Equal(t, remediate.Approve, a.Of(base, of("stranger")).Mode, "an app in no class has what all others have")
	require.Equal(t, remediate.Approve, a.Of(base, of("")).Mode, "and so has an alert without the label")
	require.Equal(t, remediate.Approve, a.Of(base, nil).Mode)
	require.Same(t, base, (*remediate.Apps)(nil).Of(base, of("cart")))
	require.Nil(t, a.Of(nil, of("cart")))

	both := a.Of(base, of("cart", "search", "free"))
	require.Equal(t, remediate.Observe, both.Mode)
	require.Equal(t, 10*time.Minute, both.Trigger.FiringFor.D())
	require.Equal(t, 20*time.Minute, both.Trigger.MaxAge.D())
	require.Equal(t, []string{"dba"}, both.Approval.Roles)
	require.Equal(t, "1/1d", both.Guards.Attempts.Target)
	require.Equal(t, "layers/1.yaml:1, the most careful of several apps", both.Layered[0].At)
	require.NoError(t, both.Validate())
	require.Equal(t, both, a.Of(base, of("free", "search", "cart")), "whatever their order")

	nobody := a.Of(base, of("shop", "search"))
	require.Equal(t, remediate.Observe, nobody.Mode, "no role may approve for both")
	never := a.Of(base, of("slow", "old"))
	require.Equal(t, remediate.Observe, never.Mode, "it would never act")
	require.Equal(t, remediate.Auto, a.Of(base, of("slow", "free")).Mode)
}

func TestLayersOnlyHoldBack(t *testing.T) {
	base := sound(remediate.Approve)
	base.Place = "policies.yml:3"
	wf := sound(remediate.Auto)
	wf.Name, wf.Steps[0].Kind = "flow", "workflow"
	for text, want := range map[string]string{
		"a: restart-web/mode=auto":                        "mode auto is less careful than the config, which says approve (policies.yml:3): layers only hold back",
		"a: restart-web/trigger.firing_for=1m":            "less careful",
		"a: restart-web/trigger.max_age=1h":               "less careful",
		"a: restart-web/guards.rate.target=2/1h":          "less careful",
		"a: restart-web/guards.rate.target=1/30m":         "less careful",
		"a: restart-web/guards.cooldown.after_success=1m": "less careful",
		"a: restart-web/guards.cooldown.after_failure=1m": "less careful",
		"a: restart-web/guards.attempts.episode=3":        "less careful",
		"a: restart-web/guards.attempts.target=1/1h":      "less careful",
		"a: restart-web/stable=1m":                        "less careful",
		"a: restart-web/approval.roles=responder":         "less careful",
		"a: restart-wep/mode=off":                         `layers/0.yaml:1: there is no policy "restart-wep"; write "restart-web"`,
		"a: restart-web/trigger.firing_for=30m":           "trigger.max_age: 30m is not longer than firing_for",
		"a: flow/mode=check":                              "a workflow has no check mode",
	} {
		_, err := layered(t, []*remediate.Policy{base, wf}, text)
		require.ErrorContains(t, err, want, text)
		var m *config.Mistake
		require.ErrorAs(t, err, &m, text)
		require.Equal(t, "apps.conf", m.File)
		require.NotZero(t, m.Line, text)
	}
}

// Whatever layers say, and however many apps an alert is about, no policy goes
// further, or is less careful in any field, than the config's own.
func TestNoAppGoesFurtherThanTheConfig(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	accepted := 0
	for range 600 {
		base := sound(remediate.Mode(pick("off", "observe", "check", "approve", "auto")))
		base.Approval.Roles = []string{"dba", "operator"}
		var classes []string
		for _, app := range []string{"*", "a", "b", "c"} {
			text := app + ":"
			for field, values := range map[string][]string{
				"mode": {"off", "observe", "check", "approve"}, "trigger.firing_for": {"3m", "10m"}, "stable": {"5m", "1h"},
				"guards.rate.target": {"1/1h", "1/2h"}, "approval.roles": {"dba", "operator,dba"}, "guards.attempts.episode": {"1", "2"},
			} {
				if r.IntN(3) == 0 {
					text += " restart-web/" + field + "=" + pick(values...)
				}
			}
			classes = append(classes, text)
		}
		a, err := layered(t, []*remediate.Policy{base}, classes...)
		if err != nil {
			require.ErrorContains(t, err, "less careful")
			continue
		}
		accepted++
		var names []string
		for range 1 + r.IntN(4) {
			names = append(names, pick("a", "b", "c", "d", ""))
		}
		got := a.Of(base, of(names...))
		require.NoError(t, got.Validate())
		for _, one := range append([]*remediate.Policy{base}, a.Of(base, of(names[0])), a.Of(base, of(names[len(names)-1]))) {
			for i, s := range got.Steps {
				require.LessOrEqual(t, slices.Index(apps.Modes(), string(got.ModeOf(s))), slices.Index(apps.Modes(), string(one.ModeOf(one.Steps[i]))))
			}
			require.GreaterOrEqual(t, got.Trigger.FiringFor, one.Trigger.FiringFor)
			require.GreaterOrEqual(t, got.Stable, one.Stable)
			require.LessOrEqual(t, got.Guards.Attempts.Episode, one.Guards.Attempts.Episode)
			require.Subset(t, one.Approval.Roles, got.Approval.Roles)
		}
	}
	require.Greater(t, accepted, 50)
}

// An app's mode is obeyed wherever the engine decides, and told with the line that set it.
func TestTheModeOfAnAppIsObeyed(t *testing.T) {
	for _, tc := range []struct {
		name, classes, app string
		stage              remediate.Stage
		runs               int
	}{
		{"held back", "checkout: restart-web/mode=observe", "checkout", remediate.WouldRun, 0},
		{"another app's", "checkout: restart-web/mode=observe", "cart", remediate.Cleared, 1},
		{"asks", "checkout: restart-web/mode=approve restart-web/approval.roles=dba", "checkout", remediate.Awaiting, 0},
		{"without the label", "*: restart-web/mode=observe", "", remediate.WouldRun, 0},
		{"off", "checkout: restart-web/mode=off", "checkout", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.policy = sound(remediate.Auto)
				w.policy.Approval.Roles = []string{"operator", "dba"}
				var err error
				w.apps, err = layered(t, []*remediate.Policy{w.policy}, tc.classes)
				require.NoError(t, err)
				w.app = tc.app
				w.repairs("p1")
				w.start(w.store)
				w.fires("p1", 1, "web-3")
				if tc.stage == "" {
					w.sleep(time.Hour)
					require.Empty(t, w.all(), "what is off is not even told of")
					return
				}
				d := w.until(0, tc.stage, time.Hour)
				require.Len(t, w.server.launches(), tc.runs)
				switch tc.stage {
				case remediate.WouldRun:
					require.Equal(t, "observe (layers/0.yaml:1)", d.ModeText())
					require.Contains(t, strings.Join(w.told(), "\n"), "but its mode is observe (layers/0.yaml:1)")
				case remediate.Awaiting:
					require.Equal(t, []string{"dba"}, d.Roles)
				default:
					require.Equal(t, "auto", d.ModeText())
				}
				w.soundJournals()
			})
		})
	}
}

// One target of two apps waits for the more careful of them.
func TestAlertsOfSeveralAppsTakeTheMostCareful(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy = sound(remediate.Auto)
		var err error
		w.apps, err = layered(t, []*remediate.Policy{w.policy}, "checkout: restart-web/mode=observe")
		require.NoError(t, err)
		w.app = "cart"
		w.also = "checkout"
		w.start(w.store)
		w.fires("p1", 1, "web-3", "web-4")
		w.sleep(time.Hour)
		for _, d := range w.all() {
			if d.Target.Name == "web-3" { // web-4 is cart's alone
				require.Equal(t, remediate.WouldRun, d.Stage)
				require.Equal(t, "observe (layers/0.yaml:1, the most careful of several apps)", d.ModeText())
			}
		}
		for _, l := range w.server.launches() {
			require.NotContains(t, l, "web-3")
		}
		require.NotEmpty(t, w.server.launches())
	})
}

// A layer that was changed while a dispatch was under way is obeyed: between the
// question and the yes, and between the claim of the target and the launch.
func TestALayerThatChangedMeanwhileIsObeyed(t *testing.T) {
	held := func(t *testing.T, w *world) {
		t.Helper()
		var err error
		w.apps, err = layered(t, []*remediate.Policy{w.policy}, "checkout: restart-web/mode=observe")
		require.NoError(t, err)
	}
	t.Run("before the yes", func(t *testing.T) {
		in(t, func(t *testing.T, w *world) {
			w.policy, w.app = sound(remediate.Approve), "checkout"
			stop := w.start(w.store)
			w.fires("p1", 1, "web-3")
			d := w.until(0, remediate.Awaiting, time.Minute)
			stop()
			held(t, w)
			w.says(d, page.ApproveIt, "jane")
			w.start(w.store)
			w.until(0, remediate.WouldRun, time.Hour)
			require.Empty(t, w.server.launches())
		})
	})
	t.Run("after the claim of the target", func(t *testing.T) {
		in(t, func(t *testing.T, w *world) {
			w.policy, w.app = sound(remediate.Auto), "checkout"
			stop := w.start(&crashing{Store: w.store, at: 2, after: true})
			w.fires("p1", 1, "web-3")
			w.sleep(time.Minute)
			stop()
			require.Equal(t, remediate.Claimed, w.one().Stage)
			held(t, w)
			w.start(w.store)
			d := w.until(0, remediate.WouldRun, time.Hour)
			require.Empty(t, w.server.launches())
			var why []string
			for _, l := range w.journal(d.ID) {
				why = append(why, l.Reason)
			}
			require.Contains(t, why, "mode: its mode is observe by now, and was auto")
			w.soundJournals()
		})
	})
}

// The playbook's own claim obeys it too: it is the last that is asked.
func TestTheClaimObeysALayerThatChanged(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.claim, w.app = "https://tocsin", "checkout"
		w.policy = sound(remediate.Auto)
		w.policy.Steps = w.policy.Steps[:1]
		w.policy.Steps[0].Claim = true
		before := w.engine(w.store)
		var launched remediate.Launch
		w.server.onRun = func(l remediate.Launch, _ int64) { launched = l }
		w.server.runs = 5 * time.Minute
		w.start(w.store)
		w.fires("p1", 1, "web-3")
		w.until(0, remediate.Launched, time.Minute)
		w.sleep(2 * time.Minute)
		var err error
		w.apps, err = layered(t, []*remediate.Policy{w.policy}, "checkout: restart-web/mode=approve")
		require.NoError(t, err)
		require.Equal(t, http.StatusLocked, w.ask(w.engine(w.store), launched, 1, "web-3"))
		require.Equal(t, http.StatusOK, w.ask(before, launched, 1, "web-3"))
	})
}

// What waits for its guards does not end because its page is folded away for a
// while, even where the page is about an app for which the policy is off, too.
func TestWhatIsFoldedAwayIsNotOff(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy, w.app, w.also = sound(remediate.Auto), "cart", "checkout"
		var err error
		w.apps, err = layered(t, []*remediate.Policy{w.policy}, "checkout: restart-web/mode=off")
		require.NoError(t, err)
		fold := func(into string) {
			rec, err := w.store.Get(t.Context(), store.ProblemKey("p1"))
			require.NoError(t, err)
			var p page.Problem
			require.NoError(t, store.Unmarshal(rec.Value, &p))
			p.Folded = into
			value, err := store.Marshal(p)
			require.NoError(t, err)
			require.NoError(t, w.store.Apply(t.Context(), store.Swap(rec.Key, rec.Rev, value)))
		}
		w.judge.set(saying("load", remediate.Deny))
		w.start(w.store)
		w.fires("p1", 1, "web-4", "web-3")
		w.until(0, remediate.Blocked, time.Minute)
		fold("storm")
		w.sleep(10 * time.Minute)
		require.Equal(t, remediate.Blocked, w.one().Stage, "web-4 is of two apps, for one of which it is off")
		require.Equal(t, "web-3", w.one().Target.Name)
		fold("")
		w.judge.set(nil)
		d := w.until(0, remediate.Launched, 10*time.Minute)
		require.Equal(t, remediate.Auto, d.Mode)
	})
}
