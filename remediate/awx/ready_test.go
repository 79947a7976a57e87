package awx_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/remediate"
)

func web01() remediate.Target {
	return remediate.Target{Kind: remediate.HostTarget, Name: "web01"}
}

func step(template string) remediate.Step {
	return remediate.Step{Template: template, Organization: "Infra", Kind: "job"}
}

// What is wrong with a template is said before anything is launched.
func TestReady(t *testing.T) {
	service := remediate.Target{Kind: remediate.ServiceTarget, Name: "checkout"}
	choice := fakeawx.Question{Variable: "how", Type: "multiplechoice", Required: true, Choices: []string{"soft", "hard"}}
	for name, tc := range map[string]struct {
		edit   func(*fakeawx.Template)
		step   func(*remediate.Step)
		target *remediate.Target
		want   string // "": ready
	}{
		"as it should be":          {},
		"no limit prompt":          {edit: func(t *fakeawx.Template) { t.Ask = []string{"variables"} }, want: "does not prompt for Limit"},
		"no variables prompt":      {edit: func(t *fakeawx.Template) { t.Ask = []string{"limit"} }, want: "does not prompt for Variables"},
		"sliced":                   {edit: func(t *fakeawx.Template) { t.Slices = 2 }, want: "sliced into 2 jobs"},
		"passwords":                {edit: func(t *fakeawx.Template) { t.Passwords = []string{"ssh_password"} }, want: "ask for ssh_password"},
		"no inventory":             {edit: func(t *fakeawx.Template) { t.Inventory = "" }, want: "has no inventory"},
		"check without its prompt": {edit: func(t *fakeawx.Template) { t.Ask = []string{"limit", "variables"} }, step: func(s *remediate.Step) { s.Mode = remediate.Check }, want: `job type is "run"`},
		"a template that checks":   {edit: func(t *fakeawx.Template) { t.JobType, t.Ask = "check", []string{"limit", "variables"} }, want: `job type is "check"`},
		"timeout, not prompted":    {step: func(s *remediate.Step) { s.Timeout = config.Duration(time.Minute) }, want: "does not prompt for Timeout"},
		"timeout, its own":         {edit: func(t *fakeawx.Template) { t.Timeout = 60 }, step: func(s *remediate.Step) { s.Timeout = config.Duration(time.Minute) }},
		"timeout, prompted":        {edit: func(t *fakeawx.Template) { t.Ask = append(t.Ask, "timeout") }, step: func(s *remediate.Step) { s.Timeout = config.Duration(time.Minute) }},
		"survey, unanswered":       {edit: func(t *fakeawx.Template) { t.Survey = []fakeawx.Question{choice} }, want: `asks for "how"`},
		"survey, answered": {
			edit: func(t *fakeawx.Template) { t.Survey = []fakeawx.Question{choice} },
			step: func(s *remediate.Step) {
				s.Variables = map[string]remediate.StepVariable{"how": {Value: "soft"}}
			},
		},
		"survey, wrong choice": {
			edit: func(t *fakeawx.Template) { t.Survey = []fakeawx.Question{choice} },
			step: func(s *remediate.Step) {
				s.Variables = map[string]remediate.StepVariable{"how": {Value: "harder"}}
			},
			want: `does not take "harder"`,
		},
		"survey, a number": {
			edit: func(t *fakeawx.Template) {
				t.Survey = []fakeawx.Question{{Variable: "n", Type: "integer", Default: 3, Required: true}}
			},
			step: func(s *remediate.Step) { s.Variables = map[string]remediate.StepVariable{"n": {Value: "3"}} },
			want: "is of type integer",
		},
		"survey of our own word":   {edit: func(t *fakeawx.Template) { t.Survey = []fakeawx.Question{{Variable: "tocsin", Type: "text"}} }, want: `asks for "tocsin"`},
		"renamed":                  {edit: func(t *fakeawx.Template) { t.Name = "other" }, want: `sees no job template "restart" in organization "Infra"`},
		"of another organization":  {step: func(s *remediate.Step) { s.Organization = "Other" }, want: "sees no job template"},
		"kind that is none":        {step: func(s *remediate.Step) { s.Kind = "system" }, want: `kind "system" is not known`},
		"of a service, with limit": {target: &service, want: "prompts for Limit"},
		"of a service":             {edit: func(t *fakeawx.Template) { t.Ask = []string{"variables", "job_type"} }, target: &service},
		"of a service, any inventory": {
			edit: func(t *fakeawx.Template) { t.Ask = []string{"variables", "inventory"} }, target: &service, want: "prompts for Inventory",
		},
		"another host": {target: &remediate.Target{Kind: remediate.HostTarget, Name: "web09"}, want: "does not have the target"},
		"no host yet":  {target: &remediate.Target{Kind: remediate.HostTarget}},
	} {
		t.Run(name, func(t *testing.T) {
			f, url := serve(t, fakeawx.Options{})
			if tc.edit != nil {
				require.NoError(t, f.Edit("restart", tc.edit))
			}
			s, target := step("restart"), web01()
			if tc.step != nil {
				tc.step(&s)
			}
			if tc.target != nil {
				target = *tc.target
			}
			b := open(t, plain(t, url, fakeawx.DefaultToken))
			got, err := b.Ready(t.Context(), s, target)
			if tc.want == "" {
				require.NoError(t, err)
				require.Equal(t, int64(7), got.ID)
				require.Equal(t, int64(2), got.Inventory)
				return
			}
			nr, ok := errors.AsType[*remediate.NotReady](err)
			require.True(t, ok, "%v", err)
			require.Len(t, nr.Reasons, 1)
			require.Contains(t, nr.Reasons[0], tc.want)
		})
	}
}

func TestReadyWithoutTheRole(t *testing.T) {
	w := fakeawx.DefaultWorld()
	w.Users[0].Execute, w.Users[0].Read = []string{"shift", "repair"}, []string{"restart"}
	_, url := serve(t, fakeawx.Options{World: w})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	_, err := b.Ready(t.Context(), step("restart"), web01())
	require.ErrorContains(t, err, "give it the role Execute")
	flow := remediate.Step{Template: "repair", Kind: "workflow"}
	_, err = b.Ready(t.Context(), flow, web01())
	require.NoError(t, err, "it may read what the workflow runs")
}

func TestReadyOfTwoOfTheSameName(t *testing.T) {
	w := fakeawx.DefaultWorld()
	w.Templates = append(w.Templates, fakeawx.Template{Name: "restart", Organization: "Other", Inventory: "prod"})
	_, url := serve(t, fakeawx.Options{World: w})
	c := plain(t, url, fakeawx.DefaultToken)
	s := step("restart")
	s.Organization = ""
	_, err := open(t, c).Ready(t.Context(), s, web01())
	require.ErrorContains(t, err, "2 job templates are called")
	c.Organization = "Infra"
	_, err = open(t, c).Ready(t.Context(), s, web01())
	require.NoError(t, err)
}

// Within a workflow nobody is told of a limit that is dropped.
func TestReadyOfAWorkflow(t *testing.T) {
	flow := remediate.Step{Template: "repair", Organization: "Infra", Kind: "workflow"}
	for name, tc := range map[string]struct {
		edit     func(*fakeawx.Template) // of the node's template
		workflow func(*fakeawx.Template)
		step     func(*remediate.Step)
		want     string
	}{
		"as it should be":      {},
		"node without limit":   {edit: func(t *fakeawx.Template) { t.Ask = []string{"variables"} }, want: `template "restart" in the workflow does not prompt for Limit`},
		"node that is sliced":  {edit: func(t *fakeawx.Template) { t.Slices = 2 }, want: `template "restart" in the workflow is sliced`},
		"node elsewhere":       {edit: func(t *fakeawx.Template) { t.Inventory = "empty" }, want: "does not have the target"},
		"prompts rejected":     {workflow: func(t *fakeawx.Template) { t.Rejected = []int64{3} }, want: "nodes [3] of the workflow are given"},
		"template lost":        {workflow: func(t *fakeawx.Template) { t.MissingNodes = []int64{4} }, want: "nodes [4] of the workflow have lost"},
		"workflow of workflow": {workflow: func(t *fakeawx.Template) { t.Nodes = []string{"repair"} }, want: `runs a "workflow_job"`},
		"check mode":           {step: func(s *remediate.Step) { s.Mode = remediate.Check }, want: "no check mode"},
		"timeout":              {step: func(s *remediate.Step) { s.Timeout = config.Duration(time.Minute) }, want: "a workflow has no timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			w := fakeawx.DefaultWorld()
			w.Inventories = append(w.Inventories, fakeawx.Inventory{Name: "empty"})
			w.Users[0].Inventory = append(w.Users[0].Inventory, "empty")
			f, url := serve(t, fakeawx.Options{World: w})
			s := flow
			if tc.edit != nil {
				require.NoError(t, f.Edit("restart", tc.edit))
			}
			if tc.workflow != nil {
				require.NoError(t, f.Edit("repair", tc.workflow))
			}
			if tc.step != nil {
				tc.step(&s)
			}
			got, err := open(t, plain(t, url, fakeawx.DefaultToken)).Ready(t.Context(), s, web01())
			if tc.want == "" {
				require.NoError(t, err)
				require.Equal(t, "workflow", got.Kind)
				return
			}
			_, ok := errors.AsType[*remediate.NotReady](err)
			require.True(t, ok, "%v", err)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestHostsThatAreNone(t *testing.T) {
	w := fakeawx.DefaultWorld()
	w.Inventories[0].Hosts = append(w.Inventories[0].Hosts, fakeawx.Host{Name: "off01", Disabled: true}, fakeawx.Host{Name: "both"}, fakeawx.Host{Name: "WEB02"})
	w.Inventories[0].Groups = []string{"both", "web"}
	w.Inventories = append(w.Inventories, fakeawx.Inventory{Name: "secret", Hosts: []fakeawx.Host{{Name: "db09"}}})
	_, url := serve(t, fakeawx.Options{World: w})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	for name, want := range map[string]string{"off01": "is disabled", "both": "a group is called both too", "web": "0 hosts are called web"} {
		_, err := b.Host(t.Context(), "prod", name)
		require.ErrorIs(t, err, remediate.ErrNoHost)
		require.ErrorContains(t, err, want)
	}
	_, err := b.Host(t.Context(), "secret", "db09")
	require.ErrorContains(t, err, "sees 0 inventories")
	h, err := b.Host(t.Context(), "prod", "web02")
	require.NoError(t, err)
	require.Equal(t, remediate.Host{ID: 102, Name: "web02", Inventory: 2}, h)
}

// AWX wants the answers of a survey that have a default too, each in its type.
func TestDefaultsOfASurvey(t *testing.T) {
	f, url := serve(t, fakeawx.Options{})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	require.NoError(t, f.Edit("restart", func(t *fakeawx.Template) {
		t.Survey = []fakeawx.Question{
			{Variable: "text", Type: "text", Required: true, Default: "web"},
			{Variable: "n", Type: "integer", Required: true, Default: 3},
			{Variable: "spelt", Type: "integer", Required: true, Default: "4"},
			{Variable: "share", Type: "float", Required: true, Default: "0.5"},
			{Variable: "some", Type: "multiselect", Required: true, Default: "a\nb", Choices: []string{"a", "b", "c"}},
			{Variable: "secret", Type: "password", Required: true, Default: "hunter2"},
			{Variable: "choice", Type: "multiplechoice", Required: true, Choices: []string{"a", "b"}},
			{Variable: "nothing", Type: "integer", Default: ""},
		}
	}))
	s := step("restart")
	s.Variables = map[string]remediate.StepVariable{"choice": {Value: "b"}}
	tmpl, err := b.Ready(t.Context(), s, web01())
	require.NoError(t, err)
	raw, err := json.Marshal(order())
	require.NoError(t, err)
	var l remediate.Launch // as it comes back from the store
	require.NoError(t, json.Unmarshal(raw, &l))
	l.Template, l.Variables = tmpl, map[string]any{"choice": "b"}
	_, err = b.Launch(t.Context(), l)
	require.NoError(t, err)
	vars := f.Ledger().Jobs[0].Vars
	for name, want := range map[string]any{"text": "web", "n": 3.0, "spelt": 4.0, "share": 0.5, "some": []any{"a", "b"}, "secret": "$encrypted$", "choice": "b"} {
		require.Equal(t, want, vars[name], name)
	}
	require.Nil(t, tmpl.Survey["nothing"], "no default")
}
