package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/app"
	"github.com/tocsin/tocsin/store"
)

// sick is a store that takes no writes, and answers no reads, while it is told so.
type sick struct {
	store.Store
	ill atomic.Bool
}

var errSick = errors.New("write /var/lib/tocsin: no space left on device")

func (s *sick) Apply(ctx context.Context, ops ...store.Op) error {
	if s.ill.Load() {
		return errSick
	}
	return s.Store.Apply(ctx, ops...)
}

func (s *sick) Get(ctx context.Context, key string) (store.Record, error) {
	if s.ill.Load() {
		return store.Record{}, errSick
	}
	return s.Store.Get(ctx, key)
}

func duty(body string) string { return strings.Replace(body, `"team"`, `"duty"`, 1) }

// A store that is unusable for 10 s must not silence the pager: PagerDuty is
// paged once, before the store is back and never again after; Slack and the
// resolve follow when it is.
func TestTheHouseFailsOpen(t *testing.T) {
	t.Parallel()
	s := &sick{}
	h := run(t, "", func(o *app.Options) {
		o.Store = func(inner store.Store) store.Store { s.Store = inner; return s }
	})
	post := func(body string) answer {
		return h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", duty(body), nil)
	}
	require.Equal(t, 202, post(fires("Again")).code)
	paged := func() int {
		n := 0
		for _, in := range h.pagerduty.Ledger().Incidents {
			n += in.Notified
		}
		return n
	}
	soon := func(what string, holds func() bool) {
		t.Helper()
		require.Eventually(t, holds, 40*time.Second, 20*time.Millisecond, what)
	}
	soon("the first page", func() bool { return paged() == 1 })
	require.Equal(t, 202, post(ceases(fires("Again"))).code)
	soon("its end", func() bool { return h.pagerduty.Ledger().Incidents[0].Status == "resolved" })
	require.Equal(t, 202, post(fires("Before")).code)
	soon("the second page", func() bool { return paged() == 2 && len(h.slack.Ledger().Roots()) == 2 })

	s.ill.Store(true)
	require.Equal(t, 503, post(fires("Critical")).code)
	soon("the door fails open", func() bool { return post(fires("Critical")).code == 202 })
	require.Contains(t, h.ask(t, "GET", h.listen, "/-/ready", "", nil).body, "failing open")
	require.Contains(t, h.ask(t, "GET", h.listen, "/metrics", "", nil).body, "tocsin_failopen_active 1")
	require.Equal(t, 3, paged())
	require.Contains(t, string(h.pagerduty.Ledger().Incidents[2].Details), "cannot write to its store")
	require.Equal(t, 202, post(fires("Before")).code)
	require.Equal(t, 3, paged(), "an open problem is known by its key though the store cannot be read")
	again := strings.Replace(fires("Again"), time.Now().UTC().Format(time.DateOnly), time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly), 1)
	require.Equal(t, 202, post(again).code)
	require.Equal(t, 4, paged(), "an episode of which nobody can know the number")
	require.Equal(t, 503, post(strings.Replace(fires("Later"), "critical", "warning", 1)).code)
	require.Equal(t, 503, post(ceases(fires("Critical"))).code)
	require.Len(t, h.slack.Ledger().Roots(), 2)

	s.ill.Store(false)
	soon("the door closes", func() bool {
		return post(ceases(fires("Critical"))).code == 202 && post(ceases(fires("Again"))).code == 202
	})
	soon("Slack is told and all that is over is resolved", func() bool {
		l := h.pagerduty.Ledger()
		return l.Incidents[2].Status == "resolved" && l.Incidents[3].Status == "resolved" && strings.Contains(slackTexts(h), "TocsinStoreFailed")
	})
	require.Equal(t, 4, paged(), "PagerDuty is paged once, also when the store comes back in the middle")
	require.Equal(t, "triggered", h.pagerduty.Ledger().Incidents[1].Status)
	require.Contains(t, h.ask(t, "GET", h.listen, "/metrics", "", nil).body, "tocsin_failopen_active 0")
	require.Equal(t, "ready\n", h.ask(t, "GET", h.listen, "/-/ready", "", nil).body)
}

func slackTexts(h *house) string {
	var b strings.Builder
	for _, m := range h.slack.Ledger().Roots() {
		b.WriteString(m.First.Visible + "\n")
	}
	return b.String()
}

// What Alertmanager holds is read at the start: a webhook that nobody took may
// not come again for hours. It is the same problem when it does come.
func TestOpenAlertsAreReadAtTheStart(t *testing.T) {
	am := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/status") {
			_ = json.NewEncoder(w).Encode(map[string]any{"config": map[string]string{
				"original": "route: {receiver: other, group_wait: 0s, routes: [{receiver: duty, matchers: ['severity=\"critical\"'], group_by: [alertname]}]}\nreceivers: [{name: other}, {name: duty}]",
			}})
			return
		}
		one := func(receiver string, by, labels map[string]string) any {
			return map[string]any{"receiver": map[string]string{"name": receiver}, "labels": by, "alerts": []any{map[string]any{"labels": labels, "startsAt": time.Now().Add(-time.Hour)}}}
		}
		_ = json.NewEncoder(w).Encode([]any{
			one("duty", map[string]string{"alertname": "Missed"}, map[string]string{"alertname": "Missed", "service": "checkout", "severity": "critical"}),
			one("other", map[string]string{}, map[string]string{"alertname": "NotOurs"}),
		})
	}))
	defer am.Close()
	h := run(t, "", func(o *app.Options) { rewrite(t, o.ConfigFile, "{name: dc1,", "{name: dc1, url: "+am.URL+",") })
	require.Eventually(t, func() bool { return len(h.pagerduty.Ledger().Incidents) == 1 }, 20*time.Second, 10*time.Millisecond)
	webhook := strings.Replace(duty(fires("Missed")), `"groupKey": "Missed"`, `"groupKey": "{}/{severity=\"critical\"}:{alertname=\"Missed\"}"`, 1)
	a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", webhook, nil)
	require.Equal(t, 202, a.code, a.body)
	require.Eventually(t, func() bool {
		return strings.Contains(h.ask(t, "GET", h.listen, "/metrics", "", nil).body, `tocsin_pipeline_events_total{kind="notified",outcome="unchanged"} 1`)
	}, 20*time.Second, 10*time.Millisecond)
	require.Len(t, h.pagerduty.Ledger().Incidents, 1)
	require.Contains(t, h.ask(t, "GET", h.listen, "/metrics", "", nil).body, `tocsin_reread_total{cluster="dc1",outcome="read"} 1`)
}

func rewrite(t *testing.T, path, old, now string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(raw), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(raw), old, now, 1)), 0o600))
}

// A flipped bit in the state costs what it hit, and nothing more: the house
// starts, keeps the file, says so to people, and the open page stays one page.
func TestADamagedStoreIsMovedAside(t *testing.T) {
	h := run(t, "storms: {problems: 0}\n")
	for i := range 40 { // so that the file has more than one page
		require.Equal(t, 202, h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", duty(fires(fmt.Sprintf("A%d", i))), nil).code)
	}
	require.Eventually(t, func() bool { return len(h.pagerduty.Ledger().Incidents) == 40 && len(h.slack.Ledger().Roots()) == 40 }, 40*time.Second, 10*time.Millisecond)
	h.stop()
	path := filepath.Join(filepath.Dir(h.config), "state", "tocsin.db")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	at := bytes.Index(raw, []byte("problem/"))
	require.Positive(t, at)
	key := bytes.Clone(raw[at : at+len("problem/")+64])
	for i := at; i >= 0; i = bytes.Index(raw, key) { // wherever it lies: old pages hold it too
		raw[i+12] ^= 1
	}
	require.NoError(t, os.WriteFile(path, raw, 0o600))

	h.start(t)
	a := h.send(t, http.MethodPost, h.listen, "/webhook/alertmanager", "am-secret", duty(fires("A1")), nil)
	require.Equal(t, 202, a.code, a.body)
	require.Eventually(t, func() bool { return strings.Contains(slackTexts(h), "TocsinStoreDamaged") }, 20*time.Second, 10*time.Millisecond)
	require.Len(t, h.pagerduty.Ledger().Incidents, 40, "open pages are known as such")
	aside, err := filepath.Glob(path + ".damaged-*")
	require.NoError(t, err)
	require.Len(t, aside, 1)
	kept, err := os.ReadFile(aside[0])
	require.NoError(t, err)
	require.Equal(t, raw, kept)
}
