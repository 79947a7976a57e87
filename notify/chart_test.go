package notify_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/store"
)

// painter is a scripted target that shows charts.
type painter struct {
	*scripted
	mu    sync.Mutex
	drawn []notify.Message
	errs  []error // of Chart, in order; nil after the last
	takes time.Duration
}

func (p *painter) Chart(_ context.Context, m notify.Message, c page.Chart) error {
	time.Sleep(p.takes) //nolint:forbidigo // virtual time
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Title == "" {
		return class(remote.Content)
	}
	p.drawn = append(p.drawn, m)
	if len(p.errs) > 0 {
		err := p.errs[0]
		p.errs = p.errs[1:]
		return err
	}
	return nil
}

func (p *painter) shown() []notify.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]notify.Message(nil), p.drawn...)
}

// sightless paints, and cannot be asked.
type sightless struct {
	notify.Notifier
	notify.Charter
}

func paint(t *testing.T, f *painter, body func(*testing.T, *timed)) {
	t.Helper()
	f.scripted = &scripted{other: f}
	virtually(t, f.scripted, body)
}

// charted writes a problem's chart and the work for it, as the pipeline does.
func (v *timed) charted(t *testing.T, p page.Problem) {
	t.Helper()
	p.Told = []string{"scripted/x"}
	value, err := store.Marshal(page.Chart{Title: "HighErrors"})
	require.NoError(t, err)
	ops := v.router.Chart(p)
	require.Len(t, ops, 1)
	require.NoError(t, v.store.Apply(t.Context(), append(ops, store.Put(store.ChartKey(p.ID, p.Episode), value))...))
}

func (v *timed) chartReceipt(t *testing.T, p page.Problem) (r page.Receipt) {
	t.Helper()
	rec, err := v.store.Get(t.Context(), store.ReceiptKey(p.ID, p.Episode, "scripted/x/chart"))
	require.NoError(t, err)
	require.NoError(t, store.Unmarshal(rec.Value, &r))
	return r
}

func TestAChartIsShownOnceBesideItsMessage(t *testing.T) {
	f := &painter{}
	paint(t, f, func(t *testing.T, v *timed) {
		require.Empty(t, v.router.Chart(problem(id(1))), "nobody was told yet")
		p := problem(id(1))
		v.charted(t, p) // before its message stands
		pass(3 * time.Second)
		require.Empty(t, f.shown())
		v.put(t, p)
		pass(time.Minute)
		v.charted(t, p)
		pass(time.Minute)
		drawn := f.shown()
		require.Len(t, drawn, 1)
		require.Equal(t, "ref", drawn[0].Receipt.Ref)
		require.Equal(t, v.receipt(t, p).Delivery+"/chart", drawn[0].Receipt.Marker)
		require.Equal(t, page.Sent, v.chartReceipt(t, p).State)
		require.Equal(t, page.Sent, v.receipt(t, p).State)
		require.Zero(t, v.items(t))
	})
}

func TestAChartThatMayBeThereIsNotSentAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		errs, finds []error
		blind       bool
		drawn       int
		state       page.DeliveryState
	}{
		"found":                 {errs: []error{class(remote.Unknown)}, finds: []error{errFound}, drawn: 1, state: page.Sent},
		"surely not there":      {errs: []error{class(remote.Unknown)}, drawn: 2, state: page.Sent},
		"nobody can be asked":   {errs: []error{class(remote.Unknown)}, finds: []error{class(remote.Config)}, drawn: 1, state: page.Failed},
		"the kind cannot ask":   {errs: []error{class(remote.Unknown)}, blind: true, drawn: 1, state: page.Failed},
		"refused":               {errs: []error{class(remote.Content)}, drawn: 1, state: page.Failed},
		"not sent for a while":  {errs: []error{class(remote.NotSent), class(remote.NotSent)}, drawn: 3, state: page.Sent},
		"not sent, again and …": {errs: []error{class(remote.NotSent), class(remote.NotSent), class(remote.NotSent), class(remote.NotSent), class(remote.NotSent)}, drawn: 5, state: page.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			f := &painter{errs: tc.errs}
			f.scripted = &scripted{finds: tc.finds}
			f.other = f
			if tc.blind {
				f.other = sightless{f.scripted, f}
			}
			virtually(t, f.scripted, func(t *testing.T, v *timed) {
				p := problem(id(1))
				v.put(t, p)
				pass(time.Second)
				v.charted(t, p)
				pass(10 * time.Minute)
				require.Len(t, f.shown(), tc.drawn)
				require.Equal(t, tc.state, v.chartReceipt(t, p).State)
				require.Equal(t, page.Sent, v.receipt(t, p).State)
				require.Zero(t, v.items(t))
			})
		})
	}
}

func TestAChartWithoutItsMessageIsGivenUp(t *testing.T) {
	f := &painter{}
	paint(t, f, func(t *testing.T, v *timed) {
		v.put(t, resolve(problem(id(1))))
		v.charted(t, problem(id(2)))
		value, err := store.Marshal(problem(id(2)).View())
		require.NoError(t, err)
		require.NoError(t, v.store.Apply(t.Context(), store.Put(store.PageKey(id(2), 1), value)))
		pass(time.Hour)
		require.Empty(t, f.shown())
		require.Zero(t, v.items(t))
	})
}

// Charts that hang take one worker: pages go on as if there were none.
func TestChartsHoldUpNoPage(t *testing.T) {
	f := &painter{takes: 25 * time.Second}
	paint(t, f, func(t *testing.T, v *timed) {
		const old = 10
		for i := range old {
			v.put(t, problem(id(i)))
		}
		pass(time.Second)
		for i := range old {
			v.charted(t, problem(id(i)))
		}
		pass(5 * time.Second)
		for i := range old {
			v.put(t, warning(problem(id(old+i))))
			v.put(t, revised(problem(id(i)), 2, 39))
		}
		pass(2500 * time.Millisecond)
		for i := range old {
			require.Equal(t, page.Sent, v.receipt(t, problem(id(old+i))).State, "a new page, %d", i)
			require.Equal(t, uint64(2), v.receipt(t, problem(id(i))).Revision, "an edit, %d", i)
		}
		require.Empty(t, f.shown(), "the first is not done yet")
		pass(20 * time.Minute)
		require.Len(t, f.shown(), old)
		require.Zero(t, v.items(t))
	})
}
