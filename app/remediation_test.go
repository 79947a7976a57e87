package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/remediate"
)

// cluster is an Alertmanager: what fires, which is told by webhook, and no silences.
type cluster struct {
	h  *house
	mu sync.Mutex
	on bool
	at time.Time
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []any{}
	if c.on && strings.HasSuffix(r.URL.Path, "/alerts") {
		out = append(out, map[string]any{
			"labels": labelsOfWeb01(), "annotations": map[string]string{}, "startsAt": c.at, "endsAt": c.at.Add(time.Hour),
			"fingerprint": "f1", "generatorURL": "", "status": map[string]any{"state": "active", "silencedBy": []string{}, "inhibitedBy": []string{}},
		})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func labelsOfWeb01() map[string]string {
	return map[string]string{"alertname": "WebDown", "instance": "web01:9100", "cluster": "c1", "severity": "warning"}
}

// say sets what fires, and sends the webhook that tells it.
func (c *cluster) say(t *testing.T, fires bool) {
	t.Helper()
	c.mu.Lock()
	if fires && !c.on {
		c.at = time.Now().Add(-time.Minute).UTC()
	}
	c.on = fires
	status, end := "firing", ""
	if !fires {
		status, end = "resolved", fmt.Sprintf(`, "endsAt": %q`, time.Now().UTC().Format(time.RFC3339Nano))
	}
	labels, err := json.Marshal(labelsOfWeb01())
	require.NoError(t, err)
	body := fmt.Sprintf(`{"receiver": "team", "status": %[1]q, "version": "4", "groupKey": "{}:{web}", "groupLabels": {"alertname": "WebDown"},
 "alerts": [{"status": %[1]q, "labels": %s, "startsAt": %q%s, "fingerprint": "f1"}]}`, status, labels, c.at.Format(time.RFC3339Nano), end)
	c.mu.Unlock()
	a := c.h.send(t, http.MethodPost, c.h.listen, "/webhook/alertmanager", "am-secret", body, nil)
	require.Equal(t, http.StatusAccepted, a.code, a.body)
}

// acting is a house with an AWX and one policy in a mode.
type acting struct {
	*house
	awx     *fakeawx.Fake
	cluster *cluster
	repairs bool // the job ends the alert
}

// fleet is a pool of five hosts that are up.
func fleet(now time.Time) []enrichtest.Series {
	var out []enrichtest.Series
	for i := range 5 {
		out = append(out, enrichtest.Gauge(now, 1, "__name__", "up", "instance", fmt.Sprintf("web%02d:9100", i+1), "cluster", "c1"))
	}
	return out
}

func newActing(t *testing.T, mode string) *acting {
	t.Helper()
	dir := secrets(t)
	now := time.Now()
	h := &acting{house: &house{
		slack:     fakeslack.New(fakeslack.Options{NoRateLimits: true, Token: "xoxb-1"}),
		pagerduty: fakepagerduty.New(fakepagerduty.Options{}),
		metrics:   enrichtest.New(t, fleet(now)...),
		log:       &bytes.Buffer{}, reload: make(chan struct{}), config: filepath.Join(dir, "tocsin.yml"),
	}, repairs: true}
	h.cluster = &cluster{h: h.house}
	restart := func(_ context.Context, p fakeawx.Play) fakeawx.Result {
		if h.repairs {
			h.cluster.say(t, false)
		}
		return fakeawx.Result{Status: "successful", Output: "PLAY RECAP " + p.Limit, Hosts: map[string]fakeawx.Counts{p.Limit: {OK: 2, Changed: 1}}}
	}
	h.awx = fakeawx.New(fakeawx.Options{Actions: map[string]fakeawx.Action{"restart.yml": restart}})
	ctx, cancel := context.WithCancel(context.Background())
	go h.awx.Run(ctx)
	go func() { // samples that stay fresh, however long it takes
		for ctx.Err() == nil {
			h.metrics.Set(fleet(time.Now())...)
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
	}()
	t.Cleanup(func() { cancel(); h.awx.Close() })
	at := map[string]string{}
	for name, handler := range map[string]http.Handler{"slack": h.slack, "pagerduty": h.pagerduty, "awx": h.awx, "am": h.cluster} {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		at[name] = s.URL
	}
	h.listen, h.operators = free(t), free(t)
	files := map[string]string{
		"eve.token": "eve-secret", "awx.token": fakeawx.DefaultToken, "sign": fakeslack.DefaultSigningSecret, "pd.key": fakepagerduty.DefaultKey,
		"policies.yml": fmt.Sprintf(`policies:
  - name: restart-web
    team: infra
    mode: %s
    danger: reversible
    match: ['alertname="WebDown"']
    trigger: {firing_for: 1s}
    stable: 1s
    target: {kind: host, label: instance, validate: 'web[0-9]{2,3}', inventory: prod, pool: {label: cluster, size: 'count(up{cluster=$pool})'}}
    steps:
      - name: restart
        backend: awx/main
        template: restart
        organization: Infra
        verify: {resolved_within: 5s, promql: 'up{instance=~"$target:[0-9]+"} == 1'}
`, mode),
		"tocsin.yml": fmt.Sprintf(`listen: %s
operators: {listen: %s, tokens: [{name: alice, role: operator, token_file: alice.token}, {name: eve, role: viewer, token_file: eve.token}]}
alertmanagers: [{name: dc1, url: %q, inbound_token_files: [am.token]}]
store: {bolt: {path: %s/state/tocsin.db}}
people: [{name: Ann, role: operator, slack: [U0ANN]}, {name: Bob, roles: [dba], slack: [U0BOB]}]
remediation:
  policies: ['pol*.yml']
  backends: [{kind: awx, name: main, with: {url: %q, token_file: awx.token}}]
  sources: [{name: main, url: %q}]
  kill_file: freeze
receivers:
  - name: team
    remediate: [restart-web]
    notify:
      - {kind: slack, name: team, with: {token_file: slack.token, signing_secret_files: [sign], channel: C0PAGES, api_url: %s/api/}}
      - {kind: pagerduty, name: oncall, with: {routing_key_file: pd.key, events_url: %q}}
`, h.listen, h.operators, at["am"], dir, at["awx"], h.metrics.URL, at["slack"], at["pagerduty"]),
	}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	h.slack.SetApp("http://"+h.listen+"/callback/slack/team", fakeslack.DefaultSigningSecret)
	h.start(t)
	return h
}

// thread is what the one message's thread says, "" while there is none.
func (h *acting) thread() string {
	l := h.slack.Ledger()
	roots := l.Roots()
	if len(roots) != 1 {
		return ""
	}
	var b strings.Builder
	for _, m := range l.Replies(roots[0].TS) {
		b.WriteString(m.Current.Visible + "\n")
	}
	return b.String()
}

func (h *acting) says(t *testing.T, words string) {
	t.Helper()
	ok := func() bool { return strings.Contains(h.thread(), words) }
	for end := time.Now().Add(2 * time.Minute); !ok() && time.Now().Before(end); {
		<-time.After(50 * time.Millisecond)
	}
	require.Contains(t, h.thread(), words)
}

func (h *acting) dispatch(t *testing.T) remediate.Dispatch {
	t.Helper()
	var found []remediate.Dispatch
	a := h.ask(t, "GET", h.operators, "/api/v1/dispatches?state=all", "eve-secret", nil)
	require.NoError(t, json.Unmarshal([]byte(a.body), &found), a.body)
	require.Len(t, found, 1)
	return found[0]
}

// A fault is paged, a person approves by a signed click, the job repairs, the alert
// resolves, and the thread tells all of it.
func TestARepairByASignedClick(t *testing.T) {
	t.Parallel()
	h := newActing(t, "approve")
	h.cluster.say(t, true)
	h.says(t, "waits for approval")
	d := h.dispatch(t)
	require.Equal(t, remediate.Awaiting, d.Stage)
	root := h.slack.Ledger().Roots()[0]
	press := func(user string) {
		out, err := h.slack.Press(t.Context(), fakeslack.Press{Channel: "C0PAGES", TS: root.TS, ActionID: "tocsin_approve_" + d.ID, User: user})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, out.Status)
	}
	press("U0BOB") // a responder may not
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Whispers) == 1 }, 20*time.Second, 10*time.Millisecond)
	require.Contains(t, h.slack.Ledger().Whispers[0].Text, "you may not decide here")
	press("U0ANN")
	h.says(t, "approved by Ann")
	h.says(t, "launched job 1")
	h.says(t, "verified: repaired")
	jobs := h.awx.Ledger().Jobs
	require.Len(t, jobs, 1)
	require.Equal(t, "web01", jobs[0].Limit)
	require.Equal(t, d.ID, jobs[0].Vars["tocsin"].(map[string]any)["dispatch_id"])
	require.Equal(t, 1, h.awx.Ledger().Launches)
	d = h.dispatch(t)
	require.Equal(t, remediate.Cleared, d.Stage)

	var out bytes.Buffer
	g := app.Gateway{ConfigFile: h.config}
	require.NoError(t, app.ShowDispatch(t.Context(), &out, app.DispatchOptions{Gateway: g, Dispatch: d.ID[:20]}))
	for _, want := range []string{"kill switch", "blast radius", "decision", "Ann", "verified", "PLAY RECAP web01", "METRIC", "web01: 2 ok, 1 changed"} {
		require.Contains(t, out.String(), want)
	}
	require.Regexp(t, `alerts of it that fire +1 +0\n`, out.String())
	require.Regexp(t, `verification +1 +1\n`, out.String())
	timeline := h.ask(t, "GET", h.operators, "/api/v1/pages/"+d.Problem+"/timeline", "eve-secret", nil).body
	require.Contains(t, timeline, `"room":"remediate"`)
}

// The job succeeds and the alert stays: people are told that they are needed.
func TestAJobThatRepairsNothing(t *testing.T) {
	t.Parallel()
	h := newActing(t, "auto")
	h.repairs = false
	h.cluster.say(t, true)
	h.says(t, "not repaired: the alert still fires")
	h.says(t, "people are needed")
	require.Equal(t, remediate.Escalated, h.dispatch(t).Stage)
	incidents := func() []fakepagerduty.Incident { return h.pagerduty.Ledger().Incidents }
	require.Eventually(t, func() bool { return len(incidents()) == 2 }, time.Minute, 20*time.Millisecond, "a phone rings")
	first, further := incidents()[0], incidents()[1]
	require.Equal(t, []int{1, 1}, []int{first.Notified, further.Notified})
	require.Contains(t, further.Title, "people are needed: restart-web")
	h.cluster.say(t, false)
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(incidents(), func(in fakepagerduty.Incident) bool { return in.Status != "resolved" })
	}, time.Minute, 20*time.Millisecond, "all of them end with the problem")
	require.Len(t, incidents(), 2)
}

// A question that nobody answers rings: time approves nothing, and tells.
func TestAnApprovalThatNobodyGives(t *testing.T) {
	t.Parallel()
	h := newActing(t, "approve\n    approval: {expires: 1s}")
	h.cluster.say(t, true)
	h.says(t, "nobody approved it in time")
	require.Eventually(t, func() bool { return len(h.pagerduty.Ledger().Incidents) == 2 }, time.Minute, 20*time.Millisecond, "a phone rings")
	require.Contains(t, h.pagerduty.Ledger().Incidents[1].Title, "people are needed: restart-web")
	require.Zero(t, h.awx.Ledger().Launches)
}

// What a policy lacks is said before it serves, and at the backend by --connect.
func TestCheckSaysWhyAPolicyIsNotReady(t *testing.T) {
	h := newActing(t, "observe")
	check := func() string {
		var out bytes.Buffer
		err := app.Check(t.Context(), &out, app.CheckOptions{ConfigFile: h.config, Connect: true})
		if err != nil {
			return out.String() + err.Error()
		}
		return out.String()
	}
	require.Contains(t, check(), "ok    policy restart-web, step restart")
	require.NoError(t, h.awx.Edit("restart", func(t *fakeawx.Template) { t.Ask = []string{"variables"} }))
	require.Regexp(t, `FAIL  policy restart-web, step restart: not ready: .*prompt for Limit`, check())
	raw, err := os.ReadFile(h.config)
	require.NoError(t, err)
	for old, want := range map[string]string{
		"remediate: [restart-web]": "restart-wbe", "sources: [{name: main": "no source is configured", "kind: awx, name: main": `no backend "awx/main" is configured`,
	} {
		edited := map[string]string{"remediate: [restart-web]": "remediate: [restart-wbe]", "sources: [{name: main": "zabbix: [] # [{name: main", "kind: awx, name: main": "kind: awx, name: other"}[old]
		require.NoError(t, os.WriteFile(h.config, []byte(strings.Replace(string(raw), old, edited, 1)), 0o600))
		require.Contains(t, check(), want)
	}
}

// A policy that asks people whom nobody is one of is not ready; else those are
// asked, and nobody in their place.
func TestAPolicyAsksItsOwnPeople(t *testing.T) {
	t.Parallel()
	h := newActing(t, "approve\n    approval: {roles: [dba]}")
	raw, err := os.ReadFile(h.config)
	require.NoError(t, err)
	nobody := filepath.Join(filepath.Dir(h.config), "nobody.yml")
	require.NoError(t, os.WriteFile(nobody, []byte(strings.Replace(string(raw), "roles: [dba]", "roles: [net]", 1)), 0o600))
	var out bytes.Buffer
	require.ErrorContains(t, app.Check(t.Context(), &out, app.CheckOptions{ConfigFile: nobody}), `nobody has the role "dba"`)
	require.NoError(t, app.Check(t.Context(), &out, app.CheckOptions{ConfigFile: h.config}))

	h.cluster.say(t, true)
	h.says(t, "waits for approval")
	d := h.dispatch(t)
	a := h.send(t, "POST", h.operators, "/api/v1/dispatches/"+d.ID+"/decisions", "alice-secret", `{"verb":"approve"}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
	require.Equal(t, http.StatusForbidden, a.code)
	require.Contains(t, a.body, "its policy asks people who are dba")
	root := h.slack.Ledger().Roots()[0]
	press := func(user string) {
		_, err := h.slack.Press(t.Context(), fakeslack.Press{Channel: "C0PAGES", TS: root.TS, ActionID: "tocsin_approve_" + d.ID, User: user})
		require.NoError(t, err)
	}
	press("U0ANN")
	require.Eventually(t, func() bool { return len(h.slack.Ledger().Whispers) == 1 }, time.Minute, 10*time.Millisecond)
	require.Contains(t, h.slack.Ledger().Whispers[0].Text, "you may not decide here", "an operator is no dba")
	press("U0BOB")
	h.says(t, "approved by Bob")
	h.says(t, "verified: repaired")
}

// One webhook of 1,000 alerts for 500 hosts of one pool, through the whole
// gateway: nothing is launched, and the thread says why.
func TestAThousandAlertsTouchNothing(t *testing.T) {
	t.Parallel()
	h := newActing(t, "auto")
	var alerts []string
	for i := range 1000 {
		alerts = append(alerts, fmt.Sprintf(`{"status": "firing", "labels": {"alertname": "WebDown", "instance": "web%02d%d:%d", "cluster": "c1", "severity": "critical"}, "startsAt": %q, "fingerprint": "%x"}`,
			i/2%100, i/200, 9100+i%2, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), i))
	}
	body := `{"receiver": "team", "status": "firing", "version": "4", "groupKey": "{}:{web}", "groupLabels": {"alertname": "WebDown"}, "alerts": [` + strings.Join(alerts, ",") + `]}`
	a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", body, nil)
	require.Equal(t, http.StatusAccepted, a.code, a.body)
	h.says(t, "nothing is touched: 500 targets at once are more than 10, so the measurement is doubted first")
	require.Zero(t, h.awx.Ledger().Launches)
	require.Equal(t, remediate.Expired, h.dispatch(t).Stage)
}

// The switches of operators, by the API and by a file.
func TestNothingRunsWhileFrozen(t *testing.T) {
	t.Parallel()
	h := newActing(t, "auto")
	var out bytes.Buffer
	g := app.Gateway{ConfigFile: h.config}
	require.Error(t, app.Flip(t.Context(), &out, g, "freeze", "policy/restart-wbe", ""), "a freeze of nothing must not look like one")
	require.NoError(t, app.Flip(t.Context(), &out, g, "freeze", "team/infra", "exam"))
	kill := filepath.Join(filepath.Dir(h.config), "freeze")
	require.NoError(t, os.WriteFile(kill, nil, 0o600))
	h.cluster.say(t, true)
	h.says(t, "kill switch: global is frozen")
	out.Reset()
	require.NoError(t, app.Dispatches(t.Context(), &out, app.DispatchOptions{Gateway: g}))
	require.Contains(t, out.String(), "FROZEN  team/infra")
	require.Contains(t, out.String(), "FROZEN  global")
	require.NoError(t, app.Flip(t.Context(), &out, g, "thaw", "team/infra", ""))
	require.NoError(t, os.Remove(kill))
	for _, tc := range []struct {
		path, token, body string
		code              int
	}{
		{"/api/v1/switches", "eve-secret", `{"do":"freeze","scope":"global"}`, http.StatusForbidden},
		{"/api/v1/switches", "alice-secret", `{"do":"burn","scope":"global"}`, http.StatusBadRequest},
		{"/api/v1/dispatches/none/decisions", "alice-secret", `{"verb":"approve"}`, http.StatusNotFound},
		{"/api/v1/dispatches/" + h.dispatch(t).ID + "/decisions", "alice-secret", `{"verb":"approve"}`, http.StatusConflict},
		{"/api/v1/dispatches/" + h.dispatch(t).ID + "/decisions", "eve-secret", `{"verb":"approve"}`, http.StatusForbidden},
	} {
		a := h.send(t, "POST", h.operators, tc.path, tc.token, tc.body, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
		require.Equal(t, tc.code, a.code, "%s %s: %s", tc.path, tc.body, a.body)
	}
	require.Equal(t, http.StatusUnauthorized, h.send(t, "POST", h.listen, "/v1/dispatches/"+h.dispatch(t).ID+"/claim", "x", `{}`, nil).code)
	h.says(t, "verified: repaired")
}
