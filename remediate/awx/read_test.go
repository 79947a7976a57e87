package awx_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remediate/awx"
)

func TestEvidence(t *testing.T) {
	f, url := serve(t, fakeawx.Options{})
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	run := func(s fakeawx.Switches) (remediate.Job, remediate.Evidence) {
		f.Switch(s)
		j, err := b.Launch(t.Context(), order())
		require.NoError(t, err)
		j, err = b.Job(t.Context(), j)
		require.NoError(t, err)
		ev, err := b.Evidence(t.Context(), j, "web01")
		require.NoError(t, err)
		return j, ev
	}
	t.Run("events are complete after the end", func(t *testing.T) {
		j, ev := run(fakeawx.Switches{EventLag: fakeawx.Duration(time.Minute)})
		require.Equal(t, remediate.Successful, j.State)
		require.False(t, ev.Stated)
		require.Empty(t, ev.Hosts)
		f.Advance(time.Minute)
		ev, err := b.Evidence(t.Context(), j, "web01")
		require.NoError(t, err)
		require.True(t, ev.Stated)
		require.Len(t, ev.Hosts, 1)
	})
	t.Run("successful without a host", func(t *testing.T) {
		j, ev := run(fakeawx.Switches{NoHostFound: true})
		require.Equal(t, remediate.Successful, j.State)
		require.True(t, ev.Stated)
		require.Empty(t, ev.Hosts)
		require.Contains(t, ev.Tail, "no hosts matched")
	})
	t.Run("output that is too large", func(t *testing.T) {
		_, ev := run(fakeawx.Switches{StdoutBytes: 2 << 20})
		require.Contains(t, ev.Tail, "web01 : ok=2 changed=1", "its very end")
		require.NotContains(t, ev.Tail, "too large")
		require.LessOrEqual(t, len(ev.Tail), 4<<10)
		require.Greater(t, len(ev.Tail), 3<<10)
	})
	t.Run("output in pieces", func(t *testing.T) {
		_, ev := run(fakeawx.Switches{StdoutBytes: 100_000})
		require.Contains(t, ev.Tail, "web01 : ok=2 changed=1")
		require.True(t, strings.HasPrefix(ev.Tail, "ok: "), "whole lines: %.40q", ev.Tail)
	})
	t.Run("summaries stay when the output cannot be had", func(t *testing.T) {
		j, _ := run(fakeawx.Switches{})
		require.NoError(t, f.Faults.Set(1, fault.Fault{Kind: fault.Status, Status: http.StatusForbidden, Path: "/stdout/"}))
		ev, err := b.Evidence(t.Context(), j, "web01")
		require.ErrorContains(t, err, "stdout: status 403")
		require.Len(t, ev.Hosts, 1)
	})
}

func TestATokenIsReadAnew(t *testing.T) {
	_, url := serve(t, fakeawx.Options{})
	c := plain(t, url, "expired")
	b := open(t, c).(remediate.Checker)
	require.ErrorContains(t, b.Check(t.Context()), "me: status 401: Authentication credentials were not provided.")
	require.NoError(t, os.WriteFile(string(c.TokenFile), []byte(fakeawx.DefaultToken), 0o600))
	require.NoError(t, b.Check(t.Context()))
	require.NoError(t, os.Remove(string(c.TokenFile)))
	_, err := open2(c)
	require.ErrorContains(t, err, "token_file: ")
	_, err = b.(remediate.Backend).Launch(t.Context(), order())
	_, rejected := errors.AsType[*remediate.Rejected](err)
	require.True(t, rejected)
}

func open2(c *awx.Config) (remediate.Backend, error) {
	return awx.Kind().New(c, remediate.Deps{Transport: &http.Transport{}, Now: time.Now})
}

func TestAnAuthorityOfItsOwn(t *testing.T) {
	f := fakeawx.New(fakeawx.Options{})
	s := httptest.NewTLSServer(f)
	defer s.Close()
	c := plain(t, s.URL, fakeawx.DefaultToken)
	require.ErrorContains(t, open(t, c).(remediate.Checker).Check(t.Context()), "certificate")
	_, err := open(t, c).Launch(t.Context(), order())
	_, rejected := errors.AsType[*remediate.Rejected](err)
	require.True(t, rejected, "nothing was sent: %v", err)
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	c.CAFile = path
	require.NoError(t, open(t, c).(remediate.Checker).Check(t.Context()))
	require.NoError(t, os.WriteFile(path, []byte("nothing"), 0o600))
	_, err = open2(c)
	require.ErrorContains(t, err, "ca_file: ")
}

func TestFewAtATime(t *testing.T) {
	var now, most atomic.Int32
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/api/" {
			_, _ = w.Write([]byte(`{"current_version": "/api/v2/"}`))
			return
		}
		for n := now.Add(1); ; {
			if m := most.Load(); m >= n || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		<-release
		_, _ = w.Write([]byte(`{"id": 1, "status": "running"}`))
	}))
	defer s.Close()
	b := open(t, plain(t, s.URL, "token"))
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() { _, _ = b.Job(t.Context(), remediate.Job{ID: 1}) })
	}
	require.Eventually(t, func() bool { return most.Load() == 4 }, time.Minute, time.Millisecond)
	close(release)
	all.Wait()
	require.Equal(t, int32(4), most.Load())
}

func TestRequestsAreMeasured(t *testing.T) {
	_, url := serve(t, fakeawx.Options{})
	reg := prometheus.NewRegistry()
	b, err := awx.Kind().New(plain(t, url, fakeawx.DefaultToken), remediate.Deps{
		Name: "main", Transport: &http.Transport{}, Now: time.Now, Requests: remediate.NewRequests(reg),
	})
	require.NoError(t, err)
	_, err = b.Launch(t.Context(), order())
	require.NoError(t, err)
	_, err = b.Job(t.Context(), remediate.Job{ID: 99})
	require.ErrorIs(t, err, remediate.ErrNoJob)
	n, err := testutil.GatherAndCount(reg, "tocsin_remediate_request_duration_seconds")
	require.NoError(t, err)
	require.Equal(t, 3, n, "discover 200, launch 201, job 404")
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Contains(t, families[0].String(), `value:"launch"`)
}

func TestWhereTheAPILies(t *testing.T) {
	for name, body := range map[string]string{
		"nowhere":       `{}`,
		"another host":  `{"current_version": "//evil.example/api/v2/"}`,
		"an address":    `{"current_version": "https://evil.example/api/v2/"}`,
		"up the tree":   `{"current_version": "/api/../../"}`,
		"no slash":      `{"current_version": "/api/v2"}`,
		"a query":       `{"current_version": "/api/v2/?x=/"}`,
		"bad gateway's": `{"apis": {"controller": "//evil.example/"}}`,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "/api/", r.URL.Path, name)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(body))
		}))
		err := open(t, plain(t, s.URL, "token")).(remediate.Checker).Check(t.Context())
		require.ErrorContains(t, err, "does not say where its API lies", name)
		s.Close()
	}
}

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*awx.Config){
		"url":        func(c *awx.Config) { c.URL = "awx" },
		"token_file": func(c *awx.Config) { c.TokenFile = "" },
		"username":   func(c *awx.Config) { c.TokenFile, c.Username = "", "x" },
		"timeout":    func(c *awx.Config) { c.Timeout = 0 },
		"settle":     func(c *awx.Config) { c.Settle = config.Duration(time.Minute) },
		"job_link":   func(c *awx.Config) { c.JobLink = "https://awx.example.org/jobs" },
	} {
		c := plain(t, "https://awx.example.org", "x")
		change(c)
		err := c.Validate()
		require.ErrorContains(t, err, field+": ")
		require.Len(t, strings.Split(err.Error(), "\n"), 1)
	}
	c := plain(t, "https://awx.example.org", "x")
	c.Username, c.PasswordFile = "x", "y"
	require.ErrorContains(t, c.Validate(), "either token_file, or username")
}

// Of a job that touched more hosts than a page holds, the one that was meant is told.
func TestEvidenceOfManyHosts(t *testing.T) {
	w := fakeawx.DefaultWorld()
	for i := range 250 {
		w.Inventories[0].Hosts = append(w.Inventories[0].Hosts, fakeawx.Host{Name: fmt.Sprintf("app%03d", i)})
	}
	f, url := serve(t, fakeawx.Options{World: w})
	id, err := f.LaunchAs("admin", "restart", "", nil)
	require.NoError(t, err)
	f.Advance(0)
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	ev, err := b.Evidence(t.Context(), remediate.Job{ID: id, Kind: "job"}, "web01")
	require.NoError(t, err)
	require.Len(t, ev.Hosts, 201)
	require.Equal(t, "web01", ev.Hosts[0].Host)
}
