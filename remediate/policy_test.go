package remediate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remediate"
)

func TestTheExamplesAreGood(t *testing.T) {
	ps, err := remediate.LoadPolicies(filepath.Join("..", "deploy", "remediation", "*.yaml"))
	require.NoError(t, err)
	var names []string
	for _, p := range ps {
		names = append(names, p.Name)
	}
	require.Equal(t, []string{"restart-exporter", "rollback-deploy", "shift-traffic"}, names)
	require.Equal(t, filepath.Join("..", "deploy", "remediation", "restart-exporter.yaml")+":4", ps[0].Place)
}

// least is the shortest good policy.
const least = `policies:
  - name: restart
    team: infra
    danger: reversible
    match: ['alertname="Down"']
    target: {kind: host, label: instance, validate: 'web-[0-9]+', inventory: prod, pool: {label: cluster, size: 'count(up{cluster=$pool})'}}
    steps:
      - {name: restart, backend: awx/main, template: restart-web}
`

func TestWhatIsLeftOutIsSafe(t *testing.T) {
	ps, err := remediate.ParsePolicies("p.yaml", []byte(least))
	require.NoError(t, err)
	require.Len(t, ps, 1)
	p := ps[0]
	minutes := func(n int) config.Duration { return config.Duration(time.Duration(n) * time.Minute) }
	require.Equal(t, remediate.Observe, p.Mode)
	require.Equal(t, remediate.Trigger{FiringFor: minutes(3), MaxAge: minutes(30)}, p.Trigger)
	require.Equal(t, remediate.GuardRules{
		Silences:    true,
		BlastRadius: remediate.BlastRadius{MaxUnhealthy: "20%", MinHealthy: 1, AtOnce: 10, Cooldown: minutes(15)},
		Rate:        remediate.Rates{Target: "1/1h", Policy: "5/10m", Team: "20/1h", Global: "50/1h"},
		Concurrency: remediate.Concurrency{Target: 1, Pool: 1, Policy: 3, Global: 10},
		Cooldown:    remediate.Cooldown{Success: minutes(30), Failure: hours(2)},
		Attempts:    remediate.Attempts{Episode: 2, Target: "3/24h"},
		Breaker:     remediate.BreakerPolicy{Failures: 3, Window: hours(1)},
	}, p.Guards)
	require.Equal(t, remediate.Step{
		Name: "restart", Backend: "awx/main", Template: "restart-web", Kind: "job", Mode: remediate.Observe, Danger: remediate.Reversible,
		QueueTimeout: minutes(2), Verify: remediate.Verify{ResolvedWithin: minutes(10)},
	}, p.Steps[0])
	require.Equal(t, remediate.Approval{Roles: []string{"operator"}, Expires: minutes(15)}, p.Approval)
	require.Equal(t, "p.yaml:2", p.Place)
}

// Each line is a change of the shortest policy, and the mistake it makes.
func TestMistakesHaveTheirLine(t *testing.T) {
	for name, tc := range map[string]struct{ old, with, want string }{
		"unknown key":               {"    team:", "    taem: x\n    team:", `p.yaml:3: unknown key "taem"; write "team"`},
		"unknown key below":         {"inventory: prod", "inventory: prod, inventry: x", `p.yaml:6: unknown key "inventry"`},
		"twice":                     {"    team: infra", "    team: infra\n    team: infra", `p.yaml:4: mapping key "team" already defined`},
		"no name":                   {"name: restart\n", "name: \"\"\n", `p.yaml:2: name: "" is no name`},
		"a name of two":             {"name: restart\n", "name: a/b\n", `p.yaml:2: name: "a/b" is no name`},
		"no team":                   {"    team: infra\n", "", `team: "" is no name`},
		"no danger":                 {"    danger: reversible\n", "", `danger: "" is none of read-only`},
		"a danger that is none":     {"danger: reversible", "danger: reversibly", `p.yaml:4: danger: "reversibly" is none of read-only, reversible, disruptive, destructive: write reversible`},
		"a mode that is none":       {"    team: infra", "    team: infra\n    mode: automatic", `p.yaml:4: mode: "automatic" is none of`},
		"no matcher":                {`['alertname="Down"']`, "[]", "p.yaml:5: match: write which alerts"},
		"a matcher that is none":    {`'alertname="Down"'`, `'alertname'`, `p.yaml:5: match[0]: "alertname" is no matcher`},
		"every alert":               {`'alertname="Down"'`, `'env=~".*"'`, "p.yaml:5: match: every alert matches"},
		"Tocsin's own":              {`"Down"`, `"TocsinDown"`, "p.yaml:5: match[0]: Tocsin does not treat its own alarms"},
		"Tocsin's own, by pattern":  {`="Down"`, `=~"Tocsin.*"`, "p.yaml:5: match[0]: Tocsin does not treat its own alarms"},
		"no label":                  {"label: instance, ", "", "target.label: write the label"},
		"no inventory":              {"inventory: prod, ", "", "target.inventory: name the inventory"},
		"an inventory of templates": {"inventory: prod", "inventory: '{{ prod }}'", "p.yaml:6: target.inventory: write the inventory's name"},
		"no pattern":                {"validate: 'web-[0-9]+', ", "", "target.validate:"},
		"a pattern that is none":    {"web-[0-9]+", "web-(", "p.yaml:6: target.validate: \"web-(\" is no RE2"},
		"a pattern out of its cage": {"web-[0-9]+", "a)|(b", "p.yaml:6: target.validate:"},
		"a pattern for anything":    {"web-[0-9]+", ".*", "p.yaml:6: target.validate: \".*\" lets \"\" through"},
		"a pattern for patterns":    {"web-[0-9]+", "[a-z:0-9-]+", "p.yaml:6: target.validate:"},
		"a pattern that lets all":   {"web-[0-9]+", "[a-z]+", `p.yaml:6: target.validate: "[a-z]+" lets "all" through`},
		"a variable":                {"inventory: prod", "inventory: prod, variable: x", "p.yaml:6: target.variable: a host goes into the limit"},
		"no pool":                   {"pool: {label: cluster, size: 'count(up{cluster=$pool})'}", "pool: {}", "target.pool.label: name the label"},
		"a size that is none":       {"count(up{cluster=$pool})", "count(up{cluster=$pool}", "p.yaml:6: target.pool.size: no PromQL"},
		"a size of a metric's name": {"count(up{cluster=$pool})", "count({__name__=$pool})", "p.yaml:6: target.pool.size: $target and $pool do not name metrics"},
		"a size from the past":      {"count(up{cluster=$pool})", "count(up{cluster=$pool} @ 1)", "p.yaml:6: target.pool.size: a selector with @"},
		"no steps":                  {"      - {name: restart, backend: awx/main, template: restart-web}\n", "", "steps: write at least one step"},
		"no backend":                {"backend: awx/main", "backend: awx", `p.yaml:8: steps[0].backend: "awx" names no backend`},
		"no template":               {", template: restart-web", "", "p.yaml:8: steps[0].template:"},
		"a template in it":          {"template: restart-web", "template: 'restart-{{ x }}'", "p.yaml:8: steps[0].template:"},
		"a kind that is none":       {"template: restart-web", "template: x, kind: playbook", `p.yaml:8: steps[0].kind: "playbook" is none of job, workflow`},
		"beyond the policy's mode":  {"template: restart-web", "template: x, mode: auto", "p.yaml:8: steps[0].mode: auto goes further than the policy, which is observe"},
		"beyond its danger":         {"template: restart-web", "template: x, danger: disruptive", "p.yaml:8: steps[0].danger: disruptive is worse than the policy says"},
		"a variable of Ansible's":   {"template: restart-web", "template: x, variables: {ansible_host: {value: x}}", `p.yaml:8: steps[0].variables.ansible_host: "ansible_host" is no name for a variable`},
		"a variable with template":  {"template: restart-web", "template: x, variables: {a: {value: '{{ x }}'}}", "p.yaml:8: steps[0].variables.a: value: it holds template syntax"},
		"a label without allow":     {"template: restart-web", "template: x, variables: {a: {label: job}}", "p.yaml:8: steps[0].variables.a: allow:"},
		"a label with wide allow":   {"template: restart-web", "template: x, variables: {a: {label: job, allow: '.+'}}", "p.yaml:8: steps[0].variables.a: allow:"},
		"value and label":           {"template: restart-web", "template: x, variables: {a: {label: job, value: x}}", "p.yaml:8: steps[0].variables.a: write either value or label"},
		"a verification":            {"template: restart-web", "template: x, verify: {promql: 'up{'}", "p.yaml:8: steps[0].verify.promql: no PromQL"},
		"check of a workflow":       {"template: restart-web", "template: x, kind: workflow, mode: check", "p.yaml:8: steps[0].mode:"},
		"too long":                  {"template: restart-web", "template: x, timeout: 2d", "p.yaml:8: steps[0].timeout: 2d: write something between"},
		"no duration":               {"template: restart-web", "template: x, timeout: soon", `p.yaml:8: "soon" is not a duration`},
		"a step twice":              {"template: restart-web}", "template: x}\n      - {name: restart, backend: awx/main, template: y}", `p.yaml:9: steps[1].name: "restart" stands twice`},
		"never acts":                {"    team: infra", "    team: infra\n    trigger: {firing_for: 1h}", "p.yaml:4: trigger.max_age: 30m is not longer than firing_for"},
		"all may be unwell":         {"    steps:", "    guards: {blast_radius: {max_unhealthy: 100%}}\n    steps:", "p.yaml:7: guards.blast_radius.max_unhealthy: where more than half"},
		"a share that is none":      {"    steps:", "    guards: {blast_radius: {max_unhealthy: some}}\n    steps:", "p.yaml:7: guards.blast_radius.max_unhealthy:"},
		"a rate that is none":       {"    steps:", "    guards: {rate: {team: often}}\n    steps:", `p.yaml:7: guards.rate.team: "often" is no rate`},
		"a rate over days":          {"    steps:", "    guards: {attempts: {target: 3/48h}}\n    steps:", `p.yaml:7: guards.attempts.target: "3/48h" is no rate`},
		"two on a target":           {"    steps:", "    guards: {concurrency: {target: 2}}\n    steps:", "p.yaml:7: guards.concurrency.target: one at a time"},
		"a zone that is none":       {"    steps:", "    guards: {calendar: [{from: '09:00', to: '10:00', zone: Mars/Base}]}\n    steps:", `p.yaml:7: guards.calendar[0]: zone: "Mars/Base" is no IANA time zone`},
		"types without a label":     {"    steps:", "    guards: {service_types: {allow: [web]}}\n    steps:", "p.yaml:7: guards.service_types.label:"},
		"types without any":         {"    steps:", "    guards: {service_types: {label: type}}\n    steps:", "p.yaml:7: guards.service_types.allow:"},
		"a type allowed and denied": {"    steps:", "    guards: {service_types: {label: type, allow: [web], deny: [web]}}\n    steps:", `p.yaml:7: guards.service_types.allow[0]: "web" is denied as well`},
		"a check that asks nothing": {"    steps:", "    guards: {pre_checks: [{name: a, promql: 'vector(1)', require: '== 1'}]}\n    steps:", "p.yaml:7: guards.pre_checks[0].promql: it asks for no metric"},
		"a check without a limit":   {"    steps:", "    guards: {pre_checks: [{name: a, promql: up}]}\n    steps:", `p.yaml:7: guards.pre_checks[0].require: "" is no condition`},
		"a proof from nowhere":      {"    steps:", "    guards: {proof: {name: a, promql: up, require: '== 1', elsewhere: true}}\n    steps:", "p.yaml:7: guards.proof.source: name the source that measures by itself"},
		"a proof by the alert":      {"    steps:", "    guards: {proof: {name: a, promql: 'max(ALERTS)', require: '== 1'}}\n    steps:", "p.yaml:7: guards.proof.promql: that the alert fires does not prove it"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, least, tc.old)
			ps, err := remediate.ParsePolicies("p.yaml", []byte(strings.Replace(least, tc.old, tc.with, 1)))
			require.ErrorContains(t, err, tc.want)
			require.Empty(t, ps, "a policy with a mistake is none")
		})
	}
}

// What a policy must never mean, whatever else it says.
func TestWhatIsNeverAutomatic(t *testing.T) {
	probe := &remediate.PreCheck{Name: "probe", PromQL: `max(probe_success{host=$target})`, Require: "== 0"}
	for name, tc := range map[string]struct {
		policy *remediate.Policy
		change func(p *remediate.Policy)
		want   string // "": it is good
	}{
		"a reversible step":                {hostPolicy(), func(*remediate.Policy) {}, ""},
		"a service":                        {servicePolicy(), func(p *remediate.Policy) { p.Mode = remediate.Auto }, "mode: a service is never touched without a person"},
		"a service by approval":            {servicePolicy(), func(*remediate.Policy) {}, ""},
		"a datacentre":                     {servicePolicy(), func(p *remediate.Policy) { p.Target.Kind = remediate.DatacentreTarget; p.Mode = remediate.Auto }, "mode: a datacentre is never touched without a person"},
		"a service without a variable":     {servicePolicy(), func(p *remediate.Policy) { p.Target.Variable = "" }, "target.variable: name the variable"},
		"a service in a variable of AWX's": {servicePolicy(), func(p *remediate.Policy) { p.Target.Variable = "ansible_user" }, "target.variable:"},
		"a service with an inventory":      {servicePolicy(), func(p *remediate.Policy) { p.Target.Inventory = "prod" }, "target.inventory: a service has the fixed inventory"},
		"a service's identity twice": {servicePolicy(), func(p *remediate.Policy) {
			p.Steps[0].Variables = map[string]remediate.StepVariable{"bad_version": {Value: "x"}}
		}, "holds the target's identity"},
		"a service in Zabbix": {servicePolicy(), func(p *remediate.Policy) { p.Guards.Zabbix = "main" }, "guards.zabbix:"},
		"destructive":         {hostPolicy(), func(p *remediate.Policy) { p.Danger = remediate.Destructive; p.Guards.Proof = probe }, "mode: what can destroy never runs by itself"},
		"a destructive step": {hostPolicy(), func(p *remediate.Policy) {
			p.Danger, p.Steps[0].Danger = remediate.Destructive, remediate.Destructive
			p.Guards.Proof = probe
			p.Mode = remediate.Auto
		}, "steps[0].mode: what can destroy never runs by itself"},
		"destructive by approval": {hostPolicy(), func(p *remediate.Policy) {
			p.Danger, p.Steps[0].Danger = remediate.Destructive, remediate.Destructive
			p.Guards.Proof = probe
			p.Mode, p.Steps[0].Mode = remediate.Approve, remediate.Approve
		}, ""},
		"disruptive without proof": {hostPolicy(), func(p *remediate.Policy) {
			p.Danger, p.Steps[0].Danger, p.Steps[0].Claim = remediate.Disruptive, remediate.Disruptive, true
		}, "needs guards.proof"},
		"disruptive without claim": {hostPolicy(), func(p *remediate.Policy) {
			p.Danger, p.Steps[0].Danger, p.Guards.Proof = remediate.Disruptive, remediate.Disruptive, probe
		}, "steps[0].claim:"},
		"disruptive with both": {hostPolicy(), func(p *remediate.Policy) {
			p.Danger, p.Steps[0].Danger, p.Guards.Proof, p.Steps[0].Claim = remediate.Disruptive, remediate.Disruptive, probe, true
		}, ""},
		"a workflow in check mode": {hostPolicy(), func(p *remediate.Policy) { p.Steps[0].Mode, p.Steps[0].Kind = remediate.Check, "workflow" }, "steps[0].mode: a workflow has no check mode"},
		"a ladder that begins at the worst": {hostPolicy(), func(p *remediate.Policy) {
			p.Steps = append(p.Steps, p.Steps[0])
			p.Steps[1].Name, p.Steps[1].Danger = "look", remediate.ReadOnly
		}, "steps[1].danger: read-only comes after reversible"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.change(tc.policy)
			err := tc.policy.Validate()
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestAllMistakesAreToldTogether(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("a.yaml", least)
	write("b.yaml", least)
	write("c.yaml", "policies: {}\n")
	write("d.yaml", strings.ReplaceAll(strings.Replace(least, "name: restart\n", "name: other\n", 1), "awx/main", "awx"))
	write("e.yaml", "")
	write("f.yaml", "policies: [\n")
	ps, err := remediate.LoadPolicies(filepath.Join(dir, "*.yaml"), filepath.Join(dir, "none.yaml"), filepath.Join(dir, "a.yaml"))
	require.Len(t, ps, 1)
	for _, want := range []string{
		`b.yaml:2: policy "restart" stands at ` + filepath.Join(dir, "a.yaml:2") + " already", "c.yaml:1: ", "d.yaml:8: steps[0].backend",
		"e.yaml: there are no policies", "f.yaml:", "none.yaml: there is no such file",
	} {
		require.ErrorContains(t, err, want)
	}
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		_, ok := errors.AsType[*config.Mistake](e)
		require.True(t, ok || len(e.(interface{ Unwrap() []error }).Unwrap()) > 0, "%v", e)
	}
}

// The reference and the schema have no other source than the doc tags.
func TestEveryKeyOfAPolicyIsDocumented(t *testing.T) {
	for _, k := range append(config.Keys(remediate.DefaultPolicy()), config.Keys(&remediate.ZabbixConfig{})...) {
		require.NotEmpty(t, k.Doc, k.Path)
	}
	require.NotNil(t, config.SchemaOf(remediate.DefaultPolicy()))
}

func TestHowFarAStepMayGo(t *testing.T) {
	for _, tc := range []struct {
		policy, step remediate.Mode
		kind         remediate.TargetKind
		danger       remediate.Danger
		want         remediate.Mode
	}{
		{"", "", remediate.HostTarget, remediate.Reversible, remediate.Observe},
		{remediate.Auto, "", remediate.HostTarget, remediate.Reversible, remediate.Auto},
		{remediate.Auto, remediate.Approve, remediate.HostTarget, remediate.Reversible, remediate.Approve},
		{remediate.Observe, remediate.Auto, remediate.HostTarget, remediate.Reversible, remediate.Observe},
		{remediate.Auto, remediate.Off, remediate.HostTarget, remediate.Reversible, remediate.Off},
		{remediate.Auto, "always", remediate.HostTarget, remediate.Reversible, remediate.Off},
		{"always", remediate.Auto, remediate.HostTarget, remediate.Reversible, remediate.Off},
		{remediate.Auto, "", remediate.ServiceTarget, remediate.ReadOnly, remediate.Approve},
		{remediate.Auto, "", remediate.HostTarget, remediate.Destructive, remediate.Approve},
		{remediate.Auto, "", remediate.HostTarget, "", remediate.Approve},
		{remediate.Check, "", remediate.DatacentreTarget, remediate.Reversible, remediate.Check},
	} {
		p := remediate.Policy{Mode: tc.policy, Target: remediate.TargetRule{Kind: tc.kind}}
		require.Equal(t, tc.want, p.ModeOf(remediate.Step{Mode: tc.step, Danger: tc.danger}), "%+v", tc)
	}
}

func FuzzPolicies(f *testing.F) {
	f.Add([]byte(least))
	examples, err := filepath.Glob(filepath.Join("..", "deploy", "remediation", "*.yaml"))
	require.NoError(f, err)
	require.NotEmpty(f, examples)
	for _, path := range examples {
		b, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte("policies: [{name: a, match: [\"a=~'(\"]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ps, err := remediate.ParsePolicies("p.yaml", data)
		for _, p := range ps {
			require.NoError(t, p.Validate(), "what was read is good as it was filled")
			for _, s := range p.Steps {
				if p.ModeOf(s) == remediate.Auto {
					require.Equal(t, remediate.HostTarget, p.Target.Kind)
					require.NotEqual(t, remediate.Destructive, p.DangerOf(s))
				}
			}
			_, _ = p.Targets(pageOf(firing(0, "instance", "web-1")))
		}
		if err == nil {
			require.NotEmpty(t, ps)
		}
	})
}
