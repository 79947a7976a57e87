package pipeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

// timeline reads the pipeline's lines of a problem, in order.
func (w *world) timeline(problem string) []page.Entry {
	recs, err := w.store.Scan(w.t.Context(), store.TimelinePrefix(problem), "", 1000)
	require.NoError(w.t, err)
	var out []page.Entry
	for _, r := range recs {
		var e page.Entry
		require.NoError(w.t, store.Unmarshal(r.Value, &e))
		out = append(out, e)
	}
	return out
}

func texts(entries []page.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Text)
	}
	return out
}

func TestTheTimelineSaysWhy(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ask = func(_ context.Context, _ page.Problem) page.Context { return deploy("v42") }
		w.active = func() ([]page.Alert, error) { return nil, nil }
		for _, line := range []string{"0 a+", "1 a+ b+", "2 a+ b+", "3 a+ b+", "4 a+ b+", "5 b+", "6 b-"} {
			w.send(line)
			w.after(2 * time.Second)
		}
		w.send("0 b+") // the slow peer
		w.after(20 * time.Second)
		w.send("60 a+")
		w.after(time.Minute)
		all := w.timeline(snapshot(t, "0 a+").Problem)
		require.Equal(t, []string{
			"opened: 1 alert fires; 38 of 40 failing share deploy=v42 (6 % of healthy do); to test/test",
			"changed: 1 joined, 0 left; to test/test",
			"context brought nothing new",
			"repeated: nothing new; further ones get no line",
			"changed: 0 joined, 1 left; to test/test",
			"closed: no alert fires any more; to test/test",
			"held: 1 alert fires that resolved a moment ago; Alertmanager is asked",
			"an echo: Alertmanager knows of none of the alerts that were held",
			"opened: 1 alert fires; 38 of 40 failing share deploy=v42 (6 % of healthy do); to test/test",
		}, texts(all))
		first := all[0]
		require.Equal(t, "pipeline", first.Room)
		require.Equal(t, 1, first.Episode)
		require.Equal(t, uint64(1), first.Revision)
		require.Equal(t, "notified", first.Kind)
		require.Equal(t, 2, all[len(all)-1].Episode)
	})
}
