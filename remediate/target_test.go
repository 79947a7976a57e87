package remediate_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

// anything is a policy as wide as its pattern can be written.
func anything() *remediate.Policy {
	p := hostPolicy()
	p.Target.Validate = `(?s).*`
	return p
}

func TestHostsOfLabels(t *testing.T) {
	for value, want := range map[string]string{
		"web-1":                     "web-1",
		"web-1:9100":                "web-1",
		"WEB-1.Example.ORG:9100":    "web-1.example.org",
		"10.1.2.3:9100":             "10.1.2.3",
		"web_1":                     "web_1",
		"":                          "",
		" ":                         "",
		"web-1 ":                    "",
		" web-1":                    "",
		"web 1":                     "",
		"all":                       "",
		"ALL":                       "",
		"all:9100":                  "",
		"ungrouped":                 "",
		"localhost:9090":            "",
		"127.0.0.1:9090":            "",
		"0.0.0.0":                   "",
		"224.0.0.1":                 "",
		"*":                         "",
		"web-*":                     "",
		"web-?":                     "",
		"web-[0:3]":                 "",
		"web-[0-3]":                 "",
		"!web-1":                    "",
		"&web-1":                    "",
		"~web.*":                    "",
		"@/etc/hosts":               "",
		"web-1,web-2":               "",
		"web-1;web-2":               "",
		"web-1:web-2":               "",
		"web-1:!web-2":              "",
		"web-1:9100:9101":           "",
		"web-1:":                    "",
		":9100":                     "",
		"web-1:0":                   "",
		"web-1:+80":                 "",
		"web-1:65536":               "",
		"web-1:http":                "",
		"-web":                      "",
		"--limit=all":               "",
		"web-":                      "",
		"web-1.":                    "",
		"{{ all }}":                 "",
		"{% raw %}":                 "",
		"web-1{{":                   "",
		"ansible_connection":        "",
		"ansible_connection=local":  "",
		"ANSIBLE_HOST":              "",
		"web-1\n":                   "",
		"web-1\nall":                "",
		"\nweb-1":                   "",
		"web-1\r":                   "",
		"web-1\x00":                 "",
		"web\x00-1":                 "",
		"web-1\u202e":               "",
		"\u202eweb-1":               "",
		"web\u200b-1":               "",
		"web\u00a0-1":               "",
		"web\u2028-1":               "",
		"wеb-1":                     "", // the e is Cyrillic
		"web-1\xff":                 "",
		"2001:db8::1":               "",
		"[2001:db8::1]:9100":        "",
		"[2001:DB8::1]":             "",
		"[2001:db8::1]9100":         "",
		"[2001:db8::1]:":            "",
		"[2001:db8::1":              "",
		"[::1]:9100":                "",
		"[fe80::1%eth0]:9100":       "",
		"[web-1]:9100":              "",
		"[10.1.2.3]:9100":           "",
		"::ffff:10.1.2.3":           "",
		"http://web-1:9100/metrics": "",
		"web-1/../all":              "",
		"$(reboot)":                 "",
		"`reboot`":                  "",
		"web-1#all":                 "",
		strings.Repeat("a", 254):    "",
		strings.Repeat("a", 2000):   "",
	} {
		targets, refused := anything().Targets(pageOf(firing(0, "instance", value)))
		if want == "" {
			require.Empty(t, targets, "%q", value)
			require.Len(t, refused, 1, "%q", value)
			require.NotEmpty(t, refused[0].Reason, "%q", value)
			continue
		}
		require.Empty(t, refused, "%q", value)
		require.Equal(t, []remediate.Target{{Kind: remediate.HostTarget, Name: want, Pool: "web"}}, targets, "%q", value)
	}
}

// Whatever stands in a label, and however wide the pattern: a target's name is
// the name of one host, and a variable is what its pattern allows.
func TestHostileLabelsNeverReachALaunch(t *testing.T) {
	one := regexp.MustCompile(`\A[a-z0-9]([a-z0-9._-]*[a-z0-9])?\z`)
	alphabet := []string{"a", "web", "-", ".", ":", "*", "?", "[", "]", "!", "&", ",", ";", "~", "@", "%", "{{", "}}", "{%", " ", "\n", "\t", "\x00", "\u202e", "\u200b", "é", "Z", "0", "9100", "all", "localhost", "ansible_", "::", "/", "\\", "$", "\"", "'", "`", "\xff"}
	r := rand.New(rand.NewPCG(2, 6))
	seen := 0
	for range 4000 {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			b.WriteString(alphabet[r.IntN(len(alphabet))])
		}
		p := anything()
		p.Steps[0].Variables = map[string]remediate.StepVariable{"svc": {Label: "service", Allow: `(?s).*`}}
		pg := pageOf(firing(0, "instance", b.String(), "service", b.String()))
		targets, _ := p.Targets(pg)
		for _, target := range targets {
			seen++
			require.Regexp(t, one, target.Name, "%q", b.String())
			require.NotContains(t, []string{"all", "localhost", "ungrouped"}, target.Name)
			require.False(t, strings.HasPrefix(target.Name, "ansible_"))
			vars, err := p.Variables(p.Steps[0], pg, target)
			if err != nil {
				continue
			}
			require.Len(t, vars, 1)
			require.Equal(t, b.String(), vars["svc"])
			require.NotContains(t, vars["svc"], "{{")
		}
	}
	require.Greater(t, seen, 80)
}

func TestOneTargetForEachDistinctHost(t *testing.T) {
	resolved := firing(0, "instance", "web-7:9100")
	resolved.Status = page.Resolved
	targets, refused := hostPolicy().Targets(pageOf(
		firing(0, "instance", "web-2:9100"), firing(0, "instance", "WEB-2:9200"), firing(0, "instance", "web-1:9100"),
		firing(0, "instance", "db-1:9100"), firing(0, "instance", "web-3", "cluster", ""), firing(0, "instance", "web-9", "alertname", "Slow"),
		firing(0), resolved,
	))
	require.Equal(t, []remediate.Target{
		{Kind: remediate.HostTarget, Name: "web-1", Pool: "web"}, {Kind: remediate.HostTarget, Name: "web-2", Pool: "web"},
	}, targets)
	require.Equal(t, []remediate.Refusal{
		{Value: "", Reason: "the label is empty or missing"},
		{Value: "db-1:9100", Reason: "it does not match target.validate"},
		{Value: "web-3", Reason: "pool: an alert has no label cluster"},
	}, refused)
}

func TestATargetWhosePoolIsUncertainIsNone(t *testing.T) {
	targets, refused := hostPolicy().Targets(pageOf(firing(0, "instance", "web-1:9100"), firing(0, "instance", "WEB-1", "cluster", "db")))
	require.Empty(t, targets)
	require.Equal(t, []remediate.Refusal{{Value: "web-1", Reason: "pool: the alerts do not agree on label cluster"}}, refused)
}

func TestAServiceSpeltInTwoWaysIsNone(t *testing.T) {
	p := servicePolicy()
	p.Target.Trait = false
	targets, refused := p.Targets(pageOf(firing(0, "alertname", "Errors", "version", "v42"), firing(0, "alertname", "Errors", "version", "V42"), firing(0, "alertname", "Errors", "version", "v7")))
	require.Equal(t, []remediate.Target{{Kind: remediate.ServiceTarget, Name: "v7", Value: "v7", Pool: "service"}}, targets)
	require.Equal(t, []remediate.Refusal{{Value: "v42", Reason: "it is spelt in several ways"}}, refused)
}

func TestTargetsAreCapped(t *testing.T) {
	var alerts []page.Alert
	for i := range remediate.MaxTargets + 20 {
		alerts = append(alerts, firing(0, "instance", fmt.Sprintf("web-%d", i)))
	}
	targets, refused := hostPolicy().Targets(pageOf(alerts...))
	require.Len(t, targets, remediate.MaxTargets)
	require.Len(t, refused, 20)
	require.Equal(t, "more than 100 targets fail at once", refused[0].Reason)
}

// deployed is a page whose failing share something.
func deployed(strength string, ls page.Labels, also ...page.Label) page.Page {
	a := firing(0, "service", "checkout")
	a.Labels["alertname"] = "Errors"
	a.ID = a.Labels.ID()
	pg := pageOf(a)
	pg.Traits = []page.Trait{{Labels: ls, Strength: strength, Also: also, Source: "main"}}
	return pg
}

func TestADeployIsOfferedOnlyWhereItIsAllTheySay(t *testing.T) {
	rival := deployed("strong", page.Labels{"version": "v42"})
	rival.Traits[0].Rival = page.Labels{"host": "web-3"}
	second := deployed("strong", page.Labels{"host": "web-3"})
	second.Traits = append(second.Traits, page.Trait{Labels: page.Labels{"version": "v42"}, Strength: "strong"})
	contrary := deployed("strong", page.Labels{"version": "v42"})
	contrary.Alerts[0].Labels["version"] = "v41"
	agreeing := deployed("strong", page.Labels{"version": "v42"})
	agreeing.Alerts[0].Labels["version"] = "v42"
	for name, tc := range map[string]struct {
		pg   page.Page
		want string
	}{
		"the deploy alone":            {deployed("strong", page.Labels{"version": "v42"}), "v42"},
		"an alert says the same":      {agreeing, "v42"},
		"said by another label":       {deployed("strong", page.Labels{"image": "x"}, page.Label{Name: "version", Value: "v42"}), "v42"},
		"likely":                      {deployed("likely", page.Labels{"version": "v42"}), ""},
		"of unknown strength":         {deployed("", page.Labels{"version": "v42"}), ""},
		"the deploy on one host":      {deployed("strong", page.Labels{"version": "v42", "host": "web-3"}), ""},
		"another label":               {deployed("strong", page.Labels{"host": "web-3"}), ""},
		"it has a rival":              {rival, ""},
		"it is not the leading trait": {second, ""},
		"the alert says otherwise":    {contrary, ""},
		"no trait":                    {func() page.Page { p := deployed("strong", nil); p.Traits = nil; return p }(), ""},
		"a value that is no deploy":   {deployed("strong", page.Labels{"version": "v42; rm -rf"}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			targets, _ := servicePolicy().Targets(tc.pg)
			if tc.want == "" {
				require.Empty(t, targets)
				return
			}
			require.Equal(t, []remediate.Target{{Kind: remediate.ServiceTarget, Name: tc.want, Value: tc.want, Pool: "service"}}, targets)
		})
	}
}

func TestVariables(t *testing.T) {
	p := servicePolicy()
	step := p.Steps[0]
	step.Variables = map[string]remediate.StepVariable{"service_name": {Label: "service", Allow: `[a-z]+`}, "reason": {Value: "bad deploy"}}
	pg := deployed("strong", page.Labels{"version": "V42"})
	targets, _ := p.Targets(pg)
	require.Len(t, targets, 1)
	require.Equal(t, "v42", targets[0].Name)
	vars, err := p.Variables(step, pg, targets[0])
	require.NoError(t, err)
	require.Equal(t, map[string]any{"bad_version": "V42", "service_name": "checkout", "reason": "bad deploy"}, vars, "these and nothing else")

	for name, tc := range map[string]struct {
		variable string
		of       remediate.StepVariable
		value    string // of label service
		want     string
	}{
		"a name of Ansible's":          {"ansible_connection", remediate.StepVariable{Value: "local"}, "checkout", "Ansible's own"},
		"in capitals":                  {"ANSIBLE_HOST", remediate.StepVariable{Value: "x"}, "checkout", "Ansible's own"},
		"of AWX":                       {"awx_job_id", remediate.StepVariable{Value: "1"}, "checkout", "Ansible's own"},
		"the dispatch's":               {"tocsin", remediate.StepVariable{Value: "x"}, "checkout", "meaning already"},
		"hosts":                        {"hosts", remediate.StepVariable{Value: "x"}, "checkout", "meaning already"},
		"no name":                      {"a-b", remediate.StepVariable{Value: "x"}, "checkout", "letters, digits"},
		"twice":                        {"bad_version", remediate.StepVariable{Value: "x"}, "checkout", "twice"},
		"a template":                   {"x", remediate.StepVariable{Value: "{{ lookup('env','X') }}"}, "checkout", "template"},
		"a template from a label":      {"x", remediate.StepVariable{Label: "service", Allow: ".*"}, "{{x}}", "template"},
		"a value that is not allowed":  {"x", remediate.StepVariable{Label: "service", Allow: "[a-z]+"}, "check out", "not match"},
		"a value allowed but for \\n":  {"x", remediate.StepVariable{Label: "service", Allow: "(?m)[a-z]+$"}, "checkout\n", "do not show"},
		"a name of Ansible's as value": {"x", remediate.StepVariable{Label: "service", Allow: ".*"}, "ansible_connection", "Ansible's own"},
		"a label that is missing":      {"x", remediate.StepVariable{Label: "nothing", Allow: ".*"}, "checkout", "no label"},
		"no pattern":                   {"x", remediate.StepVariable{Label: "service"}, "checkout", "empty pattern"},
		"no value":                     {"x", remediate.StepVariable{}, "checkout", "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			pg := deployed("strong", page.Labels{"version": "v42"})
			pg.Alerts[0].Labels["service"] = tc.value
			targets, _ := p.Targets(pg)
			require.Len(t, targets, 1)
			step := p.Steps[0]
			step.Variables = map[string]remediate.StepVariable{tc.variable: tc.of}
			vars, err := p.Variables(step, pg, targets[0])
			require.ErrorContains(t, err, tc.want)
			require.Nil(t, vars)
		})
	}
	_, err = p.Variables(step, pageOf(), targets[0])
	require.ErrorContains(t, err, "not on the page")
}

func TestNothingIsDoneAboutTocsinItself(t *testing.T) {
	for _, name := range []string{"TocsinDown", "Tocsin.Slow", "tocsin_dead"} {
		p := anything()
		p.Match = []string{`severity="critical"`}
		pg := pageOf(firing(0, "instance", "web-1", "alertname", name))
		require.False(t, p.Matches(pg), name)
		targets, _ := p.Targets(pg)
		require.Empty(t, targets, name)
	}
}

func TestAPolicyMatchesAsAlertmanagerDoes(t *testing.T) {
	pg := pageOf(firing(0, "instance", "web-1", "env", "prod"), firing(0, "instance", "web-2", "env", "dev"))
	for text, want := range map[string]int{
		`env="prod"`: 1, `env=~"prod|dev"`: 2, `env!="prod"`: 1, `env=~"pro"`: 0, `missing=""`: 2, `"env"="prod"`: 1, `env=prod`: 1, `env==x`: 0, ``: 0,
	} {
		p := anything()
		p.Match = append(p.Match, text)
		targets, _ := p.Targets(pg)
		require.Len(t, targets, want, text)
		require.Equal(t, want > 0, p.Matches(pg), text)
	}
}

func FuzzTargets(f *testing.F) {
	for _, s := range []string{"web-1:9100", "[2001:db8::1]:9100", "all", "{{x}}", "web-1\n", "*", "a:b:c", "ansible_x", "WEB-1", "\u202e"} {
		f.Add(s, "web")
	}
	one := regexp.MustCompile(`\A[a-z0-9]([a-z0-9._-]*[a-z0-9])?\z`)
	f.Fuzz(func(t *testing.T, value, pool string) {
		p := anything()
		pg := pageOf(firing(0, "instance", value, "cluster", pool))
		targets, refused := p.Targets(pg)
		require.Equal(t, 1, len(targets)+len(refused))
		for _, target := range targets {
			require.Regexp(t, one, target.Name)
			require.NotEmpty(t, target.Pool)
			require.Len(t, p.AlertsOf(pg, target), 1)
			_, err := remediate.Pose(`up{instance=~"$target(:[0-9]+)?",pool=$pool}`, target)
			require.NoError(t, err)
		}
	})
}
