//go:build faults

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
)

// storm is what a datacentre does when its network goes: so many groups, most of
// them warnings, each growing by a few alerts at every flush of Alertmanager.
type storm struct {
	groups, alerts, critical int // alerts in all; every critical-th group is critical
	over                     time.Duration
}

type stormGroup struct {
	name, alertname, severity, summary string
	from                               time.Duration
}

func (s storm) plan(rng *rand.Rand) []stormGroup {
	out := make([]stormGroup, s.groups)
	for i := range out {
		g := stormGroup{name: fmt.Sprintf("svc-%06d", i), severity: "warning", alertname: fmt.Sprintf("Warn%02d", i%20)}
		if i%s.critical == 0 {
			g.severity, g.alertname = "critical", fmt.Sprintf("Crit%02d", i/s.critical%10)
		}
		g.from = time.Duration(rng.Int64N(int64(s.over) * 4 / 5))
		out[i] = g
	}
	return out
}

// body is the group's webhook with its first n alerts.
func (g stormGroup) body(n int, began time.Time) []byte {
	group := map[string]string{"alertname": g.alertname, "service": g.name}
	var alerts []any
	for i := range n {
		labels := map[string]string{"alertname": g.alertname, "service": g.name, "severity": g.severity, "pod": fmt.Sprintf("%s-%d", g.name, i), "dc": "dc1"}
		alerts = append(alerts, map[string]any{"status": "firing", "labels": labels, "startsAt": began, "annotations": map[string]string{"summary": g.name + " is unreachable" + g.summary}})
	}
	b, err := json.Marshal(map[string]any{
		"version": "4", "status": "firing", "receiver": "lab", "groupKey": "{}:{service=\"" + g.name + "\"}",
		"groupLabels": group, "commonLabels": group, "alerts": alerts,
	})
	if err != nil {
		panic(err)
	}
	return b
}

// TestFaultStorm: 10,000 alerts in 500 groups within a minute (F14 of the fault
// table), against services that keep their real rate limits.
func TestFaultStorm(t *testing.T) {
	t.Parallel()
	s := storm{groups: 500, alerts: 10_000, critical: 10, over: time.Minute}
	if testing.Short() {
		s = storm{groups: 200, alerts: 4000, critical: 10, over: 24 * time.Second}
	}
	seed := seeds(1)[0]
	rng := rand.New(rand.NewPCG(seed, 7))
	g := newGateway(t, seed, "")
	g.slack, g.pd = fakeslack.New(fakeslack.Options{}), fakepagerduty.New(fakepagerduty.Options{})
	g.meddle = func(service string, _ http.Handler, w http.ResponseWriter, r *http.Request) bool {
		switch service {
		case "slack":
			g.slack.ServeHTTP(w, r)
		case "pagerduty":
			g.pd.ServeHTTP(w, r)
		default:
			return false
		}
		return true
	}
	config, err := os.ReadFile(filepath.Join(g.dir, "tocsin.yml"))
	require.NoError(t, err)
	config = bytes.Replace(config, []byte("storms: {problems: 0}\n"), nil, 1)
	require.NoError(t, os.WriteFile(filepath.Join(g.dir, "tocsin.yml"), config, 0o600))
	g.start(nil)
	g.ready()
	groups := s.plan(rng)
	began := time.Now()
	answers, rss := g.pourStorm(s, groups, began)
	slices.Sort(answers)
	p99 := answers[len(answers)*99/100]

	// what people could see of every critical group, by the time it was first named
	var waits []time.Duration
	deadline := time.Now().Add(30 * time.Second)
	for _, gr := range groups {
		if gr.severity != "critical" {
			continue
		}
		at, ok := g.named(gr, "slack")
		for !ok && time.Now().Before(deadline) {
			pause(200 * time.Millisecond)
			at, ok = g.named(gr, "slack")
		}
		require.True(t, ok, "seed %d: Slack never named %s of %s\n%s", seed, gr.alertname, gr.name, g.tail())
		waits = append(waits, max(0, at.Sub(began.Add(gr.from))))
		_, ok = g.named(gr, "pagerduty")
		for !ok && time.Now().Before(deadline) {
			pause(200 * time.Millisecond)
			_, ok = g.named(gr, "pagerduty")
		}
		require.True(t, ok, "seed %d: PagerDuty never named %s of %s", seed, gr.alertname, gr.name)
	}
	slices.Sort(waits)
	roots := 0
	for _, m := range g.slack.Ledger().Messages {
		if m.ThreadTS == "" {
			roots++
		}
	}
	paged := 0
	for _, n := range g.pd.Ledger().Paged {
		paged += n
	}
	t.Logf("seed %d: %d alerts, %d groups, %d webhooks in %s: answers p50 %s p99 %s max %s; critical named in Slack p50 %s p99 %s max %s; RSS at most %d MB; %d roots in Slack, %d rings at PagerDuty",
		seed, s.alerts, s.groups, len(answers), time.Since(began).Round(time.Second), answers[len(answers)/2].Round(time.Millisecond), p99.Round(time.Millisecond), answers[len(answers)-1].Round(time.Millisecond),
		waits[len(waits)/2].Round(time.Millisecond), waits[len(waits)*99/100].Round(time.Millisecond), waits[len(waits)-1].Round(time.Millisecond), rss>>20, roots, paged)
	require.LessOrEqual(t, waits[len(waits)*99/100], 30*time.Second)
	require.LessOrEqual(t, rss, int64(512<<20))
	require.Less(t, roots, s.groups/3, "a storm is told by a few messages")
	require.LessOrEqual(t, answers[len(answers)-1], 5*time.Second, "Alertmanager's peer would send too")
}

// pourStorm posts what Alertmanager would, and returns how long the answers took
// and the most memory that was used.
func (g *gateway) pourStorm(s storm, groups []stormGroup, began time.Time) (answers []time.Duration, rss int64) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	each := s.alerts / s.groups
	flushes := []time.Duration{0, s.over / 6, s.over / 3}
	watching := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			rss = max(rss, int64(g.metric("process_resident_memory_bytes")))
			select {
			case <-watching:
				return
			case <-time.After(time.Second):
			}
		}
	}()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	wg.Go(func() { // one group that is a whole fleet: 10 MB
		pause(time.Until(began.Add(s.over / 2)))
		huge := stormGroup{name: "svc-999999", alertname: "WarnFleet", severity: "warning"}
		huge.summary = strings.Repeat("x", 700)
		body := huge.body(10_000, began)
		at := time.Now()
		for !g.postStorm(client, body) {
			pause(500 * time.Millisecond)
		}
		g.Logf("a body of %d MB was answered in %s", len(body)>>20, time.Since(at).Round(time.Millisecond))
	})
	for _, gr := range groups {
		wg.Go(func() {
			for i, after := range flushes {
				pause(time.Until(began.Add(gr.from + after)))
				body := gr.body(max(1, each*(i+1)/len(flushes)), began.Add(gr.from))
				for {
					at := time.Now()
					if g.postStorm(client, body) {
						mu.Lock()
						answers = append(answers, time.Since(at))
						mu.Unlock()
						break
					}
					pause(500 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	close(watching)
	<-watched
	return answers, rss
}

func (g *gateway) postStorm(client *http.Client, body []byte) bool {
	req, err := http.NewRequest(http.MethodPost, g.sender.URL, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer am-secret")
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusAccepted
}

// named is when people could first read of a critical group: by its own message,
// or by its alert's name in the message of a storm.
func (g *gateway) named(gr stormGroup, service string) (at time.Time, ok bool) {
	see := func(text string, when time.Time) {
		if (strings.Contains(text, gr.name) || strings.Contains(text, gr.alertname)) && (!ok || when.Before(at)) {
			at, ok = when, true
		}
	}
	if service == "slack" {
		for _, m := range g.slack.Ledger().Messages {
			for _, v := range m.Versions {
				see(v.Visible+v.Text, v.At)
			}
		}
		return at, ok
	}
	for _, in := range g.pd.Ledger().Incidents {
		see(in.Title+in.Summary+string(in.Details), in.Accepted)
	}
	return at, ok
}
