package app_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/pipeline"
	"github.com/tocsin/tocsin/webhook"
)

// spell is a time in which an alert fires.
type spell struct{ from, to time.Time }

// pair is a cluster of two Alertmanagers that hear of a group of alerts from
// two Prometheus replicas, and send webhooks about it: as dispatch and the
// deduplication of v0.31 do, with what goes wrong between them.
type pair struct {
	rnd      *rand.Rand
	began    time.Time
	alerts   []string
	spells   map[string][]spell
	wait     time.Duration // group_wait
	interval time.Duration // group_interval
	parted   bool          // the peers do not hear from one another
	bodies   []arrival
}

type arrival struct {
	at   time.Time
	body []byte
}

const peerTimeout = 15 * time.Second // Alertmanager's default, per position

// episodes draws when the group fires: far enough apart that each peer flushes
// its end, so that everybody agrees on how many episodes there are.
func (p *pair) episodes(n int) {
	at := p.began
	p.spells = map[string][]spell{}
	for range n {
		from := at
		to := from.Add(time.Duration(70+p.rnd.IntN(200)) * time.Second)
		for i, a := range p.alerts {
			s := spell{from, to}
			if i > 0 { // the first fires all the time, others join and leave
				s.from = from.Add(time.Duration(p.rnd.IntN(60)) * time.Second)
				s.to = s.from.Add(time.Duration(1+p.rnd.IntN(int(to.Sub(s.from)/time.Second))) * time.Second)
			}
			p.spells[a] = append(p.spells[a], s)
		}
		at = to.Add(2*p.interval + peerTimeout + 70*time.Second + time.Duration(p.rnd.IntN(200))*time.Second)
	}
}

// firing returns the alert's spell at a time, or the last one that is over.
func (p *pair) firing(alert string, at time.Time) (s spell, fires, known bool) {
	for _, s := range p.spells[alert] {
		if at.Before(s.from) {
			break
		}
		if at.Before(s.to) {
			return s, true, true
		}
	}
	for _, s := range slices.Backward(p.spells[alert]) {
		if !at.Before(s.to) {
			return s, false, true
		}
	}
	return spell{}, false, false
}

// told is what a peer's notification log holds.
type told struct {
	firing, resolved []string
	at               time.Time
}

// flush is a peer's snapshot of the group, which it sends when its turn comes.
type flush struct {
	peer             int
	at, sends        time.Time
	firing, resolved []string
}

// snapshot is what a peer holds, but for resolves it has sent.
func (p *pair) snapshot(at time.Time, over map[string]time.Time) (f flush) {
	for _, a := range p.alerts {
		switch s, fires, known := p.firing(a, at); {
		case fires:
			f.firing = append(f.firing, a)
		case known && !over[a].Equal(s.to):
			f.resolved = append(f.resolved, a)
		}
	}
	return f
}

// run plays both peers, second by second, until all is over.
func (p *pair) run() {
	skew := [2]time.Duration{0, time.Duration(p.rnd.IntN(4000)) * time.Millisecond} // of what a peer hears
	var logs [2][]told
	var next, formed [2]time.Time
	var over [2]map[string]time.Time // resolved alerts that were sent: dropped from the group
	over[0], over[1] = map[string]time.Time{}, map[string]time.Time{}
	end := p.began.Add(40 * time.Minute)
	var due []flush
	for now := p.began; now.Before(end); now = now.Add(time.Second) {
		for peer := range 2 {
			f := p.snapshot(now.Add(-skew[peer]), over[peer])
			switch {
			case len(f.firing)+len(f.resolved) == 0:
				formed[peer] = time.Time{}
				continue
			case formed[peer].IsZero():
				formed[peer], next[peer] = now, now.Add(p.wait)
			}
			if now.Before(next[peer]) {
				continue
			}
			next[peer] = now.Add(p.interval)
			f.peer, f.at, f.sends = peer, now, now.Add(time.Duration(peer)*peerTimeout)
			due = append(due, f)
		}
		due = slices.DeleteFunc(due, func(f flush) bool {
			if f.sends.After(now) {
				return false
			}
			for _, a := range f.resolved {
				s, _, _ := p.firing(a, f.at.Add(-skew[f.peer]))
				over[f.peer][a] = s.to
			}
			if !p.news(logs, f.peer, f.firing, f.resolved, now) {
				return true
			}
			logs[f.peer] = append(logs[f.peer], told{f.firing, f.resolved, now})
			p.send(f.peer, f.at.Add(-skew[f.peer]), now, f.firing, f.resolved)
			return true
		})
	}
	slices.SortStableFunc(p.bodies, func(a, b arrival) int { return a.at.Compare(b.at) })
}

// news is the deduplication stage: nothing is sent that a log says was sent.
func (p *pair) news(logs [2][]told, peer int, firing, resolved []string, now time.Time) bool {
	var last told
	for i, log := range logs {
		if len(log) == 0 || i != peer && p.parted {
			continue
		}
		entry := log[len(log)-1]
		if i != peer && now.Sub(entry.at) < time.Duration(p.rnd.IntN(1500))*time.Millisecond {
			continue // gossip takes its time
		}
		if entry.at.After(last.at) {
			last = entry
		}
	}
	within := func(part, whole []string) bool {
		return !slices.ContainsFunc(part, func(a string) bool { return !slices.Contains(whole, a) })
	}
	if last.at.IsZero() {
		return len(firing) > 0
	}
	if !within(firing, last.firing) {
		return true
	}
	if len(firing) == 0 {
		return len(last.firing) > 0
	}
	return !within(resolved, last.resolved)
}

// send makes the body: both peers say the same with another address, other
// times (Prometheus' FiredAt differs per replica), in another order; the answer
// may be lost, and then it is sent again.
func (p *pair) send(peer int, as, now time.Time, firing, resolved []string) {
	alerts := []map[string]any{}
	add := func(a, status string) {
		s, _, _ := p.firing(a, as)
		m := map[string]any{
			"status": status, "labels": map[string]string{"alertname": a, "severity": "critical"}, "annotations": map[string]string{},
			"startsAt": s.from.Add(time.Duration(peer*p.rnd.IntN(5000)) * time.Millisecond), "endsAt": time.Time{}, "generatorURL": fmt.Sprintf("http://prometheus-%d/graph", peer),
		}
		if status == "resolved" {
			m["endsAt"] = s.to.Add(time.Duration(p.rnd.IntN(2000)) * time.Millisecond)
		}
		alerts = append(alerts, m)
	}
	for _, a := range firing {
		add(a, "firing")
	}
	for _, a := range resolved {
		add(a, "resolved")
	}
	p.rnd.Shuffle(len(alerts), func(i, j int) { alerts[i], alerts[j] = alerts[j], alerts[i] })
	status := "resolved"
	if len(firing) > 0 {
		status = "firing"
	}
	body, _ := json.Marshal(map[string]any{
		"version": "4", "groupKey": "{}:{}", "receiver": "team", "status": status, "alerts": alerts,
		"externalURL": fmt.Sprintf("http://alertmanager-%d:9093", peer),
	})
	at := now.Add(time.Duration(p.rnd.IntN(2000)) * time.Millisecond)
	p.bodies = append(p.bodies, arrival{at, body})
	for p.rnd.IntN(5) == 0 {
		at = at.Add(time.Duration(500+p.rnd.IntN(4000)) * time.Millisecond)
		p.bodies = append(p.bodies, arrival{at, body})
	}
}

// Whatever a pair of Alertmanagers does to one another, people are told of an
// episode once, and of its end.
func TestAlertmanagerPairsOpenEachEpisodeOnce(t *testing.T) {
	webhooks, held := 0, 0
	for seed := range uint64(1000) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		p := &pair{
			rnd: rnd, began: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), alerts: []string{"a", "b", "c"}[:1+rnd.IntN(3)],
			wait: time.Duration(rnd.IntN(2)) * 10 * time.Second, interval: time.Duration(10+rnd.IntN(50)) * time.Second, parted: rnd.IntN(3) == 0,
		}
		episodes := 1 + rnd.IntN(3)
		p.episodes(episodes)
		p.run()
		opened, waiting, state := p.apply(t)
		require.Equal(t, episodes, opened, "seed %d: %s", seed, p.tell())
		require.Equal(t, page.Closed, state, "seed %d: %s", seed, p.tell())
		webhooks, held = webhooks+len(p.bodies), held+waiting
	}
	t.Logf("1000 pairs, %d webhooks, %d held firings asked about", webhooks, held)
	require.Positive(t, held, "the slow peer's echo must occur, or this shows nothing")
}

// apply walks the bodies through the decoder and the state machine. A held
// firing is asked about ten seconds later, and the truth is answered.
func (p *pair) apply(t *testing.T) (opened, held int, state page.State) {
	t.Helper()
	var problem page.Problem
	queue := slices.Clone(p.bodies)
	step := func(e page.Event) {
		s := pipeline.Advance(problem, e)
		problem = s.Problem
		if s.Opened {
			opened++
		}
		if len(s.Held) == 0 {
			return
		}
		held++
		ask := e.At.Add(10 * time.Second)
		var active []page.Alert
		for _, a := range s.Held {
			if _, fires, _ := p.firing(a.Name(), ask); fires {
				active = append(active, a)
			}
		}
		if len(active) == 0 {
			return
		}
		n := problem.Group
		n.Alerts = active
		raw, _ := json.Marshal(n)
		queue = append(queue, arrival{ask, raw})
		slices.SortStableFunc(queue, func(a, b arrival) int { return a.at.Compare(b.at) })
	}
	for len(queue) > 0 {
		a := queue[0]
		queue = queue[1:]
		var n page.Notification
		kind := page.Recheck
		if json.Unmarshal(a.body, &n) != nil || n.GroupKey == "" {
			var err error
			n, err = webhook.Decode("dc1", a.body, webhook.DefaultLimits())
			require.NoError(t, err)
			kind = page.Notified
		}
		step(page.Event{Problem: n.ProblemID(), Kind: kind, At: a.at, Notification: &n})
	}
	return opened, held, problem.State
}

// tell shows a run to whoever has to find out what went wrong.
func (p *pair) tell() string {
	out := fmt.Sprintf("wait %s, interval %s, parted %v\n", p.wait, p.interval, p.parted)
	for _, a := range p.alerts {
		for _, s := range p.spells[a] {
			out += fmt.Sprintf("  %s fires %s–%s\n", a, s.from.Format("04:05"), s.to.Format("04:05"))
		}
	}
	for _, b := range p.bodies {
		var body struct {
			ExternalURL string
			Alerts      []page.Alert
		}
		_ = json.Unmarshal(b.body, &body)
		slices.SortFunc(body.Alerts, func(a, b page.Alert) int { return cmp.Compare(a.Name(), b.Name()) })
		out += fmt.Sprintf("  %s %s", b.at.Format("04:05.0"), body.ExternalURL[7:21])
		for _, a := range body.Alerts {
			out += fmt.Sprintf(" %s:%s", a.Name(), a.Status)
		}
		out += "\n"
	}
	return out
}
