package fakeawx_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeawx"
)

// clock is a time that goes by only where a test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// lab is a fake AWX behind real HTTP.
type lab struct {
	*fakeawx.Fake
	t      *testing.T
	url    string
	token  string
	client *http.Client
}

// world is the default one with more templates in it.
func world(more ...fakeawx.Template) *fakeawx.World {
	w := fakeawx.DefaultWorld()
	w.Templates = append(w.Templates, more...)
	for _, t := range more {
		w.Users[0].Execute = append(w.Users[0].Execute, t.Name)
	}
	return w
}

func start(t *testing.T, o fakeawx.Options) *lab {
	t.Helper()
	if o.Now == nil {
		o.Now = (&clock{now: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)}).Now
	}
	f := fakeawx.New(o)
	s := httptest.NewServer(f)
	t.Cleanup(func() { s.Close(); f.Close() })
	return &lab{Fake: f, t: t, url: s.URL, token: fakeawx.DefaultToken, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

func (l *lab) send(ctx context.Context, method, path string, body any) (answer, error) {
	l.t.Helper()
	var raw []byte
	if body != nil {
		var err error
		raw, err = json.Marshal(body)
		require.NoError(l.t, err)
	}
	if s, ok := body.(string); ok {
		raw = []byte(s)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.url+path, bytes.NewReader(raw))
	require.NoError(l.t, err)
	if l.token != "" {
		req.Header.Set("Authorization", "Bearer "+l.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := l.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	return answer{t: l.t, status: res.StatusCode, header: res.Header, body: out}, err
}

func (l *lab) get(path string) answer {
	l.t.Helper()
	a, err := l.send(l.t.Context(), http.MethodGet, "/api/v2/"+path, nil)
	require.NoError(l.t, err)
	return a
}

func (l *lab) post(path string, body any) answer {
	l.t.Helper()
	a, err := l.send(l.t.Context(), http.MethodPost, "/api/v2/"+path, body)
	require.NoError(l.t, err)
	return a
}

// as is the lab as another account sees it; none without a token.
func (l *lab) as(token string) *lab {
	out := *l
	out.token = token
	return &out
}

// is asserts the status and returns the object.
func (a answer) is(status int) object {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	var o object
	if len(a.body) > 0 {
		require.NoError(a.t, json.Unmarshal(a.body, &o), "%s", a.body)
	}
	return o
}

type object = map[string]any

func ids(list object) []int {
	out := []int{}
	for _, r := range list["results"].([]any) {
		out = append(out, int(r.(object)["id"].(float64)))
	}
	return out
}

// The templates of DefaultWorld, in their order.
const (
	restart = "job_templates/7/"
	shift   = "job_templates/8/"
	repair  = "workflow_job_templates/9/"
	first   = "job_templates/10/" // the first that a test adds
)
