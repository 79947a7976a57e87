package remediate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remediate/awx"
)

// wire leads to a handler by the bubble's clock: no socket holds it up.
type wire struct{ to http.Handler }

func (w wire) RoundTrip(r *http.Request) (res *http.Response, err error) {
	defer func() {
		if recover() != nil { // http.ErrAbortHandler: the connection was dropped
			res, err = nil, errors.New("connection reset by peer")
		}
	}()
	if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(raw))
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil { // as a transport tells what has left
		if trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{})
		}
		if trace.WroteHeaders != nil {
			trace.WroteHeaders()
		}
	}
	rec := httptest.NewRecorder()
	w.to.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// onAWX puts the real client and the fake in the place of the world's server.
func (w *world) onAWX(fix func()) (*fakeawx.Fake, remediate.Backend) {
	w.t.Helper()
	repair := func(_ context.Context, p fakeawx.Play) fakeawx.Result {
		fix()
		return fakeawx.Result{Status: "successful", Output: "PLAY RECAP", Hosts: map[string]fakeawx.Counts{p.Limit: {OK: 1, Changed: 1}}}
	}
	f := fakeawx.New(fakeawx.Options{World: w.awx, Actions: map[string]fakeawx.Action{"restart.yml": repair}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	w.stops = append(w.stops, func() { cancel(); <-done; f.Close() })
	secret := filepath.Join(w.t.TempDir(), "token")
	require.NoError(w.t, os.WriteFile(secret, []byte(fakeawx.DefaultToken), 0o600))
	cfg := awx.Kind().Config().(*awx.Config)
	cfg.URL, cfg.TokenFile = "http://awx", config.SecretFile(secret)
	b, err := awx.Kind().New(cfg, remediate.Deps{Name: "main", Transport: remediate.Fenced(wire{f}), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	require.NoError(w.t, err)
	w.policy.Steps = w.policy.Steps[:1]
	w.policy.Steps[0].Organization = "Infra"
	return f, b
}

// The engine on the client on the fake: answers that are lost, jobs that show late,
// a template whose prompt is switched off, each with and without a crash.
func TestTheEngineOnAWX(t *testing.T) {
	launch := func(k fault.Kind) fault.Fault {
		return fault.Fault{Kind: k, Accept: true, Path: "/launch/", Method: http.MethodPost, Count: 1}
	}
	for name, wrong := range map[string]func(t *testing.T, f *fakeawx.Fake){
		"nothing":                     func(*testing.T, *fakeawx.Fake) {},
		"committed, then dropped":     func(t *testing.T, f *fakeawx.Fake) { require.NoError(t, f.Faults.Set(1, launch(fault.Drop))) },
		"committed, then 502":         func(t *testing.T, f *fakeawx.Fake) { require.NoError(t, f.Faults.Set(1, launch(fault.HTML))) },
		"committed, then half an one": func(t *testing.T, f *fakeawx.Fake) { require.NoError(t, f.Faults.Set(1, launch(fault.Truncated))) },
		"visible 115 s late": func(t *testing.T, f *fakeawx.Fake) {
			f.Switch(fakeawx.Switches{CommitDelay: fakeawx.Duration(115 * time.Second)})
			require.NoError(t, f.Faults.Set(1, launch(fault.Drop)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(4) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					in(t, func(t *testing.T, w *world) {
						f, b := w.onAWX(func() { w.fires("p1", 1) })
						w.backend = b
						wrong(t, f)
						rng := rand.New(rand.NewPCG(seed, 3))
						c := &crashing{Store: w.store, at: int64(1 + rng.IntN(10)), after: rng.IntN(2) == 0}
						if seed == 0 {
							c.at = -1
						}
						w.start(c)
						w.fires("p1", 1, "web01")
						w.sleep(10 * time.Minute)
						w.start(w.store)
						w.sleep(30 * time.Minute)
						d := w.one()
						require.True(t, d.Stage.Over(), "%s: %s", d.Stage, d.Reason)
						require.LessOrEqual(t, len(f.Ledger().Jobs), 1)
						if seed == 0 {
							require.Equal(t, remediate.Cleared, d.Stage, d.Reason)
							require.Equal(t, "web01", f.Ledger().Jobs[0].Limit)
						}
						w.sound()
					})
				})
			}
		})
	}
}
