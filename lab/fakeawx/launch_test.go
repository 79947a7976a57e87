package fakeawx_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeawx"
)

func TestF01_UnpromptedLimitIsIgnoredAndTheJobStarts(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "wide", Inventory: "prod", Limit: "db01"})})
	body := l.post(first+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Equal(t, object{"limit": "web01"}, body["ignored_fields"])
	require.Equal(t, "db01", body["limit"])
	require.Equal(t, "pending", body["status"])
	require.Equal(t, body["id"], body["job"])
	body = l.post(shift+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Empty(t, body["limit"], "the whole inventory")
	require.Equal(t, []string{"db01", "web01", "web02"}, l.touched(2))
}

// touched lets a job end and says which hosts it touched.
func (l *lab) touched(id int64) []string {
	l.t.Helper()
	l.Advance(0)
	for _, j := range l.Ledger().Jobs {
		if j.ID == id {
			return j.Hosts
		}
	}
	l.t.Fatalf("there is no job %d", id)
	return nil
}

func TestF02_ABlankLimitIsEveryHost(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "one", Inventory: "prod", Limit: "web01", Ask: []string{"limit"}, Simultaneous: true})})
	for i, limit := range []string{"", "   "} {
		body := l.post(first+"launch/", object{"limit": limit}).is(http.StatusCreated)
		require.Equal(t, object{}, body["ignored_fields"])
		require.Empty(t, body["limit"])
		require.Equal(t, []string{"db01", "web01", "web02"}, l.touched(int64(i+1)))
	}
}

func TestF03_AnUnknownKeyLeavesNoTrace(t *testing.T) {
	l := start(t, fakeawx.Options{})
	body := l.post(restart+"launch/", object{"limits": "web01"}).is(http.StatusCreated)
	require.Equal(t, object{}, body["ignored_fields"])
	require.Empty(t, body["limit"])
}

func TestF04_AWorkflowRefusesWhatIsNotPrompted(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "flow", Nodes: []string{"restart"}})})
	body := l.post("workflow_job_templates/10/launch/", object{"limit": "web01"}).is(http.StatusBadRequest)
	require.Equal(t, []any{"Field is not configured to prompt on launch."}, body["limit"])
	body = l.post("workflow_job_templates/10/launch/", object{"extra_vars": object{"a": 1}}).is(http.StatusBadRequest)
	require.Contains(t, body["extra_vars"].([]any)[0], "Variables a are not allowed on launch.")
	require.Empty(t, l.Ledger().Jobs)
	// Within a workflow that takes it, a node that does not prompt drops it unseen.
	require.NoError(t, l.Edit("restart", func(t *fakeawx.Template) { t.Ask = []string{"variables"} }))
	body = l.post(repair+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Equal(t, "web01", body["limit"])
	require.Equal(t, body["id"], body["workflow_job"])
	require.Equal(t, []string{"db01", "web01", "web02"}, l.touched(2))
}

func TestF05_ASlicedTemplateMakesAWorkflowJob(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "sliced", Inventory: "prod", Slices: 2, Ask: []string{"limit"}})})
	body := l.post(first+"launch/", object{}).is(http.StatusCreated)
	require.NotContains(t, body, "job")
	require.Equal(t, body["id"], body["workflow_job"])
	require.Equal(t, true, body["is_sliced_job"])
	require.Empty(t, ids(l.get(first+"jobs/?id__gt=5").is(http.StatusOK)))
	require.Equal(t, []int{1}, ids(l.get(first+"slice_workflow_jobs/").is(http.StatusOK)))
	l.Advance(0)
	require.Len(t, l.get("workflow_jobs/1/workflow_nodes/").is(http.StatusOK)["results"], 2)
	require.ElementsMatch(t, []string{"db01", "web01", "web02"}, append(l.touched(2), l.touched(3)...))
}

func TestF06_WhatTheTemplateSaysAnywayIsInNeitherList(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "plain", Inventory: "prod", Limit: "web01", ExtraVars: object{"a": "b"}})})
	body := l.post(first+"launch/", object{"limit": "web01", "job_type": "run", "inventory": 2, "extra_vars": object{"a": "b"}}).is(http.StatusCreated)
	require.Equal(t, object{}, body["ignored_fields"])
	require.Equal(t, "web01", body["limit"])
	body = l.post(first+"launch/", object{"job_type": "check", "extra_vars": object{"a": "c"}}).is(http.StatusCreated)
	require.Equal(t, object{"job_type": "check", "extra_vars": object{"a": "c"}}, body["ignored_fields"])
	require.Equal(t, "run", body["job_type"])
}

func TestF07_LabelsAreAdded(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(
		fakeawx.Template{Name: "labelled", Organization: "Infra", Inventory: "prod", Labels: []string{"own"}, Ask: []string{"labels"}},
		fakeawx.Template{Name: "other", Organization: "Infra", Inventory: "prod", Labels: []string{"given"}},
	)})
	given := l.get("labels/?name=given").is(http.StatusOK)["results"].([]any)[0].(object)["id"]
	body := l.post(first+"launch/", object{"labels": []any{given}}).is(http.StatusCreated)
	labels := body["summary_fields"].(object)["labels"].(object)
	require.Equal(t, float64(2), labels["count"])
	require.Equal(t, []int{1}, ids(l.get("jobs/?labels__name=given").is(http.StatusOK)))
	require.Equal(t, []int{1}, ids(l.get("jobs/?labels__name=own").is(http.StatusOK)))
	require.Empty(t, ids(l.get("jobs/?labels__name=none").is(http.StatusOK)))
}

func TestF08_VariablesAreStoredAsJSONText(t *testing.T) {
	l := start(t, fakeawx.Options{})
	for _, vars := range []any{object{"a": "b"}, `{"a": "b"}`, "a: b\n"} {
		body := l.post(restart+"launch/", object{"extra_vars": vars}).is(http.StatusCreated)
		var stored object
		require.NoError(t, json.Unmarshal([]byte(body["extra_vars"].(string)), &stored))
		require.Equal(t, object{"a": "b"}, stored)
	}
	body := l.post(restart+"launch/", object{"extra_vars": "{{"}).is(http.StatusBadRequest)
	require.Contains(t, body["extra_vars"].([]any)[0], "Cannot parse as JSON (error: ")
	listed := l.get("jobs/").is(http.StatusOK)["results"].([]any)[0].(object)
	require.Equal(t, `{"a":"b"}`, listed["extra_vars"])
}

func TestF09_ASurveyVariableWithADefaultMustBeGivenAllTheSame(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "asks", Inventory: "prod", Survey: []fakeawx.Question{
		{Variable: "svc", Type: "text", Required: true, Default: "web", Min: 2},
		{Variable: "how", Type: "multiplechoice", Choices: []string{"a", "b"}},
	}})})
	require.Equal(t, []any{"svc"}, l.get(first + "launch/").is(http.StatusOK)["variables_needed_to_start"])
	spec := l.get(first + "survey_spec/").is(http.StatusOK)["spec"].([]any)
	require.Equal(t, "web", spec[0].(object)["default"])
	for want, vars := range map[string]object{
		"'svc' value missing":                                          {},
		"Value 5 for 'svc' expected to be a string.":                   {"svc": 5},
		"'svc' value a is too small (length is 1 must be at least 2).": {"svc": "a"},
		"Value x for 'how' expected to be one of ['a', 'b'].":          {"svc": "web", "how": "x"},
	} {
		body := l.post(first+"launch/", object{"extra_vars": vars}).is(http.StatusBadRequest)
		require.Equal(t, []any{want}, body["variables_needed_to_start"])
	}
	body := l.post(first+"launch/", object{"extra_vars": object{"svc": "web", "other": 1}}).is(http.StatusCreated)
	require.Equal(t, object{"extra_vars": object{"other": float64(1)}}, body["ignored_fields"], "the survey's are taken, others are not")
}

func TestF10_ACredentialThatAsksForAPassword(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "locked", Inventory: "prod", Passwords: []string{"ssh_password"}})})
	require.Equal(t, []any{"ssh_password"}, l.get(first + "launch/").is(http.StatusOK)["passwords_needed_to_start"])
	body := l.post(first+"launch/", object{}).is(http.StatusBadRequest)
	require.Equal(t, []any{"ssh_password"}, body["passwords_needed_to_start"])
	l.post(first+"launch/", object{"credential_passwords": object{"ssh_password": "x"}}).is(http.StatusCreated)
}

func TestF11_WhatIsNotAllowedIs403AndNotListed(t *testing.T) {
	w := world()
	w.Templates = append(w.Templates, fakeawx.Template{Name: "theirs", Organization: "Infra", Inventory: "prod"},
		fakeawx.Template{Name: "looked at", Inventory: "prod"}, fakeawx.Template{Name: "chosen", Ask: []string{"inventory"}})
	w.Users[0].Read = []string{"looked at"}
	w.Users[0].Execute = append(w.Users[0].Execute, "chosen")
	l := start(t, fakeawx.Options{World: w})
	l.get("job_templates/10/").is(http.StatusForbidden)
	require.Equal(t, "You do not have permission to perform this action.", l.post("job_templates/10/launch/", object{}).is(http.StatusForbidden)["detail"])
	require.Empty(t, ids(l.get("job_templates/?name=theirs").is(http.StatusOK)))
	l.get("job_templates/11/launch/").is(http.StatusOK)
	l.post("job_templates/11/launch/", object{}).is(http.StatusForbidden)
	l.post("job_templates/12/launch/", object{"inventory": 2}).is(http.StatusForbidden)
	require.Contains(t, l.post("job_templates/12/launch/", object{}).is(http.StatusBadRequest), "resources_needed_to_start")
	require.Contains(t, l.post("job_templates/12/launch/", object{"inventory": 99}).is(http.StatusBadRequest)["inventory"].([]any)[0], `Invalid pk "99"`)
	l.get("job_templates/99/").is(http.StatusNotFound)
	require.Empty(t, l.Ledger().Jobs)
}

func TestF12_UnderANameWhatIsForbiddenIsNotFound(t *testing.T) {
	w := world()
	w.Templates = append(w.Templates, fakeawx.Template{Name: "theirs", Organization: "Infra", Inventory: "prod"})
	l := start(t, fakeawx.Options{World: w})
	l.post("job_templates/theirs++Infra/launch/", object{}).is(http.StatusNotFound)
	l.post("job_templates/10/launch/", object{}).is(http.StatusForbidden)
	l.post("job_templates/nobody++Infra/launch/", object{}).is(http.StatusNotFound)
	require.Equal(t, float64(7), l.post("job_templates/restart++Infra/launch/", object{"limit": "web01"}).is(http.StatusCreated)["job_template"])
}

func TestF13_WithoutItsSlash(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "busy", Inventory: "prod"})})
	require.NoError(t, l.Edit("restart", func(t *fakeawx.Template) { t.Hosts = "web01" }))
	l.Switch(fakeawx.Switches{NoCapacity: true})
	l.post("job_templates/7/launch", object{}).is(http.StatusCreated)
	a := l.post("jobs/1/cancel", nil)
	require.Equal(t, http.StatusMovedPermanently, a.status)
	require.Equal(t, "/api/v2/jobs/1/cancel/", a.header.Get("Location"))
	require.Equal(t, "pending", l.get("jobs/1/").is(http.StatusOK)["status"])
	// A client that follows it asks with GET, is answered 200, and has cancelled nothing.
	l.client = &http.Client{}
	require.Equal(t, true, l.post("jobs/1/cancel", nil).is(http.StatusOK)["can_cancel"])
	require.Equal(t, "pending", l.get("jobs/1/").is(http.StatusOK)["status"])
}

func TestBadBodies(t *testing.T) {
	l := start(t, fakeawx.Options{})
	for want, body := range map[string]any{
		`{"limit":["Not a valid string."]}`:                                  object{"limit": true},
		`{"limit":["This field may not be null."]}`:                          object{"limit": nil},
		`{"forks":["A valid integer is required."]}`:                         object{"forks": "many"},
		`{"job_type":["\"scan\" is not a valid choice."]}`:                   object{"job_type": "scan"},
		`{"credentials":["Expected a list of items but got type \"int\"."]}`: object{"credentials": 3},
		`{"detail":"JSON parse error - not a JSON object"}`:                  `[]`,
	} {
		if s, ok := body.(string); ok {
			body = json.RawMessage(s)
		}
		a := l.post(restart+"launch/", body)
		require.Equal(t, http.StatusBadRequest, a.status)
		require.JSONEq(t, want, string(a.body))
	}
	require.Equal(t, "5", l.post(restart+"launch/", object{"limit": 5}).is(http.StatusCreated)["limit"], "a number is taken for text")
	req, err := http.NewRequest(http.MethodPost, l.url+"/api/v2/"+restart+"launch/", strings.NewReader("limit=web01"))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+l.token)
	res, err := l.client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusUnsupportedMediaType, res.StatusCode)
}
