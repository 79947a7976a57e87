package layers_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/apps"
	"github.com/tocsin/tocsin/rules/layers"
)

// besides is a tree whose layers set policies and context.
func besides(changed map[string]string) fstest.MapFS {
	files := map[string]string{
		"apps.yaml":        "apps:\n  - {name: cart, phase: live}\n  - {name: checkout, phase: live, app-group: payments}\n  - {name: search, phase: dev}\n",
		"templates/t.yaml": "rules:\n  - {alert: A, expr: up == 0}\n",
		"layers/global.yaml": `policies:
  restart-web:
    mode: approve
    guards: {cooldown: {after_failure: 4h}}
    lock: [guards.cooldown]
context: {deadline: {critical: 3s}}
`,
		"layers/phase/dev.yaml":          "policies: {restart-web: {enabled: false}, roll-back: {mode: observe}}\n",
		"layers/app-group/payments.yaml": "policies:\n  restart-web:\n    mode: observe\n    trigger: {firing_for: 300s}\n    approval: {roles: [payments, dba]}\n",
		"layers/app/checkout.yaml":       "policies:\n  restart-web: {mode: null}\ncontext: null\n",
	}
	maps.Copy(files, changed)
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func settingsFile(t *testing.T, fsys fstest.MapFS) string {
	t.Helper()
	tr, err := layers.Load(fsys, "rules", nil)
	require.NoError(t, err)
	groups, err := tr.Compile()
	require.NoError(t, err)
	files, err := tr.Files(groups)
	require.NoError(t, err)
	for _, f := range files {
		if f.Name == layers.AppsFile {
			return string(f.Data)
		}
	}
	return ""
}

func TestSettingsOfAppsAreWrittenByClass(t *testing.T) {
	want := `# Written by tocsin rules build from the layers of rules: change those.
label: app
classes:
  - apps: [cart]
    others: true
    settings:
      - field: deadline.critical
        value: 3s
        at: layers/global.yaml:6
      - policy: restart-web
        field: guards.cooldown.after_failure
        value: 4h
        at: layers/global.yaml:4
      - policy: restart-web
        field: mode
        value: approve
        at: layers/global.yaml:3
  - apps: [checkout]
    settings:
      - policy: restart-web
        field: approval.roles
        value: dba, payments
        at: layers/app-group/payments.yaml:5
      - policy: restart-web
        field: guards.cooldown.after_failure
        value: 4h
        at: layers/global.yaml:4
      - policy: restart-web
        field: trigger.firing_for
        value: 5m
        at: layers/app-group/payments.yaml:4
  - apps: [search]
    settings:
      - field: deadline.critical
        value: 3s
        at: layers/global.yaml:6
      - policy: restart-web
        field: guards.cooldown.after_failure
        value: 4h
        at: layers/global.yaml:4
      - policy: restart-web
        field: mode
        value: "off"
        at: layers/phase/dev.yaml:1
      - policy: roll-back
        field: mode
        value: observe
        at: layers/phase/dev.yaml:1
`
	require.Equal(t, want, settingsFile(t, besides(nil)))
	require.Empty(t, settingsFile(t, besides(map[string]string{
		"layers/global.yaml": "policies: {restart-web: {lock: [mode]}}", "layers/phase/dev.yaml": "", "layers/app-group/payments.yaml": "", "layers/app/checkout.yaml": "",
	})), "a lock sets nothing")
}

func TestMistakesInSettingsOfApps(t *testing.T) {
	for name, c := range map[string]struct{ app, want string }{
		"field":          {"policies:\n  restart-web: {mod: off}", `layers/app/cart.yaml:2: layers set no "mod" of a policy; write "mode"`},
		"section":        {"policies:\n  restart-web:\n    guards: {rate: {policy: 1/1h}}", `layers/app/cart.yaml:3: layers set no "guards.rate.policy" of a policy`},
		"shared":         {"policies:\n  restart-web:\n    guards: {breaker: {failures: 9}}", `layers/app/cart.yaml:3: layers set no "guards.breaker" of a policy`},
		"match":          {"policies:\n  restart-web: {match: [a]}", `layers/app/cart.yaml:2: layers set no "match" of a policy`},
		"mode":           {"policies:\n  restart-web: {mode: manual}", `layers/app/cart.yaml:2: mode: "manual" is no mode`},
		"duration":       {"policies:\n  restart-web: {stable: 5}", `layers/app/cart.yaml:2: stable: "5"`},
		"rate":           {"policies:\n  restart-web:\n    guards: {attempts: {target: often}}", `"often" is no rate`},
		"roles":          {"policies:\n  restart-web: {approval: {roles: dba}}", `"dba" stands where there must be a list`},
		"on":             {"policies:\n  restart-web: {enabled: true}", "write how far it may go instead"},
		"both":           {"policies:\n  restart-web: {enabled: false, mode: auto}", "which is mode off"},
		"locked":         {"policies:\n  restart-web:\n    guards: {cooldown: {after_failure: 1m}}", "layers/app/cart.yaml:3: policies.restart-web.guards.cooldown.after_failure is locked at rules/layers/global.yaml:5"},
		"locked section": {"policies:\n  restart-web:\n    guards: null", "is locked at rules/layers/global.yaml:5"},
		"lock":           {"policies:\n  restart-web: {lock: [steps]}", `there is no field "steps" of a policy to lock`},
		"context":        {"context: {deadline: {critcal: 1s}}", `layers/app/cart.yaml:1: layers set no "deadline.critcal" of context; write "deadline.critical"`},
		"deadline":       {"context: {deadline: {other: 5m}}", "at most 1m"},
		"scalar":         {"policies: {restart-web: {trigger: 3m}}", "stands where there must be a section"},
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := layers.Load(besides(map[string]string{"layers/app/cart.yaml": c.app}), "rules", nil)
			if err == nil {
				_, err = tr.Compile()
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestExplainAndDiffKnowSettingsOfApps(t *testing.T) {
	old, err := layers.Load(besides(nil), "rules", nil)
	require.NoError(t, err)
	for _, asked := range [][2]string{{"policies.restart-web.mode", ""}, {"policies.restart-web", "mode"}} {
		e, err := old.Explain("search", asked[0], asked[1])
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, e.WriteText(&out))
		require.Equal(t, "search · policies.restart-web.mode\n\npolicies.restart-web.mode = off\n"+
			"  layers/phase/dev.yaml:1  phase/dev  off\n  layers/global.yaml:3     global     approve  shadowed\n", out.String())
	}
	e, err := old.Explain("checkout", "policies", "")
	require.NoError(t, err)
	require.Len(t, e.Fields, 4)
	require.Equal(t, "as the config has it", e.Fields[2].Value)
	require.Equal(t, "layers/global.yaml:5", e.Fields[1].Locked.Place())
	_, err = old.Explain("checkout", "policies.restart", "")
	require.ErrorContains(t, err, `nobody sets "policies.restart" for checkout`)

	now, err := layers.Load(besides(map[string]string{"layers/app-group/payments.yaml": "", "layers/app/checkout.yaml": "\n\ncontext: {deadline: {critical: 3s}}"}), "rules", nil)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, layers.WriteChanges(&out, layers.Diff(layers.Side{Tree: old}, layers.Side{Tree: now})))
	require.Equal(t, `changed context, 1 app: checkout
  deadline.critical: (not set) → 3s  (layers/app/checkout.yaml:3)
changed policies.restart-web, 1 app: checkout
  approval.roles: dba, payments → (not set)
  mode: (not set) → approve  (layers/global.yaml:3)
  trigger.firing_for: 5m → (not set)
`, out.String())
}

// Every app has, by the class it is in, exactly what plain resolution gives it.
func TestEveryAppHasItsOwnSettings(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 11))
		w := draw(r)
		fsys := w.files()
		said := map[string]map[string]string{} // by layer/value, then by field: "" takes away
		for _, s := range w.said {
			fields, text := drawSettings(r)
			said[s.layer+"/"+s.value] = fields
			name := "layers/" + strings.Replace(s.layer, "name", "app", 1) + "/" + s.value + ".yaml"
			if s.layer == "global" {
				name = "layers/global.yaml"
			}
			fsys[name].Data = append(fsys[name].Data, text...)
		}
		plain := func(app map[string]string) map[string]string {
			out := map[string]string{}
			for _, s := range w.said {
				if s.layer != "global" && app[s.layer] != s.value {
					continue
				}
				for k, v := range said[s.layer+"/"+s.value] {
					if out[k] = v; v == "" {
						delete(out, k)
					}
				}
			}
			return out
		}
		text := settingsFile(t, fsys)
		f := &apps.File{}
		if text != "" {
			var err error
			f, err = apps.Parse("x", []byte(text))
			require.NoError(t, err, "seed %d", seed)
		}
		class := f.Index()
		for _, a := range append(w.apps, map[string]string{"name": "stranger"}) {
			got := map[string]string{}
			if i := class(a["name"]); i >= 0 {
				for _, s := range f.Classes[i].Settings {
					got[s.Policy+" "+s.Field] = s.Value
				}
			}
			require.Equal(t, plain(a), got, "seed %d app %v in\n%s", seed, a, text)
		}
	}
}

// drawSettings draws what a layer sets, and how it is written.
func drawSettings(r *rand.Rand) (map[string]string, string) {
	values := map[string][]string{
		" deadline.critical": {"2s", "3s", ""}, "p mode": {"off", "observe", "auto", ""}, "p stable": {"5m", "10m", ""}, "q mode": {"approve", "check", ""},
		"q guards.attempts.target": {"1/1h", "2/1d", ""}, "p trigger.firing_for": {"1m", ""},
	}
	out := map[string]string{}
	var b strings.Builder
	for _, policy := range []string{"p", "q"} {
		for _, k := range slices.Sorted(maps.Keys(values)) {
			of, field, _ := strings.Cut(k, " ")
			if of != policy || r.IntN(3) > 0 {
				continue
			}
			if b.Len() == 0 {
				b.WriteString("policies:\n")
			}
			if !strings.Contains(b.String(), "  "+policy+":\n") {
				b.WriteString("  " + policy + ":\n")
			}
			out[k] = pick(r, values[k]...)
			b.WriteString("    " + nested(field, out[k]) + "\n")
		}
	}
	if k := " deadline.critical"; r.IntN(3) == 0 {
		out[k] = pick(r, values[k]...)
		b.WriteString("context:\n  " + nested("deadline.critical", out[k]) + "\n")
	}
	return out, b.String()
}

func nested(field, value string) string {
	if value == "" {
		value = "null"
	}
	parts := strings.Split(field, ".")
	out := value
	for _, p := range slices.Backward(parts[1:]) {
		out = fmt.Sprintf("{%s: %s}", p, out)
	}
	return parts[0] + ": " + out
}
