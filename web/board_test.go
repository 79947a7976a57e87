package web_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/web"
)

func ids(rows []web.Row) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s/%d", r.Problem, r.Episode))
	}
	return out
}

func TestTheBoardShowsWhatIsOpenWorstFirst(t *testing.T) {
	w := newWorld(t)
	at := func(id, severity string, later time.Duration) page.Problem {
		p := problem(id, 1)
		p.Clock.Received = p.Clock.Received.Add(later)
		for k, m := range p.Members {
			m.Alert.Labels["severity"] = severity
			p.Members[k] = m
		}
		return p
	}
	w.save(t, at("info", "info", time.Hour))
	w.save(t, at("new", "critical", time.Minute))
	w.save(t, at("old", "critical", 0))
	taken := at("taken", "critical", time.Hour)
	taken.Ack = &page.Ack{By: "Jane"}
	w.save(t, taken)
	w.save(t, at("warning", "warning", 0))
	w.save(t, closed(problem("over", 1), time.Hour))
	rows := w.shown(t, 5)
	require.Equal(t, []string{"new/1", "old/1", "taken/1", "warning/1", "info/1"}, ids(rows))
	require.Equal(t, "CheckoutErrors · service=checkout", rows[0].Title)
	require.Contains(t, rows[0].Headline, "1 of 1 failing share deploy=v42")

	w.save(t, closed(at("new", "critical", time.Minute), time.Hour))
	w.shown(t, 4)
	w.apply(t, store.Delete(store.PageKey("old", 1)))
	require.Equal(t, []string{"taken/1", "warning/1", "info/1"}, ids(w.shown(t, 3)))
}

func TestTheBoardHidesWhatIsRedactedFromNowOn(t *testing.T) {
	w := newWorld(t)
	w.save(t, problem("p1", 1))
	require.Contains(t, w.shown(t, 1)[0].Title, "service=checkout")
	w.mu.Lock()
	w.hidden = []string{"service"}
	w.mu.Unlock()
	w.board.Reread()
	require.Eventually(t, func() bool { return w.shown(t, 1)[0].Title == "CheckoutErrors · service=<redacted>" }, 20*time.Second, 5*time.Millisecond)
	found, err := w.board.Find(t.Context(), web.Query{Text: "checkout"})
	require.NoError(t, err)
	require.Len(t, found.Pages, 1, "the alert's name has it too")
	for _, q := range []web.Query{{Text: "service=checkout"}, {Match: page.Labels{"service": "checkout"}}} {
		found, err = w.board.Find(t.Context(), q)
		require.NoError(t, err)
		require.Empty(t, found.Pages, "a search does not find what it may not show")
	}
}

func TestReadersAreToldOfWhatTheyFollow(t *testing.T) {
	w := newWorld(t)
	w.save(t, problem("p1", 1))
	w.save(t, problem("p2", 1))
	w.shown(t, 2)
	all, mine := w.board.Follow(t.Context(), ""), w.board.Follow(t.Context(), "p2")
	drained := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		case <-time.After(20 * time.Second):
			return false
		}
	}
	w.put(t, store.ReceiptKey("p2", 1, "slack/x"), page.Receipt{})
	require.True(t, drained(all))
	require.True(t, drained(mine))
	p := problem("p1", 1)
	p.Revision++
	w.save(t, p)
	require.True(t, drained(all))
	select {
	case <-mine:
		t.Fatal("told of another problem")
	default:
	}
}

// history has n episodes, of which every tenth is a critical of its own receiver.
func history(tb testing.TB, w *world, n int) {
	tb.Helper()
	var ops []store.Op
	for i := range n {
		p := problem(fmt.Sprintf("p%05d", i%(n/2)), 1)
		p.Episode, p.Clock.Received = 1+i/(n/2), p.Clock.Received.Add(time.Duration(i)*time.Minute)
		p.Receiver = fmt.Sprintf("team-%d", i%10)
		for k, m := range p.Members {
			m.Alert.Labels["number"] = fmt.Sprintf("n%d", i)
			if i%10 > 0 {
				m.Alert.Labels["severity"] = "warning"
			}
			p.Members[k] = m
		}
		ops = append(ops, store.Put(store.PageKey(p.ID, p.Episode), encode(tb, closed(p, time.Hour).View())))
		if len(ops) == store.MaxOps || i == n-1 {
			w.apply(tb, ops...)
			ops = nil
		}
	}
}

func TestTheHistoryInOneAnswerAndInManyIsTheSame(t *testing.T) {
	w := newWorld(t)
	history(t, w, 300)
	all := func(q web.Query) []string {
		var out []string
		for {
			found, err := w.board.Find(t.Context(), q)
			require.NoError(t, err)
			require.LessOrEqual(t, len(found.Pages), q.Limit)
			out = append(out, ids(found.Pages)...)
			if q.After = found.After; q.After == "" {
				return out
			}
		}
	}
	require.Eventually(t, func() bool { return len(all(web.Query{Limit: 200})) == 300 }, 20*time.Second, 5*time.Millisecond)
	whole := all(web.Query{Limit: 200})
	require.Equal(t, "p00149/2", whole[0], "newest first")
	require.Equal(t, whole, all(web.Query{Limit: 7}))
	require.Len(t, all(web.Query{Limit: 7, Severity: page.Critical}), 30)
	require.Len(t, all(web.Query{Limit: 7, Receiver: "team-3"}), 30)
	require.Len(t, all(web.Query{Limit: 7, Text: "CHECKOUT number=n29"}), 11, "n29, n290 … n299")
	require.Equal(t, []string{"p00029/1"}, all(web.Query{Limit: 7, Match: page.Labels{"number": "n29"}}))
	require.Empty(t, all(web.Query{Limit: 7, State: page.Open}))
	w.save(t, page.Problem{ID: "canary", Cluster: page.OwnCluster, Receiver: page.CanaryReceiver, Episode: 1, Revision: 1, State: page.Open})
	w.save(t, page.Problem{ID: "after", Episode: 1, Revision: 1, State: page.Open})
	w.shown(t, 1)
	require.Equal(t, []string{"after/1"}, all(web.Query{Limit: 7, State: page.Open}), "Tocsin trying itself is in no list")
	from := time.Date(2026, 3, 1, 13, 3, 12, 0, time.UTC)
	require.Len(t, all(web.Query{Limit: 7, From: from, To: from.Add(time.Hour)}), 60)
	_, err := w.board.Find(t.Context(), web.Query{After: "nonsense"})
	require.Error(t, err)
}

// Tocsin's tries of itself are no problems.
func TestTheBoardShowsNoCanary(t *testing.T) {
	w := newWorld(t)
	p := problem("canary", 1)
	p.Cluster, p.Receiver = page.OwnCluster, page.CanaryReceiver
	w.save(t, p)
	w.save(t, problem("p1", 1))
	require.Equal(t, []string{"p1/1"}, ids(w.shown(t, 1)))
}
