// Package remediatetest is what every kind of backend keeps: one request for one
// launch, an outcome told apart as it must be, nothing done to more than the one
// host, no secret in an error.
package remediatetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/remediate"
)

// Service is a fake of the system behind a kind, freshly started.
type Service struct {
	Config any             // decoded section that reaches the fake with Secret
	Wrong  any             // the same with credentials that are refused
	Down   any             // section that points where nobody listens
	Secret string          // what must never be shown
	Faults *fault.Injector // in front of the fake
	Launch string          // part of the path by which launches, and nothing else but looks at templates, are asked for

	Step      remediate.Step   // is ready
	Target    remediate.Target // a host
	Inventory string           // that has it
	NoCheck   bool             // such a step has no check mode
	Refuses   bool             // a limit that would be ignored is refused by the service itself

	// What the fake does.
	Started func() []Started    // all that was begun, or will be, oldest first
	Advance func(time.Duration) // time goes by
	Late    func(time.Duration) // launches take effect only so long after they were asked for
	Loosen  func()              // the template ignores limits from now on
	Hold    func()              // jobs stay pending
	Forget  func(id int64)      // a job is cleaned up
}

// Started is one job as the fake has it.
type Started struct {
	ID     int64
	Limit  string
	Check  bool
	Vars   map[string]any
	Hosts  []string // that it touched
	Status string
}

// Suite is one kind under test.
type Suite struct {
	Kind  remediate.Kind
	Start func(t *testing.T) Service
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Run("life of a job", s.life)
	t.Run("check mode", s.check)
	t.Run("hosts", s.hosts)
	t.Run("hostile limits", s.hostileLimits)
	t.Run("hostile variables", s.hostileVariables)
	t.Run("ignored limit", s.ignored)
	t.Run("lost answers", s.lostAnswers)
	t.Run("late commit", s.late)
	t.Run("statuses", s.statuses)
	t.Run("not sent", s.notSent)
	t.Run("credentials", s.credentials)
	t.Run("finding", s.finding)
	t.Run("watermark", s.watermark)
	t.Run("cancel", s.cancel)
	t.Run("forgotten", s.forgotten)
	t.Run("deadline", s.deadline)
}

// bench is one backend at one fake.
type bench struct {
	Service
	t       *testing.T
	backend remediate.Backend
}

func (s Suite) bench(t *testing.T, pick func(Service) any) *bench {
	t.Helper()
	b := &bench{t: t, Service: s.Start(t)}
	log := &bytes.Buffer{}
	var err error
	b.backend, err = s.Kind.New(pick(b.Service), remediate.Deps{
		Name: "test", Transport: &http.Transport{}, Now: time.Now, Requests: remediate.NewRequests(nil),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	require.Positive(t, b.backend.Settle())
	t.Cleanup(func() { require.NotContains(t, log.String(), b.Secret, "secret in the log") })
	return b
}

func usual(s Service) any { return s.Config }

// order is a launch on the target, as the engine would ask for it.
func (b *bench) order(dispatch string) remediate.Launch {
	b.t.Helper()
	t, err := b.backend.Ready(b.t.Context(), b.Step, b.Target)
	require.NoError(b.t, err)
	return remediate.Launch{
		Template: t, Limit: b.Target.Name, Dispatch: dispatch, Link: "https://tocsin.example.org/page/1",
		Claim: remediate.Claim{URL: "https://tocsin.example.org/claim/1", Token: config.Secret("claim-token-1")},
	}
}

// quiet checks what every error must keep.
func (b *bench) quiet(err error) {
	b.t.Helper()
	if err != nil {
		require.NotContains(b.t, fmt.Sprintf("%v %+v", err, err), b.Secret, "secret in an error")
		require.NotContains(b.t, err.Error(), "claim-token-1", "secret in an error")
	}
}

// outcome is the sort of error that Launch answers with.
func (b *bench) outcome(err error) string {
	b.t.Helper()
	b.quiet(err)
	_, rejected := errors.AsType[*remediate.Rejected](err)
	_, unsafe := errors.AsType[*remediate.Unsafe](err)
	switch {
	case err == nil:
		return "launched"
	case rejected:
		return "rejected"
	case unsafe:
		return "unsafe"
	default:
		return "unknown"
	}
}

func (b *bench) launch(dispatch string) remediate.Job {
	b.t.Helper()
	j, err := b.backend.Launch(b.t.Context(), b.order(dispatch))
	require.NoError(b.t, err)
	return j
}

// ended waits for a job's end.
func (b *bench) ended(j remediate.Job) remediate.Job {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		b.Advance(time.Minute)
		now, err := b.backend.Job(b.t.Context(), j)
		require.NoError(b.t, err)
		j = now
		return j.State.Ended()
	}, time.Minute, 10*time.Millisecond)
	return j
}

func (s Suite) life(t *testing.T) {
	b := s.bench(t, usual)
	j := b.launch("D-LIFE")
	require.Positive(t, j.ID)
	require.Equal(t, b.Target.Name, j.Limit)
	require.False(t, j.State.Ended())
	require.NotEmpty(t, j.Link)
	require.False(t, j.Created.IsZero())
	done := b.ended(j)
	require.Equal(t, j.ID, done.ID)
	require.Equal(t, remediate.Successful, done.State)
	require.False(t, done.Finished.IsZero())
	ev, err := b.backend.Evidence(t.Context(), done, b.Target.Name)
	require.NoError(t, err)
	require.True(t, ev.Stated)
	require.Len(t, ev.Hosts, 1)
	require.Equal(t, b.Target.Name, ev.Hosts[0].Host)
	require.Positive(t, ev.Hosts[0].OK+ev.Hosts[0].Changed)
	require.NotEmpty(t, ev.Tail)
	require.LessOrEqual(t, len(ev.Tail), 4<<10)
	started := b.Started()
	require.Len(t, started, 1)
	require.Equal(t, []string{b.Target.Name}, started[0].Hosts)
	require.False(t, started[0].Check)
	own := started[0].Vars["tocsin"].(map[string]any)
	require.Equal(t, map[string]any{
		"dispatch_id": "D-LIFE", "link": "https://tocsin.example.org/page/1", "target": b.Target.Name,
		"claim_url": "https://tocsin.example.org/claim/1", "claim_token": "claim-token-1",
	}, own)
}

func (s Suite) check(t *testing.T) {
	b := s.bench(t, usual)
	if b.NoCheck {
		l := b.order("D-CHECK")
		l.Check = true
		_, err := b.backend.Launch(t.Context(), l)
		require.Equal(t, "rejected", b.outcome(err), "what cannot be checked only must not be done instead: %v", err)
		b.Step.Mode = remediate.Check
		_, err = b.backend.Ready(t.Context(), b.Step, b.Target)
		_, notReady := errors.AsType[*remediate.NotReady](err)
		require.True(t, notReady, "%v", err)
		require.Empty(t, b.Started())
		return
	}
	b.Step.Mode = remediate.Check
	l := b.order("D-CHECK")
	l.Check = true
	_, err := b.backend.Launch(t.Context(), l)
	require.NoError(t, err)
	require.True(t, b.Started()[0].Check)
}

func (s Suite) hosts(t *testing.T) {
	b := s.bench(t, usual)
	h, err := b.backend.Host(t.Context(), b.Inventory, b.Target.Name)
	require.NoError(t, err)
	require.Equal(t, b.Target.Name, h.Name)
	require.Positive(t, h.ID)
	for _, name := range append(hostile(), "nobody") {
		_, err := b.backend.Host(t.Context(), b.Inventory, name)
		require.ErrorIs(t, err, remediate.ErrNoHost, name)
	}
	_, err = b.backend.Host(t.Context(), "no such inventory", b.Target.Name)
	require.ErrorIs(t, err, remediate.ErrNoHost)
	b.Target.Name = "nobody"
	_, err = b.backend.Ready(t.Context(), b.Step, b.Target)
	_, notReady := errors.AsType[*remediate.NotReady](err)
	require.True(t, notReady, "%v", err)
	b.Step.Template = "no such template"
	_, err = b.backend.Ready(t.Context(), b.Step, b.Target)
	_, notReady = errors.AsType[*remediate.NotReady](err)
	require.True(t, notReady, "%v", err)
}

func (s Suite) ignored(t *testing.T) {
	b := s.bench(t, usual)
	l := b.order("D-LOOSE")
	b.Hold()
	b.Loosen()
	j, err := b.backend.Launch(t.Context(), l)
	if b.Refuses {
		require.Equal(t, "rejected", b.outcome(err), "%v", err)
		require.Empty(t, b.Started())
	} else {
		require.Equal(t, "unsafe", b.outcome(err), "%v", err)
		require.Equal(t, b.Started()[0].ID, j.ID, "it must be known, to be cancelled")
		require.NoError(t, b.backend.Cancel(t.Context(), j))
		require.Equal(t, remediate.Canceled, b.ended(j).State)
		require.Empty(t, b.Started()[0].Hosts)
	}
	_, err = b.backend.Ready(t.Context(), b.Step, b.Target)
	_, notReady := errors.AsType[*remediate.NotReady](err)
	require.True(t, notReady, "%v", err)
}

// lost are the ways in which an answer can be lost after the launch was done.
func lost() map[string]fault.Fault {
	return map[string]fault.Fault{
		"dropped":    {Kind: fault.Drop},
		"504":        {Kind: fault.HTML, Status: http.StatusGatewayTimeout},
		"502":        {Kind: fault.HTML, Status: http.StatusBadGateway},
		"500":        {Kind: fault.Status, Status: http.StatusInternalServerError},
		"302":        {Kind: fault.Status, Status: http.StatusFound},
		"200":        {Kind: fault.Status, Status: http.StatusOK},
		"201 empty":  {Kind: fault.Status, Status: http.StatusCreated},
		"201 {}":     {Kind: fault.Status, Status: http.StatusCreated, Body: "{}"},
		"201 page":   {Kind: fault.HTML, Status: http.StatusCreated},
		"truncated":  {Kind: fault.Truncated},
		"hangs":      {Kind: fault.Hang},
		"408":        {Kind: fault.Status, Status: http.StatusRequestTimeout},
		"409":        {Kind: fault.Status, Status: http.StatusConflict},
		"418, a pot": {Kind: fault.Status, Status: http.StatusTeapot},
	}
}

func (s Suite) lostAnswers(t *testing.T) {
	for name, f := range lost() {
		t.Run(name, func(t *testing.T) {
			b := s.bench(t, usual)
			l := b.order("D-LOST")
			mark, _, err := b.backend.Watermark(t.Context(), l.Template, l.Limit)
			require.NoError(t, err)
			f.Accept, f.Method, f.Path, f.Count = true, http.MethodPost, b.Launch, 1
			require.NoError(t, b.Faults.Set(1, f))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err = b.backend.Launch(ctx, l)
			require.Equal(t, "unknown", b.outcome(err), "%v", err)
			require.Equal(t, 1, b.Faults.Hits())
			require.Len(t, b.Started(), 1, "asked once")
			found, err := b.backend.Find(t.Context(), l.Template, mark, "D-LOST")
			require.NoError(t, err)
			require.Len(t, found, 1)
			require.Equal(t, b.Started()[0].ID, found[0].ID)
			require.Equal(t, b.Target.Name, found[0].Limit)
		})
	}
}

func (s Suite) late(t *testing.T) {
	b := s.bench(t, usual)
	l := b.order("D-LATE")
	mark, _, err := b.backend.Watermark(t.Context(), l.Template, l.Limit)
	require.NoError(t, err)
	const delay = 115 * time.Second
	require.Greater(t, b.backend.Settle(), delay)
	b.Late(delay)
	require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.Drop, Accept: true, Method: http.MethodPost, Path: b.Launch, Count: 1}))
	_, err = b.backend.Launch(t.Context(), l)
	require.Equal(t, "unknown", b.outcome(err))
	b.Late(0)
	other := b.launch("D-OTHER")
	found, err := b.backend.Find(t.Context(), l.Template, mark, "D-LATE")
	require.NoError(t, err)
	require.Empty(t, found, "its absence proves nothing yet")
	b.Advance(b.backend.Settle())
	found, err = b.backend.Find(t.Context(), l.Template, mark, "D-LATE")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NotEqual(t, other.ID, found[0].ID)
}
