package drill_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/drill"
	"github.com/tocsin/tocsin/lab/expressions"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/page"
)

// house answers for Tocsin: each expression has the page that words gives it.
type house struct {
	stage
	words map[string]string // by expression; no page without
	after string            // title of the change that pages blame

	mu      sync.Mutex
	pages   map[string]page.Page
	changes []page.Change
}

func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.URL.Path == "/webhook/changes" {
		var c page.Change
		body, _ := io.ReadAll(r.Body)
		if json.Unmarshal(body, &c) != nil || r.Header.Get("Authorization") != "Bearer inbound" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		h.changes = append(h.changes, c)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	out := []page.Page{}
	if f, ok := h.fault(); ok {
		for name, said := range h.words {
			if _, ok := h.pages[name]; !ok {
				h.pages[name] = h.tell(f, name, said)
			}
			out = append(out, h.pages[name])
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// tell posts one page to both services.
func (h *house) tell(f scenario.Fault, name, said string) page.Page {
	ts, _ := h.post("http://"+h.Slack+"/api/chat.postMessage", map[string]any{"channel": "C0PAGES", "text": said})["ts"].(string)
	h.post("http://"+h.PagerDuty+"/v2/enqueue", map[string]any{
		"routing_key": fakepagerduty.DefaultKey, "event_action": "trigger", "dedup_key": name,
		"payload": map[string]any{"summary": said, "source": "test", "severity": "critical"},
	})
	onset := &page.Onset{At: f.At.Add(-2 * time.Second), From: f.At.Add(-time.Minute), To: f.At, After: &page.Change{Title: h.after}}
	return page.Page{
		Alerts: []page.Alert{{Labels: page.Labels{"alertname": name, "service": f.Service}}},
		Clock:  page.Clock{Received: f.At, Sent: f.At.Add(time.Second)}, Onset: onset,
		Receipts: []page.Receipt{{Target: "slack/lab", Ref: ts}, {Target: "pagerduty/lab", Ref: name}},
		Queries:  []page.Query{{Series: 40, Bytes: 1000}, {Series: 2, Bytes: 24}, {Series: 9, Cached: true}},
	}
}

func newHouse(t *testing.T, words map[string]string) *house {
	t.Helper()
	h := &house{stage: newStage(t), words: words, pages: map[string]page.Page{}}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	h.Operators = strings.TrimPrefix(srv.URL, "http://")
	h.Tocsin, h.SecretFiles.Alertmanager = h.Operators, "inbound"
	require.NoError(t, os.WriteFile(filepath.Join(h.Dir, "inbound"), []byte("inbound\n"), 0o600))
	var err error
	h.Expressions, err = expressions.Named("ErrorRatio", "LongestQueue", "TenantQueue", "Down")
	require.NoError(t, err)
	return h
}

func (h *house) play(t *testing.T, kind scenario.Kind) map[string]drill.Cell {
	t.Helper()
	told := 0
	scenes, err := drill.New(h.World).Matrix(t.Context(), drill.Matrix{
		Kinds: []scenario.Kind{kind}, Patience: time.Second, Every: 200 * time.Millisecond, Tell: func(drill.Scene) { told++ },
	})
	require.NoError(t, err)
	require.Equal(t, 1, told)
	require.Empty(t, h.Board.Active(), "healed")
	out := map[string]drill.Cell{}
	for _, c := range scenes[0].Cells {
		out[c.Expression] = c
	}
	return out
}

func TestMatrix(t *testing.T) {
	h := newHouse(t, map[string]string{
		"ErrorRatio": "15 of 15 failing share version=v42", "LongestQueue": "15 of 15 failing share host=checkout-01",
	})
	h.after = "v42"
	cells := h.play(t, scenario.BadDeploy)
	require.Len(t, cells, 3, "what is down does not fire")
	right, wrong, none := cells["ErrorRatio"], cells["LongestQueue"], cells["TenantQueue"]
	require.True(t, right.Paged && right.Right)
	require.True(t, wrong.Paged)
	require.False(t, wrong.Right, wrong.Said)
	require.Contains(t, wrong.Said, "host=checkout-01")
	require.False(t, none.Paged || none.Right)
	require.Equal(t, 2, right.Queries, "what was asked for another page costs nothing")
	require.Equal(t, 42, right.Series)
	require.Equal(t, int64(1024), right.Bytes)
	require.Equal(t, drill.Dating{Known: true, Off: -2 * time.Second, Inside: true, Named: true}, right.Dating)
	require.Equal(t, drill.Dating{}, none.Dating)

	require.Len(t, h.changes, 2)
	require.Equal(t, "v40", h.changes[0].Title)
	require.Equal(t, "v42", h.changes[1].Title)
	require.Equal(t, 10*time.Minute, h.changes[1].At.Sub(h.changes[0].At))
	require.Equal(t, "checkout", h.changes[0].Labels["service"])
}

func TestMatrixBlamesTheInnocent(t *testing.T) {
	h := newHouse(t, map[string]string{"Down": "nothing in common"})
	h.after = "v40"
	cells := h.play(t, scenario.TargetDown)
	require.Len(t, cells, 1)
	require.False(t, cells["Down"].Right)
	require.True(t, cells["Down"].Dating.Innocent)
	require.False(t, cells["Down"].Dating.Named)
	require.Len(t, h.changes, 1, "nothing was deployed but the innocent one")
}
