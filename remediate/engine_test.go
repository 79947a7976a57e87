package remediate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
)

// world is a store with problems, a server that runs jobs, and what guards say.
type world struct {
	t       *testing.T
	store   store.Store
	server  *server
	judge   *judge
	policy  *remediate.Policy
	claim   string
	backend remediate.Backend // nil: server
	timing  remediate.Timing
	rules   remediate.Judge // nil: judge
	awx     *fakeawx.World  // nil: its own
	apps    *remediate.Apps // nil: all alike
	app     string          // of its alerts
	also    string          // the app of a second alert of the first host
	stops   []func()
}

func newWorld(t *testing.T) *world {
	s, err := bolt.Open(bolt.Config{Path: filepath.Join(t.TempDir(), "tocsin.db")}, slog.New(slog.DiscardHandler), time.Now, nil)
	require.NoError(t, err)
	w := &world{t: t, store: s, judge: &judge{passed: map[string]time.Time{}}, policy: policy(remediate.Auto)}
	w.server = &server{judge: w.judge, jobs: map[int64]*run{}, settle: 3 * time.Minute, runs: 20 * time.Second}
	return w
}

// in runs a test with the clock of a bubble, and closes the world in the end.
func in(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() {
			for _, stop := range w.stops {
				stop()
			}
			w.server.running.Wait()
			require.NoError(t, w.store.Close())
		}()
		fn(t, w)
	})
}

func policy(mode remediate.Mode) *remediate.Policy {
	p := remediate.Policy{
		Name: "restart-web", Team: "infra", Mode: mode, Danger: remediate.Reversible, Match: []string{`alertname="Down"`},
		Target: remediate.TargetRule{Kind: remediate.HostTarget, Label: "host", Validate: `[a-z0-9-]+`, Inventory: "prod", Pool: remediate.Pool{Label: "pool", Size: "count(up)"}},
		Steps: []remediate.Step{
			{Name: "restart", Backend: "awx/main", Template: "restart"},
			{Name: "reboot", Backend: "awx/main", Template: "reboot"},
		},
	}
	return p.Filled()
}

func (w *world) engine(s store.Store) *remediate.Engine {
	b := w.backend
	if b == nil {
		b = w.server
	}
	var j remediate.Judge = w.judge
	if w.rules != nil {
		j = w.rules
	}
	return &remediate.Engine{
		Store: s, Policies: map[string][]*remediate.Policy{"team": {w.policy}}, Apps: w.apps, Backends: map[string]remediate.Backend{"awx/main": b},
		Judge: j, Log: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: remediate.NewMetrics(nil), Workers: 3, ClaimURL: w.claim, Timing: w.timing,
		PageURL: func(p string) string { return "https://tocsin/pages/" + p },
	}
}

// start runs an engine until the returned stop, or the world's end.
func (w *world) start(s store.Store) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	e := w.engine(s)
	go func() { defer close(done); e.Run(ctx) }()
	stop = func() { cancel(); <-done }
	w.stops = append(w.stops, stop)
	return stop
}

// fires writes a problem that fires on hosts, none: resolved, and tells the engine.
func (w *world) fires(id string, episode int, hosts ...string) page.Problem {
	w.t.Helper()
	for {
		var p page.Problem
		rec, err := w.store.Get(w.t.Context(), store.ProblemKey(id))
		if err == nil {
			require.NoError(w.t, store.Unmarshal(rec.Value, &p))
		} else {
			require.ErrorIs(w.t, err, store.ErrNotFound)
		}
		now := time.Now()
		if p.Episode != episode {
			p = page.Problem{ID: id, Cluster: "dc1", Receiver: "team", Episode: episode, Revision: p.Revision, Opened: now}
		}
		p.State, p.Members, p.Updated = page.Open, map[string]page.Member{}, now
		p.Revision++
		for _, h := range hosts {
			p.Members[h] = page.Member{Open: true, Began: p.Opened, Alert: page.Alert{
				ID: h, Status: page.Firing, StartsAt: p.Opened,
				Labels: page.Labels{"alertname": "Down", "host": h, "pool": "web", "severity": "critical"},
			}}
		}
		for _, m := range p.Members {
			if w.app != "" {
				m.Alert.Labels["app"] = w.app
			}
		}
		if w.also != "" && len(hosts) > 0 {
			m := p.Members[hosts[0]]
			m.Alert.ID, m.Alert.Labels = "also", maps.Clone(m.Alert.Labels)
			m.Alert.Labels["app"] = w.also
			p.Members["also"] = m
		}
		if len(hosts) == 0 {
			p.State, p.Ended = page.Closed, now
		}
		value, err := store.Marshal(p)
		require.NoError(w.t, err)
		box := remediate.Inbox{Receivers: map[string]bool{"team": true}}
		ops, err := box.Ops(p, page.Event{Kind: page.Notified})
		require.NoError(w.t, err)
		err = w.store.Apply(w.t.Context(), append(ops, store.Swap(store.ProblemKey(id), rec.Rev, value))...)
		if !errors.Is(err, store.ErrConflict) {
			require.NoError(w.t, err)
			return p
		}
	}
}

// says is what somebody says of a dispatch.
func (w *world) says(d remediate.Dispatch, verb page.Verb, by string) {
	w.t.Helper()
	box := remediate.Inbox{Receivers: map[string]bool{"team": true}}
	ops, err := box.Ops(page.Problem{ID: d.Problem, Episode: d.Episode, Receiver: "team", State: page.Open}, page.Event{
		ID: fmt.Sprint(by, verb, time.Now().UnixNano()), Kind: page.Acted, At: time.Now(), Act: &page.Act{Verb: verb, By: by, Dispatch: d.ID},
	})
	require.NoError(w.t, err)
	require.Len(w.t, ops, 1)
	require.NoError(w.t, w.store.Apply(w.t.Context(), ops...))
}

// all are the dispatches by their rung, then name of their target.
func (w *world) all() []remediate.Dispatch {
	w.t.Helper()
	var out []remediate.Dispatch
	require.NoError(w.t, remediate.Each(w.t.Context(), w.store, time.Now().Add(-time.Hour*40), func(d remediate.Dispatch) error { out = append(out, d); return nil }))
	slices.SortFunc(out, func(a, b remediate.Dispatch) int {
		return a.Rung*1000 - b.Rung*1000 + cmpText(a.Target.Name, b.Target.Name)
	})
	return out
}

func cmpText(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func (w *world) one() remediate.Dispatch {
	w.t.Helper()
	all := w.all()
	require.Len(w.t, all, 1)
	return all[0]
}

// until waits for a stage of the dispatch of a rung.
func (w *world) until(rung int, s remediate.Stage, limit time.Duration) remediate.Dispatch {
	w.t.Helper()
	end := time.Now().Add(limit)
	var last []string
	for time.Now().Before(end) {
		synctest.Wait()
		last = nil
		for _, d := range w.all() {
			if d.Rung == rung && d.Stage == s {
				return d
			}
			last = append(last, fmt.Sprintf("%d %s: %s", d.Rung, d.Stage, d.Reason))
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
	}
	require.Failf(w.t, "stage never came", "%s of rung %d; there are %q", s, rung, last)
	return remediate.Dispatch{}
}

func (w *world) sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's clock
	synctest.Wait()
}

// told are the texts of the events for the page with their evidence, in order.
func (w *world) told() []string {
	w.t.Helper()
	var out []string
	for {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Millisecond)
		l, err := w.store.Take(ctx, store.LaneEvents, time.Minute)
		cancel()
		if err != nil {
			return out
		}
		var e page.Event
		require.NoError(w.t, store.Unmarshal(l.Value, &e))
		out = append(out, strings.Join(append([]string{e.Run.Text}, e.Run.Evidence...), "\n"))
		require.NoError(w.t, w.store.Apply(w.t.Context(), store.Done(l)))
	}
}

// sound checks what holds of every world: journals are whole and walk the table,
// no target stays locked, nothing that was claimed stays open.
func (w *world) sound() {
	w.t.Helper()
	w.soundJournals()
	locks, err := w.store.Scan(w.t.Context(), store.LockKey(""), "", 100)
	require.NoError(w.t, err)
	require.Empty(w.t, locks)
	l, _, err := remediate.ReadLedger(w.t.Context(), w.store)
	require.NoError(w.t, err)
	for _, tr := range l.Dispatches {
		require.False(w.t, tr.Ended.IsZero(), "%s never ended", tr.ID)
	}
}

func (w *world) soundJournals() {
	w.t.Helper()
	for _, d := range w.all() {
		lines := w.journal(d.ID)
		require.NoError(w.t, remediate.CheckJournal(lines, d.Lines, d.Head))
		for _, l := range lines[1:] {
			require.True(w.t, l.From == l.To || remediate.MayFollow(l.From, l.To), "%s → %s", l.From, l.To)
		}
		require.Equal(w.t, d.Stage, lines[len(lines)-1].To)
	}
}

func (w *world) journal(id string) []remediate.Line {
	w.t.Helper()
	recs, err := w.store.Scan(w.t.Context(), store.JournalPrefix(id), "", 1000)
	require.NoError(w.t, err)
	var out []remediate.Line
	for _, r := range recs {
		var l remediate.Line
		require.NoError(w.t, store.Unmarshal(r.Value, &l))
		out = append(out, l)
	}
	return out
}

// judge is what guards say: what answer returns, or that they pass.
type judge struct {
	mu     sync.Mutex
	answer func(c remediate.Candidate) []remediate.Verdict
	holds  func() (bool, string, error)
	saw    func(source, query string) (string, error)
	passed map[string]time.Time // by dispatch: when all guards let it through last
	asked  int
}

func (j *judge) Ask(_ context.Context, c remediate.Candidate) []remediate.Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked++
	out := []remediate.Verdict{{Guard: "test", Outcome: remediate.Pass, Reason: "well", At: c.Now}}
	if j.answer != nil {
		out = j.answer(c)
	}
	if !slices.ContainsFunc(out, func(v remediate.Verdict) bool { return v.Outcome != remediate.Pass }) {
		j.passed[c.Dispatch] = c.Now
	}
	return out
}

func (j *judge) Holds(context.Context, string, remediate.Target) (bool, string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.holds != nil {
		return j.holds()
	}
	return true, "1", nil
}

func (j *judge) Saw(ctx context.Context, source, query string, t remediate.Target) (string, error) {
	if j.saw != nil {
		return j.saw(source, query)
	}
	_, saw, err := j.Holds(ctx, query, t)
	return saw, err
}

func (j *judge) set(fn func(c remediate.Candidate) []remediate.Verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.answer = fn
}

func saying(guard string, o remediate.Outcome) func(remediate.Candidate) []remediate.Verdict {
	return func(c remediate.Candidate) []remediate.Verdict {
		return []remediate.Verdict{{Guard: "first", Outcome: remediate.Pass, At: c.Now}, {Guard: guard, Outcome: o, Reason: "so it is", At: c.Now}}
	}
}

// run is a job of the server.
type run struct {
	remediate.Job
	dispatch string
	visible  time.Time
	began    time.Time
	canceled bool
	ends     remediate.State
	hosts    []remediate.HostResult
}

// server is a Backend that counts what it is asked to start.
type server struct {
	mu      sync.Mutex
	judge   *judge
	jobs    map[int64]*run
	last    int64
	settle  time.Duration
	runs    time.Duration // how long a job takes; a third of it it is pending
	ends    remediate.State
	bare    bool // jobs touch no host
	down    bool // nothing is answered
	notes   []string
	answers []func(s *server, l remediate.Launch) (remediate.Job, error) // of the next launches
	busy    []remediate.Job
	ready   error
	onRun   func(l remediate.Launch, job int64) // when a job begins to run: what its playbook does
	onEnd   func(l remediate.Launch)
	running sync.WaitGroup
	late    []string // launches whose guards had not passed within a minute
}

var errLost = errors.New("connection reset")

func (s *server) Ready(context.Context, remediate.Step, remediate.Target) (remediate.Template, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return remediate.Template{}, errLost
	}
	return remediate.Template{ID: 7, Kind: "job", Name: "restart", AskLimit: true, AskVariables: true}, s.ready
}

func (s *server) Host(_ context.Context, _, name string) (remediate.Host, error) {
	return remediate.Host{ID: 1, Name: name, Inventory: 2}, nil
}

func (s *server) Watermark(context.Context, remediate.Template, string) (int64, []remediate.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return 0, nil, errLost
	}
	return s.last, slices.Clone(s.busy), nil
}

// way is the network, which a launch reaches only while it is its sender's to send.
type way func()

func (w way) RoundTrip(*http.Request) (*http.Response, error) {
	w()
	return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody}, nil
}

func (s *server) Launch(ctx context.Context, l remediate.Launch) (remediate.Job, error) {
	sent := false
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://awx/launch/", http.NoBody)
	if err != nil {
		return remediate.Job{}, err
	}
	res, err := remediate.Fenced(way(func() { sent = true })).RoundTrip(req)
	if !sent {
		return remediate.Job{}, &remediate.Rejected{Reason: err.Error()}
	}
	_ = res.Body.Close()
	s.mu.Lock()
	s.notes = append(s.notes, l.Dispatch)
	if passed := s.passed(l.Dispatch); time.Since(passed) > time.Minute {
		s.late = append(s.late, l.Dispatch)
	}
	var answer func(*server, remediate.Launch) (remediate.Job, error)
	if len(s.answers) > 0 {
		answer, s.answers = s.answers[0], s.answers[1:]
	}
	if s.down {
		answer = lost
	}
	s.mu.Unlock()
	if answer == nil {
		return s.commit(l, 0).Job, nil
	}
	return answer(s, l)
}

func (s *server) passed(id string) time.Time {
	s.judge.mu.Lock()
	defer s.judge.mu.Unlock()
	return s.judge.passed[id]
}

// commit starts a job that shows after a while.
func (s *server) commit(l remediate.Launch, after time.Duration) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	r := &run{
		Job:      remediate.Job{ID: s.last, Kind: "job", State: remediate.Pending, Limit: l.Limit, Created: time.Now(), Link: fmt.Sprintf("https://awx/#/jobs/playbook/%d", s.last)},
		dispatch: l.Dispatch, visible: time.Now().Add(after), began: time.Now().Add(s.runs / 3), ends: s.ends,
		hosts: []remediate.HostResult{{Host: l.Limit, OK: 2, Changed: 1}},
	}
	if r.ends == "" {
		r.ends = remediate.Successful
	}
	if s.bare {
		r.hosts = nil
	}
	s.jobs[r.ID] = r
	onRun, onEnd, pend, all := s.onRun, s.onEnd, s.runs/3, s.runs
	s.running.Go(func() {
		time.Sleep(pend) //nolint:forbidigo // the bubble's clock
		if s.gone(r) {
			return
		}
		if onRun != nil {
			onRun(l, r.ID)
		}
		time.Sleep(all - pend) //nolint:forbidigo // the bubble's clock
		if !s.gone(r) && onEnd != nil && r.ends == remediate.Successful {
			onEnd(l)
		}
	})
	return r
}

func (s *server) gone(r *run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.canceled
}

func (s *server) state(r *run) remediate.Job {
	j := r.Job
	switch now := time.Now(); {
	case r.canceled:
		j.State = remediate.Canceled
	case now.Before(r.began):
		j.State = remediate.Pending
	case now.Before(r.Created.Add(s.runs)):
		j.State, j.Started = remediate.Running, r.began
	default:
		j.State, j.Started, j.Finished = r.ends, r.began, r.Created.Add(s.runs)
	}
	return j
}

func (s *server) Find(_ context.Context, _ remediate.Template, after int64, dispatch string) ([]remediate.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errLost
	}
	var out []remediate.Job
	for _, id := range slices.Sorted(maps.Keys(s.jobs)) {
		if r := s.jobs[id]; id > after && r.dispatch == dispatch && !time.Now().Before(r.visible) {
			out = append(out, s.state(r))
		}
	}
	return out, nil
}

func (s *server) Job(_ context.Context, j remediate.Job) (remediate.Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return remediate.Job{}, errLost
	}
	r, ok := s.jobs[j.ID]
	if !ok {
		return remediate.Job{}, remediate.ErrNoJob
	}
	return s.state(r), nil
}

func (s *server) Cancel(_ context.Context, j remediate.Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errLost
	}
	r, ok := s.jobs[j.ID]
	if !ok {
		return remediate.ErrNoJob
	}
	if s.state(r).State.Ended() {
		return remediate.ErrEnded
	}
	r.canceled = true
	return nil
}

func (s *server) Evidence(_ context.Context, j remediate.Job, _ string) (remediate.Evidence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return remediate.Evidence{}, errLost
	}
	r := s.jobs[j.ID]
	if r.canceled {
		return remediate.Evidence{Stated: true}, nil
	}
	return remediate.Evidence{Stated: true, Hosts: r.hosts, Tail: "PLAY RECAP ok=2"}, nil
}

func (s *server) Settle() time.Duration { return s.settle }

// Ways of a launch to end.
func lost(*server, remediate.Launch) (remediate.Job, error) { return remediate.Job{}, errLost }

func committed(s *server, l remediate.Launch) (remediate.Job, error) {
	s.commit(l, 0)
	return remediate.Job{}, errLost
}

func late(after time.Duration) func(*server, remediate.Launch) (remediate.Job, error) {
	return func(s *server, l remediate.Launch) (remediate.Job, error) {
		s.commit(l, after)
		return remediate.Job{}, errLost
	}
}

func twice(s *server, l remediate.Launch) (remediate.Job, error) {
	s.commit(l, 0)
	s.commit(l, 0)
	return remediate.Job{}, errLost
}

func rejected(*server, remediate.Launch) (remediate.Job, error) {
	return remediate.Job{}, &remediate.Rejected{Status: 400, Reason: "no"}
}

func wide(s *server, l remediate.Launch) (remediate.Job, error) {
	l.Limit = ""
	return s.commit(l, 0).Job, &remediate.Unsafe{Reason: `its limit is ""`}
}

// running counts the jobs of a dispatch that were not cancelled before they began.
func (s *server) ran(dispatch string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.jobs {
		if r.dispatch == dispatch && !r.canceled {
			n++
		}
	}
	return n
}

func (s *server) launches() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.notes)
}

func (s *server) set(fn func(s *server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(s)
}

// repairs lets a job's end resolve the problem.
func (w *world) repairs(id string) {
	w.server.set(func(s *server) {
		s.onEnd = func(remediate.Launch) { w.fires(id, 1) }
	})
}

func TestARepairThatIsVerified(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Steps[0].Verify.PromQL = `up{host=$target} == 1`
		w.policy.Steps[0].Variables = map[string]remediate.StepVariable{"svc": {Value: "web"}}
		w.repairs("p1")
		w.start(w.store)
		w.fires("p1", 1, "web-3")
		d := w.until(0, remediate.Cleared, 20*time.Minute)
		require.Equal(t, []string{d.ID}, w.server.launches())
		require.Equal(t, "web-3", d.Intent.Launch.Limit)
		require.Equal(t, map[string]any{"svc": "web"}, d.Intent.Launch.Variables)
		require.Equal(t, "https://tocsin/pages/p1", d.Intent.Launch.Link)
		require.Equal(t, 1, d.Attempt)
		require.Len(t, d.Evidence.Hosts, 1)
		const title = "restart-web, step restart, host web-3: "
		told := w.told()
		for i, want := range []string{ // the job's end and the alert's are at one moment: either may be seen first
			`launches "restart" on host web-3: 1 guard passes`, "launched job 1", "job 1 runs",
		} {
			require.Equal(t, title+want, told[i])
		}
		require.Contains(t, told, title+"job 1: successful: now the alert has to end; web-3: 2 ok, 1 changed, 0 failed, 0 unreachable; output ends: PLAY RECAP ok=2")
		require.Contains(t, told, title+"the alert has ended: it has to stay so for 5 min")
		require.Contains(t, told[len(told)-1], "verified: repaired")
		require.Contains(t, told[len(told)-1], "alerts of it that fire: 1 before the launch, 0 now")
		w.sound()
		l, _, err := remediate.ReadLedger(t.Context(), w.store)
		require.NoError(t, err)
		require.Len(t, l.Dispatches, 1)
		require.True(t, l.Dispatches[0].Cleared)
		require.Len(t, l.Episodes["host/web-3"], 1)
	})
}

func TestAJobThatSucceedsWhileTheAlertStays(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.start(w.store)
		w.fires("p1", 1, "web-3")
		w.until(1, remediate.Escalated, time.Hour)
		all := w.all()
		require.Len(t, all, 2)
		require.Equal(t, remediate.Stepped, all[0].Stage)
		require.Equal(t, all[1].ID, all[0].Next)
		require.Len(t, w.server.launches(), 2)
		told := w.told()
		require.Contains(t, told[len(told)-1], "people are needed")
		require.Contains(t, told[len(told)-1], "PLAY RECAP")
		w.sound()
	})
}

func TestModes(t *testing.T) {
	for _, tc := range []struct {
		mode  remediate.Mode
		stage remediate.Stage
		runs  int
	}{
		{remediate.Observe, remediate.WouldRun, 0},
		{remediate.Check, remediate.Gathered, 1},
		{remediate.Approve, remediate.Awaiting, 0},
		{"", remediate.WouldRun, 0},
		{"AUTO", "", 0},
		{remediate.Off, "", 0},
	} {
		t.Run(string(tc.mode), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.policy.Mode, w.policy.Steps = tc.mode, w.policy.Steps[:1]
				w.policy.Steps[0].Mode = ""
				w.start(w.store)
				w.fires("p1", 1, "web-3")
				if tc.stage == "" {
					w.sleep(time.Hour)
					for _, d := range w.all() {
						require.NotContains(t, []remediate.Stage{remediate.Claimed, remediate.Launched}, d.Stage)
					}
				} else {
					d := w.until(0, tc.stage, 5*time.Minute)
					require.Equal(t, tc.runs == 1, d.Intent != nil && d.Intent.Launch.Check)
				}
				require.Len(t, w.server.launches(), tc.runs)
				// another notification of the same episode starts nothing anew
				before := len(w.all())
				w.fires("p1", 1, "web-3")
				w.sleep(time.Minute)
				require.Len(t, w.all(), before)
				require.Len(t, w.server.launches(), tc.runs)
			})
		})
	}
}

func TestApproval(t *testing.T) {
	for _, tc := range []struct {
		name  string
		act   func(w *world, d remediate.Dispatch)
		stage remediate.Stage
		runs  int
	}{
		{"approved", func(w *world, d remediate.Dispatch) { w.says(d, page.ApproveIt, "jane") }, remediate.Cleared, 1},
		{"denied", func(w *world, d remediate.Dispatch) { w.says(d, page.DenyIt, "jane") }, remediate.Denied, 0},
		{"the last word counts", func(w *world, d remediate.Dispatch) {
			w.says(d, page.ApproveIt, "jane")
			w.says(d, page.DenyIt, "jim")
		}, remediate.Denied, 0},
		{"nobody answers", func(*world, remediate.Dispatch) {}, remediate.Escalated, 0},
		{"too late", func(w *world, d remediate.Dispatch) { w.sleep(16 * time.Minute); w.says(d, page.ApproveIt, "jane") }, remediate.Escalated, 0},
		{"it resolves meanwhile", func(w *world, _ remediate.Dispatch) { w.fires("p1", 1) }, remediate.Expired, 0},
		{"guards refuse by now", func(w *world, d remediate.Dispatch) {
			w.judge.set(saying("load", remediate.Deny))
			w.says(d, page.ApproveIt, "jane")
		}, remediate.Blocked, 0},
		{"frozen by now", func(w *world, d remediate.Dispatch) {
			_, err := remediate.Throw(w.t.Context(), w.store, remediate.Flip{Do: "freeze", Scope: "team/infra", By: "bob"}, time.Now())
			require.NoError(w.t, err)
			w.says(d, page.ApproveIt, "jane")
		}, remediate.Blocked, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.policy.Mode = remediate.Approve
				w.policy.Steps[0].Mode = ""
				w.repairs("p1")
				w.start(w.store)
				w.fires("p1", 1, "web-3")
				d := w.until(0, remediate.Awaiting, time.Minute)
				require.False(t, d.Expires.IsZero())
				tc.act(w, d)
				w.until(0, tc.stage, time.Hour)
				require.Len(t, w.server.launches(), tc.runs)
				w.soundJournals()
			})
		})
	}
}

func TestGuardsHoldADispatchBack(t *testing.T) {
	for _, o := range []remediate.Outcome{remediate.Deny, remediate.Blind, remediate.Wait, "perhaps", ""} {
		t.Run(string(o), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.judge.set(saying("load", o))
				w.repairs("p1")
				w.start(w.store)
				w.fires("p1", 1, "web-3")
				w.sleep(10 * time.Minute)
				require.Empty(t, w.server.launches())
				told := w.told()
				require.Len(t, told, 1, "it is said once")
				require.Contains(t, told[0], "load: so it is")
				w.judge.set(nil)
				w.until(0, remediate.Cleared, 20*time.Minute)
				require.Len(t, w.server.launches(), 1)
			})
		})
	}
}

func TestLaunchesThatMayHaveComeThrough(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []func(*server, remediate.Launch) (remediate.Job, error)
		posts   int
		ran     int
		stage   remediate.Stage
	}{
		"committed, then dropped":   {[]func(*server, remediate.Launch) (remediate.Job, error){committed}, 1, 1, remediate.Cleared},
		"visible 115 s late":        {[]func(*server, remediate.Launch) (remediate.Job, error){late(115 * time.Second)}, 1, 1, remediate.Cleared},
		"never came through":        {[]func(*server, remediate.Launch) (remediate.Job, error){lost}, 2, 1, remediate.Cleared},
		"twice nothing, then lost":  {[]func(*server, remediate.Launch) (remediate.Job, error){lost, lost, committed}, 3, 1, remediate.Cleared},
		"nothing ever comes":        {[]func(*server, remediate.Launch) (remediate.Job, error){lost, lost, lost, lost}, 3, 0, remediate.Escalated},
		"there are two":             {[]func(*server, remediate.Launch) (remediate.Job, error){twice}, 1, 2, remediate.Cleared},
		"refused":                   {[]func(*server, remediate.Launch) (remediate.Job, error){rejected}, 1, 0, remediate.Escalated},
		"started on the wrong host": {[]func(*server, remediate.Launch) (remediate.Job, error){wide}, 1, 0, remediate.Escalated},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.server.answers = tc.answers
				if name == "there are two" { // both run by the time they are found
					w.server.runs = 5 * time.Minute
				}
				w.repairs("p1")
				w.policy.Steps = w.policy.Steps[:1]
				w.start(w.store)
				w.fires("p1", 1, "web-3")
				d := w.until(0, tc.stage, 2*time.Hour)
				require.Len(t, w.server.launches(), tc.posts)
				require.Equal(t, tc.ran, w.server.ran(d.ID), "jobs that were not cancelled in time")
				require.Empty(t, w.server.late)
				w.sound()
				l, _, err := remediate.ReadLedger(t.Context(), w.store)
				require.NoError(t, err)
				require.Equal(t, name == "started on the wrong host", len(l.Breakers) == 1)
			})
		})
	}
}

func TestWhatEndsAJob(t *testing.T) {
	for name, tc := range map[string]struct {
		set   func(w *world)
		stage remediate.Stage
		says  string
	}{
		"it fails":             {func(w *world) { w.server.ends = remediate.Failed }, remediate.Escalated, "job 1: failed"},
		"it touches no host":   {func(w *world) { w.server.bare = true }, remediate.Escalated, "touched no host"},
		"it waits for long":    {func(w *world) { w.server.runs = time.Hour }, remediate.Superseded, "it has waited for"},
		"resolved as it waits": {func(w *world) { w.server.runs = 3 * time.Minute }, remediate.Superseded, "the problem is resolved"},
		"it is forgotten":      {func(w *world) { w.server.runs = 5 * time.Minute }, remediate.Escalated, "no longer known"},
		"the server is away":   {func(w *world) { w.server.runs = time.Minute }, remediate.Escalated, "cannot be followed"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.policy.Steps = w.policy.Steps[:1]
				tc.set(w)
				w.start(w.store)
				w.fires("p1", 1, "web-3")
				w.until(0, remediate.Launched, time.Minute)
				switch name {
				case "resolved as it waits":
					w.fires("p1", 1)
				case "it is forgotten":
					w.server.set(func(s *server) { clear(s.jobs) })
				case "the server is away":
					w.server.set(func(s *server) { s.down = true })
					w.sleep(20 * time.Minute)
					w.server.set(func(s *server) { s.down = false })
				}
				w.until(0, tc.stage, time.Hour)
				require.Contains(t, fmt.Sprint(w.told()), tc.says)
				w.sound()
			})
		})
	}
}

func TestTheBreakerOpensAndIsReset(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Steps = w.policy.Steps[:1]
		w.server.ends = remediate.Failed
		w.start(w.store)
		for i := range 4 {
			w.fires(fmt.Sprint("p", i), 1, fmt.Sprint("web-", i))
			w.sleep(2 * time.Minute)
		}
		require.Len(t, w.server.launches(), 3)
		l, _, err := remediate.ReadLedger(t.Context(), w.store)
		require.NoError(t, err)
		require.Contains(t, l.Breakers["restart-web"].Why, "3 of its dispatches failed")
		w.server.set(func(s *server) { s.ends = remediate.Successful })
		changed, err := remediate.Throw(t.Context(), w.store, remediate.Flip{Do: "reset", Scope: "restart-web", By: "bob"}, time.Now())
		require.NoError(t, err)
		require.True(t, changed)
		w.sleep(2 * time.Minute)
		require.Len(t, w.server.launches(), 4)
	})
}

func TestSwitchesAreWrittenDown(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		for _, f := range []remediate.Flip{{Do: "freeze", Scope: "global", By: "bob", Why: "exam"}, {Do: "freeze", Scope: "global", By: "eve"}, {Do: "thaw", Scope: "global", By: "bob"}} {
			changed, err := remediate.Throw(t.Context(), w.store, f, time.Now())
			require.NoError(t, err)
			require.Equal(t, f.By == "bob", changed)
		}
		_, err := remediate.Throw(t.Context(), w.store, remediate.Flip{Do: "burn"}, time.Now())
		require.Error(t, err)
		l, _, err := remediate.ReadLedger(t.Context(), w.store)
		require.NoError(t, err)
		lines := w.journal(remediate.SwitchJournal)
		require.NoError(t, remediate.CheckJournal(lines, l.Lines, l.Head))
		lines[0].Actor = "eve"
		require.Error(t, remediate.CheckJournal(lines, l.Lines, l.Head))
		require.Error(t, remediate.CheckJournal(w.journal(remediate.SwitchJournal)[:1], l.Lines, l.Head))
	})
}

func TestManyTargetsAtOnceAreDoubted(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		var hosts []string
		for i := range 90 {
			hosts = append(hosts, fmt.Sprintf("web-%d", i))
		}
		w.start(w.store)
		w.fires("p1", 1, hosts...)
		w.sleep(10 * time.Minute)
		require.Empty(t, w.server.launches())
		require.Contains(t, w.one().Reason, "90 targets at once")
		require.Len(t, w.told(), 1)
	})
}

func TestHostileNamesReachNoLaunch(t *testing.T) {
	for _, host := range []string{"all", "", " ", "web*", "web-1:web-2", "!web", "{{ x }}", "ansible_connection", "a\nb", "@file", "~web"} {
		t.Run(fmt.Sprintf("%q", host), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.start(w.store)
				w.fires("p1", 1, host)
				w.sleep(time.Hour)
				require.Empty(t, w.server.launches())
				require.Equal(t, remediate.Expired, w.one().Stage)
			})
		})
	}
}

func TestADispatchIsJSON(t *testing.T) {
	d := remediate.Dispatch{ID: "x", Intent: &remediate.Order{Launch: remediate.Launch{Claim: remediate.Claim{URL: "u", Token: config.Secret("secret")}}}}
	b, err := json.Marshal(d)
	require.NoError(t, err)
	require.NotContains(t, string(b), `"secret"`)
}

func TestOneDispatchAtATimeWorksOnATarget(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Steps = w.policy.Steps[:1]
		w.server.onEnd = func(l remediate.Launch) {
			for _, d := range w.all() {
				if d.ID == l.Dispatch {
					w.fires(d.Problem, 1)
				}
			}
		}
		w.start(w.store)
		for i := range 4 {
			w.fires(fmt.Sprint("p", i), 1, "web-3")
		}
		for range 40 * 60 {
			w.sleep(time.Second)
			at := 0
			for _, d := range w.all() {
				if !d.Stage.Over() && d.Intent != nil {
					at++
				}
			}
			require.LessOrEqual(t, at, 1)
		}
		require.Len(t, w.server.launches(), 4)
		require.Contains(t, fmt.Sprint(w.told()), "is at work on it")
		w.sound()
	})
}

// An alert that is silenced while its job runs is not repaired by that, and neither
// is one that a storm tells of.
func TestWhatIsNoRepair(t *testing.T) {
	for name, hide := range map[string]func(p *page.Problem){
		"silenced": func(p *page.Problem) {
			m := p.Members["web-3"]
			m.Open, m.LeftOnly, m.Closed = false, true, time.Now()
			p.Members["web-3"], p.State, p.Ended = m, page.Closed, time.Now()
		},
		"folded": func(p *page.Problem) { p.Folded = "storm" },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.policy.Steps = w.policy.Steps[:1]
				w.start(w.store)
				p := w.fires("p1", 1, "web-3")
				w.until(0, remediate.Launched, time.Minute)
				hide(&p)
				value, err := store.Marshal(p)
				require.NoError(t, err)
				w.sleep(10 * time.Second) // it runs by now
				require.NoError(t, w.store.Apply(t.Context(), store.Put(store.ProblemKey("p1"), value)))
				w.until(0, remediate.Escalated, time.Hour)
				w.sound()
			})
		})
	}
}
