package awx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/remediate"
)

func order() remediate.Launch {
	return remediate.Launch{
		Template: remediate.Template{ID: 7, Kind: "job", Name: "restart", Inventory: 2, AskLimit: true, AskVariables: true},
		Limit:    "web01", Dispatch: "D-1", Link: "https://tocsin.example.org/p/1",
	}
}

// asAsked is AWX's answer to order.
func asAsked() map[string]any {
	return map[string]any{
		"job": 42, "id": 42, "ignored_fields": map[string]any{}, "limit": "web01", "job_template": 7, "inventory": 2, "job_type": "run",
		"status": "pending", "extra_vars": `{"tocsin": {"dispatch_id": "D-1"}}`, "created": "2026-09-01T00:00:00.000000Z",
	}
}

// answering is a server that says where its API lies, and gives one answer to launches.
func answering(t *testing.T, status int, body any) (remediate.Backend, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/api/" {
			fmt.Fprint(w, `{"current_version": "/api/v2/"}`)
			return
		}
		asked = append(asked, r.Method+" "+r.URL.Path)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(s.Close)
	return open(t, plain(t, s.URL, "token")), &asked
}

func TestAJobThatIsNotAsItWasAskedForIsUnsafe(t *testing.T) {
	with := func(field string, v any) map[string]any {
		out := asAsked()
		out[field] = v
		if v == nil {
			delete(out, field)
		}
		return out
	}
	for name, tc := range map[string]struct {
		body map[string]any
		want string
	}{
		"limit ignored":       {with("ignored_fields", map[string]any{"limit": "web01", "extra_vars": map[string]any{"password": "hunter2"}}), "ignored extra_vars, limit"},
		"nothing said":        {with("ignored_fields", nil), "does not say which fields it ignored"},
		"no limit":            {with("limit", ""), `its limit is "", not "web01"`},
		"limit missing":       {with("limit", nil), `its limit is ""`},
		"wider limit":         {with("limit", "web01:db01"), `its limit is "web01:db01"`},
		"another template":    {with("job_template", 8), `its template is "8", not "7"`},
		"another inventory":   {with("inventory", 3), `its inventory is "3", not "2"`},
		"no inventory":        {with("inventory", nil), `its inventory is "0"`},
		"check":               {with("job_type", "check"), `its job type is "check"`},
		"without its mark":    {with("extra_vars", "---"), "does not carry the id"},
		"another's mark":      {with("extra_vars", `{"tocsin": {"dispatch_id": "D-2"}}`), "does not carry the id"},
		"a mark that is none": {with("extra_vars", `{"tocsin": "D-1"}`), "does not carry the id"},
	} {
		t.Run(name, func(t *testing.T) {
			b, asked := answering(t, http.StatusCreated, tc.body)
			j, err := b.Launch(t.Context(), order())
			_, unsafe := errors.AsType[*remediate.Unsafe](err)
			require.True(t, unsafe, "%v", err)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "hunter2", "values of ignored fields can be secrets")
			require.Equal(t, int64(42), j.ID)
			require.Equal(t, "job", j.Kind)
			require.Equal(t, []string{"POST /api/v2/job_templates/7/launch/"}, *asked)
		})
	}
	b, _ := answering(t, http.StatusCreated, asAsked())
	j, err := b.Launch(t.Context(), order())
	require.NoError(t, err)
	require.Equal(t, remediate.Pending, j.State)
	require.True(t, strings.HasSuffix(j.Link, "/#/jobs/playbook/42"), j.Link)
}

// A template can be changed between the look and the launch.
func TestTemplateThatWasSlicedMeanwhile(t *testing.T) {
	f, url := serve(t, fakeawx.Options{})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	f.Switch(fakeawx.Switches{NoCapacity: true})
	require.NoError(t, f.Edit("restart", func(t *fakeawx.Template) { t.Slices = 3 }))
	j, err := b.Launch(t.Context(), order())
	require.ErrorContains(t, err, "it is a workflow, as of a template that is sliced")
	require.Equal(t, "workflow", j.Kind)
	// Its answer lost, it is found all the same.
	require.NoError(t, f.Faults.Set(1, fault.Fault{Kind: fault.Drop, Accept: true, Method: http.MethodPost, Count: 1}))
	l := order()
	l.Dispatch = "D-2"
	_, err = b.Launch(t.Context(), l)
	require.Error(t, err)
	found, err := b.Find(t.Context(), l.Template, 0, "D-2")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "workflow", found[0].Kind)
	require.NoError(t, b.Cancel(t.Context(), found[0]))
}

func TestRefusalsSayWhy(t *testing.T) {
	f, url := serve(t, fakeawx.Options{})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	require.NoError(t, f.Edit("restart", func(t *fakeawx.Template) {
		t.Survey = []fakeawx.Question{{Variable: "svc", Type: "text", Required: true, Default: "web", Min: 2}}
	}))
	l := order()
	_, err := b.Launch(t.Context(), l)
	require.EqualError(t, err, "launch was rejected: status 400: variables_needed_to_start: 'svc' value missing")
	// Defaults of the survey are given, as AWX wants them to be.
	l.Template.Survey = map[string]any{"svc": "web", "unanswered": nil}
	_, err = b.Launch(t.Context(), l)
	require.NoError(t, err)
	l.Variables = map[string]any{"svc": "db"}
	_, err = b.Launch(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, "db", f.Ledger().Jobs[1].Vars["svc"])
	f.Remove("restart")
	_, err = b.Launch(t.Context(), l)
	require.EqualError(t, err, "launch was rejected: status 404: Not found.")
}

func TestNothingIsFollowedElsewhere(t *testing.T) {
	f, url := serve(t, fakeawx.Options{})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	require.NoError(t, b.(remediate.Checker).Check(t.Context()))
	f.Switch(fakeawx.Switches{Migrating: true})
	_, err := b.Launch(t.Context(), order())
	_, rejected := errors.AsType[*remediate.Rejected](err)
	require.False(t, rejected, "where a redirect comes from is not known")
	require.ErrorContains(t, err, "status 302: it sends to another address")
	_, err = b.Find(t.Context(), order().Template, 0, "D-1")
	require.ErrorContains(t, err, "status 302")
	f.Switch(fakeawx.Switches{})
	_, err = b.Find(t.Context(), order().Template, 0, "D-1")
	require.NoError(t, err, "once it has migrated, it is asked where its API lies")
}

func TestAWorkflowOnOneHost(t *testing.T) {
	f, url := serve(t, fakeawx.Options{})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	tmpl, err := b.Ready(t.Context(), remediate.Step{Template: "repair", Organization: "Infra", Kind: "workflow"}, web01())
	require.NoError(t, err)
	l := order()
	l.Template = tmpl
	mark, _, err := b.Watermark(t.Context(), tmpl, "web01")
	require.NoError(t, err)
	j, err := b.Launch(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, "workflow", j.Kind)
	require.Contains(t, j.Link, "/#/jobs/workflow/")
	_, busy, err := b.Watermark(t.Context(), tmpl, "web01")
	require.NoError(t, err)
	require.NotEmpty(t, busy)
	found, err := b.Find(t.Context(), tmpl, mark, "D-1")
	require.NoError(t, err)
	require.Len(t, found, 1)
	for range 3 {
		f.Advance(0)
	}
	j, err = b.Job(t.Context(), j)
	require.NoError(t, err)
	require.Equal(t, remediate.Successful, j.State)
	ev, err := b.Evidence(t.Context(), j, "web01")
	require.NoError(t, err)
	require.True(t, ev.Stated)
	require.Equal(t, []remediate.HostResult{{Host: "web01", OK: 2, Changed: 1}}, ev.Hosts)
	require.Contains(t, ev.Tail, "PLAY RECAP")
}

// A service has a fixed inventory and no limit; its identity is a variable.
func TestAServiceHasNoLimit(t *testing.T) {
	f, url := serve(t, fakeawx.Options{})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	require.NoError(t, f.Edit("shift", func(t *fakeawx.Template) { t.Limit = "web*" }))
	tmpl, err := b.Ready(t.Context(), step("shift"), remediate.Target{Kind: remediate.DatacentreTarget, Name: "fra"})
	require.NoError(t, err)
	require.False(t, tmpl.AskLimit)
	l := order()
	l.Template, l.Limit, l.Variables = tmpl, "", map[string]any{"datacentre": "fra"}
	_, err = b.Launch(t.Context(), l)
	require.NoError(t, err)
	own := f.Ledger().Jobs[0].Vars
	require.Equal(t, "fra", own["datacentre"])
	require.NotContains(t, own["tocsin"], "target")
	f.Switch(fakeawx.Switches{NoCapacity: true})
	l.Dispatch = "D-2"
	j, err := b.Launch(t.Context(), l)
	require.NoError(t, err)
	_, busy, err := b.Watermark(t.Context(), tmpl, "")
	require.NoError(t, err)
	require.NotEmpty(t, busy, "whatever limit the template has of its own")
	require.Equal(t, j.ID, busy[len(busy)-1].ID)
}

func TestClaimIsWrittenOut(t *testing.T) {
	f, url := serve(t, fakeawx.Options{})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	l := order()
	l.Claim = remediate.Claim{URL: "https://tocsin.example.org/claim", Token: config.Secret("s3cret")}
	_, err := b.Launch(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, "s3cret", f.Ledger().Jobs[0].Vars["tocsin"].(map[string]any)["claim_token"])
}

// A page that happens to hold JSON is not AWX's answer.
func TestOnlyJSONThatSaysSoIsBelieved(t *testing.T) {
	for _, kind := range []string{"text/html; charset=utf-8", "text/plain", "application/octet-stream", "", "application/json;;"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{kind}
			switch {
			case r.URL.Path == "/api/":
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"current_version": "/api/v2/"}`)
			case r.Method == http.MethodPost:
				w.WriteHeader(http.StatusCreated)
				_ = json.NewEncoder(w).Encode(asAsked())
			default:
				fmt.Fprint(w, `{"count": 0, "results": []}`)
			}
		}))
		b := open(t, plain(t, s.URL, "token"))
		_, err := b.Launch(t.Context(), order())
		require.ErrorContains(t, err, "not JSON", kind)
		_, err = b.Find(t.Context(), order().Template, 0, "D-1")
		require.ErrorContains(t, err, "not JSON", kind)
		s.Close()
	}
}
