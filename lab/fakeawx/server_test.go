package fakeawx_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fault"
)

func TestF14_WhileItMigratesEverythingIsElsewhere(t *testing.T) {
	l := start(t, fakeawx.Options{})
	l.Switch(fakeawx.Switches{Migrating: true})
	a := l.post(restart+"launch/", object{"limit": "web01"})
	require.Equal(t, http.StatusFound, a.status)
	require.Equal(t, "/migrations_notran/", a.header.Get("Location"))
	require.Empty(t, l.Ledger().Jobs)
}

func TestF15_AProxyAnswersInItsStead(t *testing.T) {
	l := start(t, fakeawx.Options{})
	for _, status := range []int{http.StatusBadGateway, http.StatusGatewayTimeout} {
		require.NoError(t, l.Faults.Set(1, fault.Fault{Kind: fault.HTML, Status: status, Count: 1}))
		a := l.post(restart+"launch/", object{"limit": "web01"})
		require.Equal(t, status, a.status)
		require.Equal(t, "text/html", a.header.Get("Content-Type"))
	}
	require.Empty(t, l.Ledger().Jobs)
}

func TestF16_AnInvalidTokenWasNotProvided(t *testing.T) {
	l := start(t, fakeawx.Options{})
	for _, token := range []string{"", "expired"} {
		a := l.as(token).get("me/")
		require.Equal(t, "Authentication credentials were not provided. To establish a login session, visit /api/login/.", a.is(http.StatusUnauthorized)["detail"])
		require.Equal(t, "Bearer realm=api authorization_url=/api/o/authorize/", a.header.Get("WWW-Authenticate"))
	}
	req, err := http.NewRequest(http.MethodGet, l.url+"/api/v2/me/", nil)
	require.NoError(t, err)
	for password, want := range map[string]int{"wrong": http.StatusUnauthorized, fakeawx.DefaultPassword: http.StatusOK} {
		req.SetBasicAuth(fakeawx.DefaultUser, password)
		res, err := l.client.Do(req)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, want, res.StatusCode)
	}
	l.as("").get("ping/").is(http.StatusOK)
}

func TestF17_AReadTokenMayNotPost(t *testing.T) {
	w := world()
	w.Users[0].ReadOnly = true
	l := start(t, fakeawx.Options{World: w})
	l.get(restart + "launch/").is(http.StatusOK)
	require.Equal(t, "You do not have permission to perform this action.", l.post(restart+"launch/", object{}).is(http.StatusForbidden)["detail"])
}

func TestF18_PagesAreCappedAndLinksHaveNoHost(t *testing.T) {
	l := start(t, fakeawx.Options{})
	for range 205 {
		_, err := l.LaunchAs("admin", "restart", "web01", nil)
		require.NoError(t, err)
	}
	body := l.get("jobs/?page_size=1000&order_by=id").is(http.StatusOK)
	require.Len(t, body["results"], 200)
	require.Equal(t, float64(205), body["count"])
	require.Equal(t, "/api/v2/jobs/?order_by=id&page=2&page_size=200", body["next"])
	require.Nil(t, body["previous"])
	require.Len(t, l.get("jobs/").is(http.StatusOK)["results"], 25)
	require.Equal(t, []int{205, 204}, ids(l.get("jobs/?order_by=-id&page_size=2").is(http.StatusOK)))
	require.Equal(t, "Invalid page.", l.get("jobs/?page=99").is(http.StatusNotFound)["detail"])
	require.NotContains(t, l.get("jobs/?count_disabled").is(http.StatusOK), "count")
}

func TestF19_LimitFiltersNothing(t *testing.T) {
	l := start(t, fakeawx.Options{})
	for _, limit := range []string{"web01", "web02"} {
		l.post(restart+"launch/", object{"limit": limit}).is(http.StatusCreated)
	}
	l.post(repair+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Equal(t, []int{1, 2}, ids(l.get("jobs/?limit=web01&id__lt=3").is(http.StatusOK)))
	require.Equal(t, []int{1}, ids(l.get("jobs/?limit__exact=web01&id__lt=3").is(http.StatusOK)))
	l.get("workflow_jobs/?limit__exact=web01").is(http.StatusBadRequest)
}

func TestF20_VariablesCannotBeSearched(t *testing.T) {
	l := start(t, fakeawx.Options{})
	for _, q := range []string{"extra_vars__icontains=x", "not__survey_passwords=x"} {
		require.Contains(t, l.get("jobs/?" + q).is(http.StatusForbidden)["detail"], "is not allowed.")
	}
	require.Equal(t, "Filtering on extra_vars is not allowed.", l.get("jobs/?extra_vars__icontains=x").is(http.StatusForbidden)["detail"])
}

func TestF21_AnUnknownFilterIsRefused(t *testing.T) {
	l := start(t, fakeawx.Options{})
	require.Equal(t, "Job has no field named 'foo'", l.get("jobs/?foo=1").is(http.StatusBadRequest)["detail"])
	l.get("jobs/?id__gt=many").is(http.StatusBadRequest)
	for range 3 {
		l.post(restart+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	}
	for query, want := range map[string][]int{
		"id__gt=1&id__lt=3": {2}, "id__in=1,3": {1, 3}, "not__id=2": {1, 3}, "or__id=1&or__id=2": {1, 2}, "created_by=5": {1, 2, 3},
		"created_by__username=admin": {}, "created_by__username__istartswith=TOC": {1, 2, 3}, "launch_type=manual": {1, 2, 3},
		"status__in=pending,waiting": {}, "created__gte=2026-01-01T00:00:00Z": {1, 2, 3}, "created__lt=2026-01-01": {}, "started__isnull=true": {},
		"name__regex=^re.*t$": {1, 2, 3}, "job_template=7": {1, 2, 3}, "unified_job_template=8": {}, "search=nothing": {1, 2, 3},
	} {
		require.Equal(t, want, ids(l.get("jobs/?order_by=id&"+query).is(http.StatusOK)), query)
	}
}

func TestF27_AWebhookThatWasSeenStartsNothing(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "hooked", Inventory: "prod", WebhookKey: "key"})})
	deliver := func(guid, key string) answer {
		body := `{"ref":"main"}`
		mac := hmac.New(sha1.New, []byte(key))
		mac.Write([]byte(body))
		req, err := http.NewRequest(http.MethodPost, l.url+"/api/v2/"+first+"github/", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("X-GitHub-Delivery", guid)
		req.Header.Set("X-Hub-Signature", "sha1="+hex.EncodeToString(mac.Sum(nil)))
		res, err := l.client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		return answer{t: t, status: res.StatusCode}
	}
	deliver("a", "wrong").is(http.StatusForbidden)
	for range 2 {
		deliver("a", "key").is(http.StatusAccepted)
	}
	require.Equal(t, []int{1}, ids(l.get("jobs/?webhook_guid=a").is(http.StatusOK)))
	deliver("b", "key").is(http.StatusAccepted)
	require.Len(t, l.Ledger().Jobs, 2)
}

func TestF28_WhereTheAPILies(t *testing.T) {
	l := start(t, fakeawx.Options{})
	root := func(l *lab, path string) object {
		a, err := l.send(t.Context(), http.MethodGet, path, nil)
		require.NoError(t, err)
		return a.is(http.StatusOK)
	}
	require.Equal(t, "/api/v2/", root(l, "/api/")["current_version"])
	aap := start(t, fakeawx.Options{Prefix: fakeawx.AAP})
	controller := root(aap, "/api/")["apis"].(object)["controller"].(string)
	require.Equal(t, "/api/controller/", controller)
	require.Equal(t, "/api/controller/v2/", root(aap, controller)["current_version"])
	require.Equal(t, float64(7), root(aap, "/api/controller/v2/job_templates/7/")["id"])
	aap.get(restart).is(http.StatusNotFound)
}

func TestF30_TheJobIsThereAndItsAnswerIsNot(t *testing.T) {
	l := start(t, fakeawx.Options{})
	for i, f := range []fault.Fault{
		{Kind: fault.Drop}, {Kind: fault.HTML, Status: http.StatusGatewayTimeout}, {Kind: fault.Hang}, {Kind: fault.Truncated},
	} {
		f.Accept, f.Method, f.Path, f.Count = true, http.MethodPost, "/launch/", 1
		require.NoError(t, l.Faults.Set(1, f))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		a, err := l.send(ctx, http.MethodPost, "/api/v2/"+restart+"launch/", object{"limit": "web01"})
		cancel()
		require.True(t, err != nil || a.status != http.StatusCreated || !strings.HasSuffix(string(a.body), "}\n"))
		require.Len(t, ids(l.get(restart+"jobs/").is(http.StatusOK)), i+1, "%v", f)
	}
}

func TestF31_ACommitThatIsSeenLate(t *testing.T) {
	l := start(t, fakeawx.Options{})
	l.post(restart+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	l.Switch(fakeawx.Switches{CommitDelay: fakeawx.Duration(115 * time.Second), CommitCount: 1})
	require.NoError(t, l.Faults.Set(1, fault.Fault{Kind: fault.HTML, Status: http.StatusGatewayTimeout, Accept: true, Method: http.MethodPost, Count: 1}))
	l.post(restart+"launch/", object{"limit": "web02"})
	l.post(restart+"launch/", object{"limit": "db01"}).is(http.StatusCreated)
	require.Equal(t, []int{1, 3}, ids(l.get(restart+"jobs/?order_by=id").is(http.StatusOK)), "its number is taken, it is not seen")
	l.get("jobs/2/").is(http.StatusNotFound)
	l.Advance(114 * time.Second)
	require.Equal(t, []int{1, 3}, ids(l.get(restart+"jobs/?order_by=id").is(http.StatusOK)))
	l.Advance(time.Second)
	require.Equal(t, []int{1, 2, 3}, ids(l.get(restart+"jobs/?order_by=id").is(http.StatusOK)))
	require.Equal(t, []string{"web02"}, l.touched(2))
}

func TestF32_AJobThatWasCleanedUp(t *testing.T) {
	l := start(t, fakeawx.Options{})
	l.post(restart+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	l.Forget(1)
	require.Equal(t, "Not found.", l.get("jobs/1/").is(http.StatusNotFound)["detail"])
	l.Switch(fakeawx.Switches{NewMessages: true})
	require.Equal(t, "No Job matches the given query.", l.get("jobs/1/").is(http.StatusNotFound)["detail"])
}

func TestF33_ATemplateThatChangesBetweenLookAndLaunch(t *testing.T) {
	l := start(t, fakeawx.Options{})
	edit := func(body string) int {
		a, err := l.send(t.Context(), http.MethodPatch, "/_template", json.RawMessage(body))
		require.NoError(t, err)
		return a.status
	}
	require.Equal(t, true, l.get(restart + "launch/").is(http.StatusOK)["ask_limit_on_launch"])
	require.Equal(t, http.StatusNoContent, edit(`{"name": "restart", "ask": ["variables"]}`))
	require.Equal(t, object{"limit": "web01"}, l.post(restart+"launch/", object{"limit": "web01"}).is(http.StatusCreated)["ignored_fields"])
	require.Equal(t, http.StatusBadRequest, edit(`{"name": "nobody"}`))
	require.NoError(t, l.Edit("restart", func(t *fakeawx.Template) { t.Name = "renamed" }))
	require.Empty(t, ids(l.get("job_templates/?name=restart").is(http.StatusOK)))
	l.Remove("renamed")
	l.post(restart+"launch/", object{}).is(http.StatusNotFound)
}
