package fakeawx_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
)

// slow is a template whose jobs wait for ten seconds and run for a minute.
func slow(name string) fakeawx.Template {
	return fakeawx.Template{
		Name: name, Inventory: "prod", Playbook: "slow.yml", Ask: []string{"limit"},
		Queue: config.Duration(10 * time.Second), Runs: config.Duration(time.Minute),
	}
}

func (l *lab) status(id string) string {
	l.t.Helper()
	return l.get("jobs/" + id + "/").is(http.StatusOK)["status"].(string)
}

func TestTheLifeOfAJob(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(slow("slow"))})
	l.post(first+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Equal(t, "pending", l.status("1"))
	l.Advance(6 * time.Second)
	require.Equal(t, "waiting", l.status("1"))
	l.Advance(4 * time.Second)
	require.Equal(t, "running", l.status("1"))
	l.Advance(2 * time.Minute)
	body := l.get("jobs/1/").is(http.StatusOK)
	require.Equal(t, "successful", body["status"])
	require.Equal(t, "2026-09-01T00:01:10.000000Z", body["finished"], "when it was due, not when it was looked at")
	require.Equal(t, float64(60), body["elapsed"])
}

func TestF22_ASecondJobOfATemplateWaits(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(slow("slow"))})
	for _, limit := range []string{"web01", "web02"} {
		l.post(first+"launch/", object{"limit": limit}).is(http.StatusCreated)
	}
	l.Advance(10 * time.Second)
	require.Equal(t, "running", l.status("1"))
	l.Advance(59 * time.Second)
	require.Equal(t, "pending", l.status("2"))
	l.Advance(time.Second)
	require.Equal(t, "successful", l.status("1"))
	l.Advance(10 * time.Second)
	require.Equal(t, "running", l.status("2"), "long after it was asked for")
	require.NoError(t, l.Edit("slow", func(t *fakeawx.Template) { t.Simultaneous = true }))
	l.post(first+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	l.Advance(10 * time.Second)
	require.Equal(t, "running", l.status("3"))
}

func TestF23_Cancel(t *testing.T) {
	w := world(slow("slow"))
	w.Users[1].Token = "admin-token"
	l := start(t, fakeawx.Options{World: w})
	l.Switch(fakeawx.Switches{CancelLag: fakeawx.Duration(5 * time.Second)})
	l.post(first+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Equal(t, true, l.get("jobs/1/cancel/").is(http.StatusOK)["can_cancel"])
	a := l.post("jobs/1/cancel/", nil)
	require.Equal(t, http.StatusAccepted, a.status)
	require.Empty(t, a.body)
	require.Equal(t, "canceled", l.status("1"), "pending: at once")

	l.post(first+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	l.Advance(30 * time.Second)
	l.post("jobs/2/cancel/", nil).is(http.StatusAccepted)
	require.Equal(t, "running", l.status("2"), "running: later")
	l.Advance(5 * time.Second)
	require.Equal(t, "canceled", l.status("2"))
	l.post("jobs/2/cancel/", nil).is(http.StatusForbidden)
	l.as("admin-token").post("jobs/2/cancel/", nil).is(http.StatusMethodNotAllowed)

	_, err := l.LaunchAs("admin", "slow", "web01", nil)
	require.NoError(t, err)
	l.post("jobs/3/cancel/", nil).is(http.StatusForbidden)
}

func TestF24_SuccessfulWithoutAHost(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(fakeawx.Template{Name: "misses", Inventory: "prod", Hosts: "db01", Ask: []string{"limit"}, Simultaneous: true})})
	l.post(first+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Equal(t, "successful", l.status("1"))
	require.Empty(t, l.get("jobs/1/job_host_summaries/").is(http.StatusOK)["results"])
	l.post(first+"launch/", object{"limit": "nobody"}).is(http.StatusCreated)
	require.Equal(t, "failed", l.status("2"))
	require.Contains(t, string(l.get("jobs/2/stdout/?format=txt").body), "does not match any hosts")
	l.post(first+"launch/", object{"limit": "db01"}).is(http.StatusCreated)
	require.Equal(t, "successful", l.status("3"))
	rows := l.get("jobs/3/job_host_summaries/?host_name=db01").is(http.StatusOK)["results"].([]any)
	require.Equal(t, float64(1), rows[0].(object)["changed"])
	require.Equal(t, object{"changed": float64(1)}, l.get("jobs/3/").is(http.StatusOK)["host_status_counts"])
}

func TestF25_WhyItWaitsIsSaidAfterHalfAMinute(t *testing.T) {
	l := start(t, fakeawx.Options{World: world(slow("slow"))})
	why := func(id string) any { return l.get("jobs/" + id + "/").is(http.StatusOK)["job_explanation"] }
	for range 2 {
		l.post(first+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	}
	l.Advance(29 * time.Second)
	require.Empty(t, why("2"))
	l.Advance(time.Second)
	require.Equal(t, "waiting for job-1 to finish", why("2"))
	l.Switch(fakeawx.Switches{NoCapacity: true})
	l.Advance(time.Minute)
	require.Equal(t, "This job is not ready to start because there is not enough available capacity.", why("2"))
}

func TestF26_TooMuchOutputIsASentence(t *testing.T) {
	l := start(t, fakeawx.Options{})
	l.Switch(fakeawx.Switches{StdoutBytes: 2 << 20})
	l.post(restart+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Equal(t, "successful", l.status("1"))
	a := l.get("jobs/1/stdout/?format=txt")
	require.Equal(t, http.StatusOK, a.status)
	require.Regexp(t, `^Standard Output too large to display \(\d+ bytes\), only download supported for sizes over 1048576 bytes\.$`, string(a.body))
	require.Contains(t, l.get("jobs/1/stdout/?format=json&start_line=-5").is(http.StatusOK)["content"], "Standard Output too large", "in JSON too")
	require.Greater(t, len(l.get("jobs/1/stdout/?format=txt_download").body), 2<<20)
	last := l.get("jobs/1/job_events/?order_by=-counter&page_size=2").is(http.StatusOK)["results"].([]any)
	require.Contains(t, last[0].(object)["stdout"], "web01 : ok=2 changed=1")
	l.Switch(fakeawx.Switches{})
	l.post(restart+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	l.Advance(0)
	require.Contains(t, l.get("jobs/2/stdout/?format=json&start_line=-1").is(http.StatusOK)["content"], "web01 : ok=2")
}

func TestF29_EventsAreCompleteAfterTheEnd(t *testing.T) {
	l := start(t, fakeawx.Options{})
	l.Switch(fakeawx.Switches{EventLag: fakeawx.Duration(10 * time.Second)})
	l.post(restart+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	body := l.get("jobs/1/").is(http.StatusOK)
	require.Equal(t, "successful", body["status"])
	require.Equal(t, false, body["event_processing_finished"])
	require.Nil(t, body["host_status_counts"])
	require.Empty(t, l.get("jobs/1/job_host_summaries/").is(http.StatusOK)["results"])
	l.Advance(10 * time.Second)
	require.Equal(t, true, l.get("jobs/1/").is(http.StatusOK)["event_processing_finished"])
	require.Len(t, l.get("jobs/1/job_host_summaries/").is(http.StatusOK)["results"], 1)
}

func TestAJobThatTakesTooLongFails(t *testing.T) {
	s := slow("slow")
	s.Timeout = 20
	l := start(t, fakeawx.Options{World: world(s)})
	l.post(first+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	l.Advance(time.Second)
	l.Advance(30 * time.Second)
	body := l.get("jobs/1/").is(http.StatusOK)
	require.Equal(t, "failed", body["status"])
	require.Equal(t, "Job terminated due to timeout", body["job_explanation"])
}

func TestWhatRunsInsteadOfAPlaybook(t *testing.T) {
	release := make(chan struct{})
	seen := make(chan fakeawx.Play, 1)
	l := start(t, fakeawx.Options{Actions: map[string]fakeawx.Action{"restart.yml": func(ctx context.Context, p fakeawx.Play) fakeawx.Result {
		seen <- p
		select {
		case <-release:
		case <-ctx.Done():
		}
		return fakeawx.Result{Status: "failed", Output: "fatal: [web01]: no\n", Hosts: map[string]fakeawx.Counts{"web01": {Failures: 1}}}
	}}})
	l.post(restart+"launch/", object{"limit": "web01", "job_type": "check", "extra_vars": object{"a": "b"}}).is(http.StatusCreated)
	require.Equal(t, "running", l.status("1"))
	p := <-seen
	require.Equal(t, []string{"web01"}, p.Hosts)
	require.True(t, p.Check)
	require.Equal(t, int64(1), p.Vars["awx_job_id"])
	close(release)
	require.Eventually(t, func() bool { return l.status("1") == "failed" }, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, []int{1}, ids(l.get("jobs/1/job_events/?event=runner_on_failed").is(http.StatusOK)))
}

func TestAPlaybookOfTheFolder(t *testing.T) {
	if fakeawx.Ansible() == "" {
		t.Log("ansible-playbook is not installed: the playbook is played by its stand-in")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "restart.yml"), []byte(strings.Join([]string{
		"- hosts: all", "  gather_facts: false", "  tasks:",
		"    - copy: {content: '{{ word }}', dest: '{{ out }}'}",
	}, "\n")), 0o600))
	w := world()
	for i := range w.Inventories[0].Hosts {
		w.Inventories[0].Hosts[i].Variables = map[string]any{"ansible_connection": "local"}
	}
	l := start(t, fakeawx.Options{World: w, Playbooks: dir})
	out := filepath.Join(dir, "said")
	word := "{{ lookup('pipe', 'id') }}"
	l.post(restart+"launch/", object{"limit": "web01", "extra_vars": object{"word": word, "out": out}}).is(http.StatusCreated)
	require.Eventually(t, func() bool { return l.status("1") == "successful" }, 2*time.Minute, 50*time.Millisecond, "%v", l.Ledger())
	rows := l.get("jobs/1/job_host_summaries/").is(http.StatusOK)["results"].([]any)
	require.Len(t, rows, 1)
	require.Equal(t, "web01", rows[0].(object)["host_name"])
	require.Equal(t, float64(1), rows[0].(object)["changed"])
	if fakeawx.Ansible() != "" {
		said, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Equal(t, word, string(said), "text of a launch is no template")
	}
}

func TestTheWorldOfTheFolder(t *testing.T) {
	w, err := fakeawx.ReadWorld("playbooks/world.yml")
	require.NoError(t, err)
	for _, template := range w.Templates {
		require.FileExists(t, filepath.Join("playbooks", template.Playbook))
	}
}

func TestAWorldOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "world.yml")
	require.NoError(t, os.WriteFile(file, []byte(`
inventories: [{name: prod, organization: Infra, hosts: [{name: web01}]}]
templates: [{name: fix, organization: Infra, inventory: prod, playbook: fix.yml, ask: [limit, variables], runs: 30s}]
users: [{name: me, token: t, execute: [fix], inventory: [prod]}]
`), 0o600))
	w, err := fakeawx.ReadWorld(file)
	require.NoError(t, err)
	l := start(t, fakeawx.Options{World: w}).as("t")
	require.Equal(t, []int{101}, ids(l.get("inventories/2/hosts/?name=web01").is(http.StatusOK)))
	l.post(restart+"launch/", object{"limit": "web01"}).is(http.StatusCreated)
	require.Equal(t, "running", l.status("1"))
	a, err := l.send(t.Context(), http.MethodPost, "/_clock", object{"advance": "30s"})
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, a.status)
	require.Equal(t, "successful", l.status("1"))
	page, err := l.send(t.Context(), http.MethodGet, "/", nil)
	require.NoError(t, err)
	require.Contains(t, string(page.body), `id="/jobs/playbook/1"`)
	require.NoError(t, os.WriteFile(file, []byte("users: [{name: me, execute: [nothing]}]"), 0o600))
	_, err = fakeawx.ReadWorld(file)
	require.ErrorContains(t, err, `there is no template "nothing"`)
}
