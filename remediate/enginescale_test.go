package remediate_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
)

// around is what guards ask, with 500 hosts in the pool: an Alertmanager that has
// what was put there, and a source that knows the size of the pool.
type around struct {
	mu     sync.Mutex
	alerts []page.Alert
}

func (a *around) set(alerts []page.Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alerts = alerts
}

func (a *around) Active(_ context.Context, _ string, alerts []page.Alert) ([]page.Alert, error) {
	return alerts, nil
}

func (a *around) Firing(context.Context, string, page.Labels) ([]page.Alert, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.alerts, nil
}

func (a *around) Silences(context.Context, string) ([]remediate.Silence, error) { return nil, nil }

func (a *around) Ask(_ context.Context, _, promql string, at time.Time) (remediate.Answer, error) {
	if strings.HasPrefix(promql, "min(timestamp(") {
		return remediate.Answer{Values: []float64{float64(at.Unix())}}, nil
	}
	return remediate.Answer{Values: []float64{500}}, nil
}

// crowd is a world of 500 hosts in one pool, real guards, and an AWX whose jobs
// repair nothing. Three may be worked on at once.
func (w *world) crowd() (*fakeawx.Fake, *around) {
	a := &around{}
	w.awx = fakeawx.DefaultWorld()
	for i := range 500 {
		w.awx.Inventories[0].Hosts = append(w.awx.Inventories[0].Hosts, fakeawx.Host{Name: fmt.Sprintf("node-%03d", i)})
	}
	f, b := w.onAWX(func() {})
	w.backend = b
	w.policy.Trigger.FiringFor = config.Duration(time.Second)
	w.policy.Guards.Concurrency.Pool = 3
	w.rules = remediate.NewRules(remediate.World{Alertmanager: a, Sources: a}, time.Now)
	return f, a
}

// hosts are the first n.
func hosts(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("node-%03d", i)
	}
	return out
}

// alertsOf are two of each host.
func alertsOf(names []string) []page.Alert {
	var out []page.Alert
	for _, h := range names {
		for _, kind := range []string{"Down", "Slow"} {
			out = append(out, page.Alert{
				ID: h + kind, Status: page.Firing, StartsAt: time.Now(),
				Labels: page.Labels{"alertname": kind, "host": h, "pool": "web", "severity": "critical"},
			})
		}
	}
	return out
}

// 1,000 alerts for 500 hosts of one pool, in one problem: what ran before runs on,
// nothing more is launched, and the page says why the others were not touched.
func TestAThousandAlertsForOnePool(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		f, a := w.crowd()
		w.start(w.store)
		a.set(alertsOf(hosts(8)))
		w.fires("p1", 1, hosts(8)...)
		w.sleep(15 * time.Second)
		before := f.Ledger().Launches
		require.Equal(t, 3, before, "the cap: three at once in a pool")
		a.set(alertsOf(hosts(500)))
		w.fires("p1", 1, hosts(500)...)
		w.sleep(2 * time.Minute)
		require.Equal(t, before, f.Ledger().Launches, "not one more")
		doubted := 0
		for _, d := range w.all() {
			if d.Intent == nil && d.Target.Name != "" {
				require.Equal(t, remediate.Blocked, d.Stage, "%s: %s", d.Target.Name, d.Reason)
				require.Contains(t, d.Reason, "the measurement is doubted, nothing is touched")
				doubted++
			}
		}
		require.Equal(t, 5, doubted)
		told := strings.Join(w.told(), "\n")
		require.Contains(t, told, "restart-web, step restart: nothing is touched: 500 targets at once are more than 10, so the measurement is doubted first")
		require.Equal(t, doubted, strings.Count(told, "blast radius: 500 targets began to fail within 5m, more than 10: the measurement is doubted, nothing is touched"), told)
	})
}

// The same as a problem of each host, as a route by host groups them: each page
// says why, though it names but one.
func TestManyProblemsOfOnePool(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		const pages = 50
		f, a := w.crowd()
		a.set(alertsOf(hosts(500)))
		w.start(w.store)
		for i, h := range hosts(pages) {
			w.fires(fmt.Sprintf("p%03d", i), 1, h)
		}
		w.sleep(4 * time.Second)
		require.Zero(t, f.Ledger().Launches)
		all := w.all()
		require.Len(t, all, pages)
		for _, d := range all {
			require.Equal(t, remediate.Blocked, d.Stage, "%s: %s", d.Target.Name, d.Reason)
		}
		said := "500 targets began to fail within 5m, more than 10: the measurement is doubted, nothing is touched"
		require.Equal(t, pages, strings.Count(strings.Join(w.told(), "\n"), said))
	})
}
