package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/webhook"
)

func changesNow() time.Time { return time.Date(2026, 3, 1, 12, 4, 0, 0, time.UTC) }

func TestEveryFormOfAChange(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 2, 35, 0, time.UTC)
	for name, want := range map[string]page.Change{
		"own": {
			ID: "change-4711", Kind: "config", Title: "pool size 50", Labels: page.Labels{"service": "checkout", "dc": "dc1"}, At: at, Link: "https://changes.example.org/4711",
		},
		"github_deployment": {
			ID: "github/checkout/145988746", Kind: "deploy", Title: "v42", At: at, Link: "https://github.com/acme/checkout",
			Labels: page.Labels{"service": "checkout", "environment": "production"},
		},
		"github_status": {
			ID: "github/checkout/145988746/success", Kind: "deploy", Title: "f95f852", At: at.Add(15 * time.Second),
			Link: "https://github.com/acme/checkout/actions/runs/7", Labels: page.Labels{"service": "checkout", "environment": "production"},
		},
		"argocd": {
			ID:   "argocd/argocd/checkout/0d521c6e049889134f3122eb32d7ed342f43ca0d/2026-03-01T12:02:35Z",
			Kind: "deploy", Title: "0d521c6", At: at, Link: "https://argocd.example.org/applications/checkout",
			Labels: page.Labels{"service": "checkout", "namespace": "shop", "cluster": "dc1-prod"},
		},
		"kubernetes_event": {
			ID: "kubernetes/77ab/shop/checkout/ScalingReplicaSet/2026-03-01T12:02:35Z", Kind: "rollout", Title: "ScalingReplicaSet checkout", At: at,
			Labels: page.Labels{"service": "checkout", "namespace": "shop"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile(filepath.Join("..", "testdata", "changes", name+".json"))
			require.NoError(t, err)
			got, err := webhook.DecodeChange(body, changesNow())
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestWhatIsNoChange(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"queued":       {`{"deployment": {"id": 1, "sha": "abc"}, "deployment_status": {"state": "queued", "created_at": "2026-03-01T12:00:00Z"}, "repository": {"name": "r"}}`, "nothing was changed"},
		"health only":  {`{"app": {"metadata": {"name": "x"}, "status": {"sync": {"revision": "abc"}}}}`, "nothing was changed"},
		"pulled":       {`{"kind": "Event", "reason": "Pulled", "involvedObject": {"kind": "Pod", "name": "p"}}`, "nothing was changed"},
		"ages ago":     {`{"kind": "deploy", "title": "v1", "at": "2020-01-01T00:00:00Z"}`, "nothing was changed"},
		"no kind":      {`{"title": "v42"}`, "kind: it is missing"},
		"no title":     {`{"kind": "deploy"}`, "title: it is missing"},
		"future":       {`{"kind": "deploy", "title": "v42", "at": "2026-03-01T13:00:00Z"}`, "at: it is in the future"},
		"not JSON":     {`kind: deploy`, "not the JSON of a change"},
		"an array":     {`[{"kind": "deploy"}]`, "not the JSON of a change"},
		"bad time":     {`{"kind": "deploy", "title": "v42", "at": "yesterday"}`, "not the JSON of a change"},
		"long title":   {`{"kind": "deploy", "title": "` + strings.Repeat("v", 300) + `"}`, "title: it is longer"},
		"nested":       {strings.Repeat(`{"a":`, 40), "nests deeper"},
		"many labels":  {manyLabels(40), "more than 32"},
		"too long":     {`{"kind": "` + strings.Repeat("x", 1<<20) + `"}`, "the body is over"},
		"labels of 1s": {`{"kind": "deploy", "title": "v42", "labels": {"a": 1}}`, "not the JSON of a change"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.DecodeChange([]byte(tc.body), changesNow())
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func manyLabels(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"l%d": "v"`, i))
	}
	return `{"kind": "deploy", "title": "v", "labels": {` + strings.Join(parts, ",") + `}}`
}

func sendChange(t testing.TB, h *webhook.Handler, body string, change func(*http.Request)) (*httptest.ResponseRecorder, said) {
	t.Helper()
	r := request([]byte(body))
	if change != nil {
		change(r)
	}
	return serve(t, http.HandlerFunc(h.ServeChange), r)
}

func TestAChangeIsOnDiskOnceBeforeItIsAnswered(t *testing.T) {
	s := openStore(t)
	defer s.Close()
	h := newHandler(s)
	now := time.Now().UTC().Truncate(time.Second) // the store has a clock of its own
	h.Now = func() time.Time { return now }
	body := `{"kind": "deploy", "title": "v42", "labels": {"service": "checkout"}, "id": "7"}`
	w, got := sendChange(t, h, body, nil)
	require.Equal(t, http.StatusAccepted, w.Code)
	require.Equal(t, "accepted", got.Status)
	h.Now = func() time.Time { return now.Add(time.Hour) }
	_, got = sendChange(t, h, body, nil)
	require.Equal(t, "duplicate", got.Status, "by its id, though its time is another by now")
	recs, err := s.Scan(t.Context(), store.ChangePrefix, store.ChangesSince(now.Add(-time.Minute)), 10)
	require.NoError(t, err)
	require.Len(t, recs, 1)
	require.Equal(t, now.Add(webhook.ChangesKept).Unix(), recs[0].Expires.Unix())
	var c page.Change
	require.NoError(t, store.Unmarshal(recs[0].Value, &c))
	require.Equal(t, page.Change{ID: "7", Kind: "deploy", Title: "v42", Labels: page.Labels{"service": "checkout"}, At: now, Source: "webhook/dc1"}, c)
	recs, err = s.Scan(t.Context(), store.ChangePrefix, store.ChangesSince(now.Add(time.Minute)), 10)
	require.NoError(t, err)
	require.Empty(t, recs)
	require.Empty(t, waiting(t, s), "a change pages nobody")
}

func TestWhoMaySendChanges(t *testing.T) {
	s := openStore(t)
	defer s.Close()
	h := newHandler(s)
	body := `{"kind": "deploy", "title": "v42"}`
	for name, tc := range map[string]struct {
		change func(*http.Request)
		code   int
	}{
		"wrong token":                        {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, http.StatusUnauthorized},
		"none":                               {func(r *http.Request) { r.Header.Del("Authorization") }, http.StatusUnauthorized},
		"GET":                                {func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
		"another cluster's token is as good": {nil, http.StatusAccepted},
	} {
		w, _ := sendChange(t, h, body, tc.change)
		require.Equal(t, tc.code, w.Code, name)
	}
	h.Anonymous = "dc1"
	w, _ := sendChange(t, h, body, func(r *http.Request) {
		r.Header.Del("Authorization")
		r.Header.Set("Origin", "https://evil.example")
	})
	require.Equal(t, http.StatusForbidden, w.Code)
}

// full is a store on a full disk.
type full struct{ store.Store }

func (full) Apply(context.Context, ...store.Op) error { return errors.New("no space left") }

func TestAChangeThatIsNotStoredIsAskedForAgain(t *testing.T) {
	w, _ := sendChange(t, newHandler(full{}), `{"kind": "deploy", "title": "v42"}`, nil)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
}

func FuzzDecodeChange(f *testing.F) {
	files, err := filepath.Glob("../testdata/changes/*.json")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		body, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := webhook.DecodeChange(body, changesNow())
		if err != nil {
			return
		}
		require.NotEmpty(t, c.Kind)
		require.NotEmpty(t, c.ID)
		require.LessOrEqual(t, len(c.Kind)+len(c.Title), 512)
		require.LessOrEqual(t, len(c.Labels), 32)
		require.False(t, c.At.IsZero())
		require.False(t, c.At.After(changesNow().Add(5*time.Minute)))
		if c.Link != "" {
			_, ok := page.WebURL(c.Link)
			require.True(t, ok)
		}
	})
}
