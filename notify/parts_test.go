package notify_test

import (
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/alertmanager"
	"github.com/tocsin/tocsin/page"
)

// Of a target that is several, those that accepted are not told again, though
// the process ends before the others do.
func TestPartsOutliveTheProcess(t *testing.T) {
	h := newHouse(t)
	var mu sync.Mutex
	told := map[string]int{}
	faults := fault.New(1)
	url := serve(t, faults.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		told[r.URL.Path]++
	})))
	one, two := secretFile(t, url+"/one"), secretFile(t, url+"/two")
	section, err := config.Parse(filepath.Join(t.TempDir(), "x.yml"),
		[]byte("receiver: {webhook_configs: [{url_file: "+string(one)+"}, {url_file: "+string(two)+"}]}"))
	require.NoError(t, err)
	c := alertmanager.Kind().Config()
	require.NoError(t, section.Decode(c))
	n, err := alertmanager.Kind().New(c, notify.Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now, PublicURL: url})
	require.NoError(t, err)
	h.router = &notify.Router{First: "team", Receivers: map[string][]notify.Target{"team": {{Kind: "alertmanager", Name: "team", Notifier: n}}}}

	require.NoError(t, faults.Set(1, fault.Fault{Kind: fault.RateLimit, Path: "/two"}))
	h.start()
	p := problem(id(1))
	h.put(p)
	require.Eventually(t, func() bool {
		r := h.receipt(p, "alertmanager/team")
		return r.State == page.Waiting && len(r.Parts) == 1
	}, 60*time.Second, 5*time.Millisecond, "%s", h.log)
	h.restart()
	faults.Clear()
	h.shows(p, "alertmanager/team")
	r := h.receipt(p, "alertmanager/team")
	require.Equal(t, "webhook[0],webhook[1]", r.Ref)
	require.Empty(t, r.Parts)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, map[string]int{"/one": 1, "/two": 1}, told)
}
