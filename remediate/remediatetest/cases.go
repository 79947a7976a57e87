package remediatetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/remediate"
)

// hostile are values of a label that must never become a limit.
func hostile() []string {
	return []string{
		"", " ", "   ", "all", "ALL", "*", "web*", "!web01", "~web.*", "web01:db01", "web01,db01", "web01;db01", "web01&db01", "web[0:3]", "@/etc/passwd",
		"-i", "--limit", "web01 db01", " web01", "web01 ", "web01\n", "web01\ndb01", "web01\x00", "{{ groups.all }}", "web01{{x}}", "{%x%}",
		"WEB01", "Web01", "::1", "[::1]", "fe80::1%eth0", "2001:db8::1", "10.0.0.1:9100", "ansible_connection=local", "web01 ansible_connection=local",
		"wéb01", "web01\u202e", "web01.", ".web01", "web..01", "ungrouped", "localhost", "web01/../db01", "$(id)", "`id`", "%web01", strings.Repeat("a", 254),
	}
}

func (s Suite) hostileLimits(t *testing.T) {
	b := s.bench(t, usual)
	l := b.order("D-HOSTILE")
	for _, name := range hostile() {
		l.Limit = name
		_, err := b.backend.Launch(t.Context(), l)
		require.Equal(t, "rejected", b.outcome(err), "%q: %v", name, err)
		b.Target.Name = name
		if name != "" { // nothing is asked about nobody
			_, err = b.backend.Ready(t.Context(), b.Step, b.Target)
			_, notReady := errors.AsType[*remediate.NotReady](err)
			require.True(t, notReady, "%q: %v", name, err)
		}
	}
	l.Limit, l.Template.AskLimit = "web01", false
	_, err := b.backend.Launch(t.Context(), l)
	require.Equal(t, "rejected", b.outcome(err), "a limit that is not prompted for is ignored")
	require.Empty(t, b.Started())
}

func (s Suite) hostileVariables(t *testing.T) {
	b := s.bench(t, usual)
	for name, v := range map[string]any{
		"ansible_connection": "local", "ANSIBLE_HOST": "x", "ansible_become": true, "awx_job_id": 1, "tower_user_id": 1, "tocsin": "x", "Tocsin": "x",
		"hostvars": "x", "group_names": "x", "inventory_hostname": "x", "": "x", "a b": "x", "a.b": "x", "a-b": "x", "0a": "x", "a\n": "x", "é": "x", "{{a}}": "x",
		"braces": "{{ lookup('pipe', 'id') }}", "statement": "{% if x %}", "comment": "a{#b", "line": "a\nb", "return": "a\rb", "null": "a\x00b",
		"escape": "\x1b[31m", "overlong": strings.Repeat("x", 5000), "broken": "\xff", "bidi": "a\u202eb", "separator": "a\u2028b",
		"list": []string{"a"}, "map": map[string]any{"a": "b"}, "nil": nil, "error": errors.New("x"),
	} {
		l := b.order("D-HOSTILE")
		l.Variables = map[string]any{name: v}
		_, err := b.backend.Launch(t.Context(), l)
		require.Equal(t, "rejected", b.outcome(err), "%q=%v: %v", name, v, err)
	}
	for _, dispatch := range []string{"", " ", "a b", "{{x}}", "a\nb", strings.Repeat("x", 100)} {
		l := b.order("D")
		l.Dispatch = dispatch
		_, err := b.backend.Launch(t.Context(), l)
		require.Equal(t, "rejected", b.outcome(err), dispatch)
	}
	l := b.order("D")
	l.Link = "https://tocsin.example.org/{{ x }}"
	_, err := b.backend.Launch(t.Context(), l)
	require.Equal(t, "rejected", b.outcome(err))
	require.Empty(t, b.Started())

	l = b.order("D-FINE")
	l.Variables = map[string]any{"svc": "check-out <&> 'quoted' 1.2", "n": 3, "yes": true}
	_, err = b.backend.Launch(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, "check-out <&> 'quoted' 1.2", b.Started()[0].Vars["svc"])
}

func (s Suite) statuses(t *testing.T) {
	b := s.bench(t, usual)
	l := b.order("D-STATUS")
	certain := map[int]bool{400: true, 401: true, 403: true, 404: true, 405: true, 413: true, 415: true, 429: true}
	for status := 200; status < 600; status++ {
		if http.StatusText(status) == "" || status == http.StatusNoContent || status == http.StatusNotModified {
			continue
		}
		for _, body := range []string{"", "<html>no</html>", `{"detail":"no"}`, `{"job":0}`} {
			require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.Status, Method: http.MethodPost, Path: b.Launch, Status: status, Body: body}))
			_, err := b.backend.Launch(t.Context(), l)
			want := "unknown"
			if certain[status] {
				want = "rejected"
			}
			require.Equal(t, want, b.outcome(err), "status %d %q: %v", status, body, err)
		}
	}
	require.Empty(t, b.Started())
	// What is read is never believed from another status or from a page.
	for _, f := range []fault.Fault{
		{Kind: fault.Status, Status: http.StatusOK, Body: "{}"},
		{Kind: fault.HTML, Status: http.StatusOK},
		{Kind: fault.Status, Status: http.StatusOK},
		{Kind: fault.Status, Status: http.StatusAccepted},
		{Kind: fault.Status, Status: http.StatusFound},
		{Kind: fault.Truncated},
		{Kind: fault.Drop},
		{Kind: fault.HTML, Status: http.StatusGatewayTimeout},
	} {
		require.NoError(t, b.Faults.Set(1, f))
		_, err := b.backend.Find(t.Context(), l.Template, 0, "D-STATUS")
		require.Error(t, err, "%v", f)
		_, _, err = b.backend.Watermark(t.Context(), l.Template, l.Limit)
		require.Error(t, err, "%v", f)
		_, err = b.backend.Host(t.Context(), b.Inventory, b.Target.Name)
		require.Error(t, err, "%v", f)
		require.NotErrorIs(t, err, remediate.ErrNoHost, "%v", f)
		_, err = b.backend.Job(t.Context(), remediate.Job{ID: 1})
		require.Error(t, err, "%v", f)
		require.NotErrorIs(t, err, remediate.ErrNoJob, "%v", f)
		_, err = b.backend.Ready(t.Context(), b.Step, b.Target)
		_, notReady := errors.AsType[*remediate.NotReady](err)
		require.True(t, err != nil && !notReady, "it is not known: %v", err)
		if f.Status != http.StatusAccepted {
			require.Error(t, b.backend.Cancel(t.Context(), remediate.Job{ID: 1}), "%v", f)
		}
		b.Faults.Clear()
	}
	// A passing trouble is looked past.
	require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.HTML, Status: http.StatusBadGateway, Count: 2}))
	_, err := b.backend.Find(t.Context(), l.Template, 0, "D-STATUS")
	require.NoError(t, err)
}

func (s Suite) notSent(t *testing.T) {
	b := s.bench(t, usual)
	l := b.order("D-NOBODY")
	down := s.bench(t, func(s Service) any { return s.Down })
	_, err := down.backend.Launch(t.Context(), l)
	require.Equal(t, "rejected", b.outcome(err), "nobody was there: %v", err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.backend.Launch(ctx, l)
	require.Contains(t, []string{"rejected", "unknown"}, b.outcome(err))
	require.Empty(t, b.Started())
}

func (s Suite) credentials(t *testing.T) {
	b := s.bench(t, usual)
	l := b.order("D-WRONG")
	wrong := s.bench(t, func(s Service) any { return s.Wrong })
	_, err := wrong.backend.Ready(t.Context(), b.Step, b.Target)
	require.ErrorContains(t, err, "401")
	_, err = wrong.backend.Launch(t.Context(), l)
	require.Equal(t, "rejected", wrong.outcome(err))
	if c, ok := wrong.backend.(remediate.Checker); ok {
		require.ErrorContains(t, c.Check(t.Context()), "401")
		require.NoError(t, b.backend.(remediate.Checker).Check(t.Context()))
	}
	require.Empty(t, wrong.Started())
}

func (s Suite) finding(t *testing.T) {
	b := s.bench(t, usual)
	first := b.launch("D-0")
	l := b.order("D-0")
	found, err := b.backend.Find(t.Context(), l.Template, first.ID, "D-0")
	require.NoError(t, err)
	require.Empty(t, found, "only beyond the watermark")
	b.Hold()
	const many = 430 // three pages
	for i := range many {
		l.Dispatch = fmt.Sprintf("D-%d", i%(many-1)+1)
		_, err := b.backend.Launch(t.Context(), l)
		require.NoError(t, err)
	}
	for _, dispatch := range []string{"D-1", "D-200", "D-201", "D-429"} {
		found, err := b.backend.Find(t.Context(), l.Template, first.ID, dispatch)
		require.NoError(t, err)
		want := 1
		if dispatch == "D-1" {
			want = 2 // the last one is its second
		}
		require.Len(t, found, want, dispatch)
		for i := 1; i < len(found); i++ {
			require.Greater(t, found[i].ID, found[i-1].ID)
		}
	}
	for _, dispatch := range []string{"D-", "D-9999", "d-1"} {
		found, err := b.backend.Find(t.Context(), l.Template, 0, dispatch)
		require.NoError(t, err)
		require.Empty(t, found)
	}
}

func (s Suite) watermark(t *testing.T) {
	b := s.bench(t, usual)
	l := b.order("D-MARK")
	mark, busy, err := b.backend.Watermark(t.Context(), l.Template, l.Limit)
	require.NoError(t, err)
	require.Zero(t, mark)
	require.Empty(t, busy)
	b.Hold()
	j := b.launch("D-MARK")
	mark, busy, err = b.backend.Watermark(t.Context(), l.Template, l.Limit)
	require.NoError(t, err)
	require.Equal(t, j.ID, mark)
	require.NotEmpty(t, busy)
	for _, other := range busy { // a workflow is there with the jobs that it runs
		require.Equal(t, b.Target.Name, other.Limit)
	}
	require.True(t, slices.ContainsFunc(busy, func(o remediate.Job) bool { return o.ID == j.ID && o.Kind == j.Kind }), "%v", busy)
	_, busy, err = b.backend.Watermark(t.Context(), l.Template, "another-host")
	require.NoError(t, err)
	require.Empty(t, busy)
}

func (s Suite) cancel(t *testing.T) {
	b := s.bench(t, usual)
	b.Hold()
	j := b.launch("D-CANCEL")
	require.NoError(t, b.backend.Cancel(t.Context(), j))
	require.Equal(t, remediate.Canceled, b.ended(j).State)
	require.ErrorIs(t, b.backend.Cancel(t.Context(), j), remediate.ErrEnded)
	require.Empty(t, b.Started()[0].Hosts)
}

func (s Suite) forgotten(t *testing.T) {
	b := s.bench(t, usual)
	j := b.launch("D-GONE")
	b.Forget(j.ID)
	_, err := b.backend.Job(t.Context(), j)
	require.ErrorIs(t, err, remediate.ErrNoJob)
	_, err = b.backend.Evidence(t.Context(), j, b.Target.Name)
	require.ErrorIs(t, err, remediate.ErrNoJob)
	require.ErrorIs(t, b.backend.Cancel(t.Context(), j), remediate.ErrNoJob)
}

func (s Suite) deadline(t *testing.T) {
	b := s.bench(t, usual)
	l := b.order("D-HANG")
	require.NoError(t, b.Faults.Set(1, fault.Fault{Kind: fault.Hang}))
	for name, call := range map[string]func(context.Context) error{
		"launch": func(ctx context.Context) error { _, err := b.backend.Launch(ctx, l); return err },
		"find":   func(ctx context.Context) error { _, err := b.backend.Find(ctx, l.Template, 0, "D"); return err },
		"job":    func(ctx context.Context) error { _, err := b.backend.Job(ctx, remediate.Job{ID: 1}); return err },
		"cancel": func(ctx context.Context) error { return b.backend.Cancel(ctx, remediate.Job{ID: 1}) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := call(ctx)
		require.Error(t, err, name)
		require.Error(t, ctx.Err(), "it ended before its time: %s: %v", name, err)
		cancel()
		b.quiet(err)
	}
}
