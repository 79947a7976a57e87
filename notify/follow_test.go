package notify_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// talker is a scripted target that says beside its message what changed.
type talker struct {
	*scripted
	mu      sync.Mutex
	errs    []error // of Follow, in order; nil after the last
	lost    []error // after the update was said all the same
	said    []string
	keys    map[string]bool // markers of what was said
	further bool
}

func (f *talker) Follow(_ context.Context, m notify.Message) (page.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) > 0 {
		err := f.errs[0]
		if f.errs = f.errs[1:]; err != nil {
			return m.Receipt, err
		}
	}
	line := ""
	for _, u := range m.Updates {
		line += fmt.Sprint(u.N, " ")
	}
	if m.Plain {
		line += "plain"
	}
	if m.Repeat {
		line += "repeat"
	}
	f.said = append(f.said, line)
	if f.keys == nil {
		f.keys = map[string]bool{}
	}
	f.keys[m.Receipt.Marker] = true
	r := m.Receipt
	r.Followed = m.Updates[len(m.Updates)-1].N
	if f.further {
		r.Further = append(r.Further, "further-"+fmt.Sprint(r.Followed))
	}
	if len(f.lost) > 0 {
		err := f.lost[0]
		f.lost = f.lost[1:]
		return m.Receipt, err
	}
	return r, nil
}

// Find knows a follow by its marker.
func (f *talker) Find(ctx context.Context, m notify.Message) (page.Receipt, bool, error) {
	if m.Verb != notify.VerbFollow {
		return f.scripted.Find(ctx, m)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return m.Receipt, f.keys[m.Receipt.Marker], nil
}

func (f *talker) heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.said...)
}

// mute hides that a target can be asked.
type mute struct {
	notify.Notifier
	notify.Follower
}

// updated is the next revision of a problem, with n updates.
func updated(p page.Problem, n int) page.Problem {
	p.Told, p.Revision, p.Updates = []string{"scripted/x"}, p.Revision+1, nil
	for i := range n {
		p.Updates = append(p.Updates, page.Update{N: i + 1, Kind: page.UpdateJoined, At: time.Now(), Text: fmt.Sprint("update ", i+1)})
	}
	return p
}

func talk(t *testing.T, f *talker, body func(*testing.T, *timed)) {
	t.Helper()
	f.scripted = &scripted{other: f}
	virtually(t, f.scripted, body)
}

func TestUpdatesAreSaidOnceAndFolded(t *testing.T) {
	f := &talker{further: true}
	talk(t, f, func(t *testing.T, v *timed) {
		p := problem(id(1))
		p.Updates = updated(p, 1).Updates // was there before the page left: the first message holds it
		v.put(t, p)
		pass(time.Second)
		require.Empty(t, f.heard())
		require.Equal(t, 1, v.receipt(t, p).Followed)
		v.put(t, updated(p, 4))
		pass(time.Second)
		require.Equal(t, []string{"2 3 4 "}, f.heard())
		p = updated(p, 4)
		v.put(t, updated(p, 4)) // an edit with nothing new to say
		pass(time.Second)
		v.put(t, updated(updated(p, 4), 5))
		pass(time.Second)
		require.Equal(t, []string{"2 3 4 ", "5 "}, f.heard())
		r := v.receipt(t, p)
		require.Equal(t, page.Sent, r.State)
		require.Equal(t, 5, r.Followed)
		require.Equal(t, []string{"further-4", "further-5"}, r.Further)
		require.Empty(t, r.Marker)
		require.Zero(t, v.items(t))
	})
}

func TestAFollowOfUnknownOutcomeIsFoundByItsMarker(t *testing.T) {
	f := &talker{lost: []error{class(remote.Unknown)}}
	talk(t, f, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Second)
		p = updated(p, 2)
		v.put(t, p)
		pass(time.Second)
		r := v.receipt(t, p)
		require.Equal(t, page.Ambiguous, r.State)
		require.Equal(t, r.Delivery+"/f2", r.Marker)
		p = updated(p, 3) // comes while nobody knows of the first two
		v.put(t, p)
		pass(time.Minute)
		require.Equal(t, []string{"1 2 ", "3 "}, f.heard())
		require.Equal(t, 3, v.receipt(t, p).Followed)
		require.Zero(t, v.items(t))
	})
}

// What may be there is said again as it was, for a service that knows it by its
// marker; what surely is not there takes in what came since.
func TestAFollowThatIsNotFoundIsSaidAgainAsItWas(t *testing.T) {
	for name, tc := range map[string]struct {
		errs []error
		want []string
	}{
		"unknown":               {[]error{class(remote.Unknown)}, []string{"1 2 ", "3 "}},
		"unknown, then refused": {[]error{class(remote.Unknown), class(remote.NotSent)}, []string{"1 2 ", "3 "}},
		"not sent":              {[]error{class(remote.NotSent)}, []string{"1 2 3 "}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &talker{errs: tc.errs}
			talk(t, f, func(t *testing.T, v *timed) {
				p := problem(id(1))
				v.put(t, p)
				pass(time.Second)
				p = updated(p, 2)
				v.put(t, p)
				pass(100 * time.Millisecond)
				p = updated(p, 3)
				v.put(t, p)
				pass(5 * time.Minute)
				require.Equal(t, tc.want, f.heard())
				require.Equal(t, page.Sent, v.receipt(t, p).State)
				require.Zero(t, v.items(t))
			})
		})
	}
}

func TestWhoCannotBeAskedIsFollowedAgainMarked(t *testing.T) {
	f := &talker{lost: []error{class(remote.Unknown)}}
	f.scripted = &scripted{}
	f.other = mute{f.scripted, f}
	virtually(t, f.scripted, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Second)
		v.put(t, updated(p, 2))
		pass(time.Minute)
		require.Equal(t, []string{"1 2 ", "1 2 repeat"}, f.heard())
	})
}

func TestAFollowThatIsRefusedHoldsUpNothing(t *testing.T) {
	f := &talker{errs: []error{class(remote.Content), nil, class(remote.Content), class(remote.Content)}}
	talk(t, f, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Second)
		p = updated(p, 1)
		v.put(t, p)
		pass(time.Second)
		require.Equal(t, []string{"1 plain"}, f.heard())
		p = updated(p, 2)
		v.put(t, p)
		pass(time.Second)
		require.Equal(t, []string{"1 plain"}, f.heard(), "given up")
		r := v.receipt(t, p)
		require.Equal(t, page.Sent, r.State, "the message stands")
		require.Equal(t, 2, r.Followed)
		require.NotEmpty(t, r.Error)
		p = updated(p, 3)
		v.put(t, p)
		pass(time.Second)
		require.Equal(t, []string{"1 plain", "3 "}, f.heard())
	})
}

// A follow that fails does not undo the message, and later edits go first.
func TestEditsGoBeforeAFollowThatFails(t *testing.T) {
	errs := make([]error, 5000)
	for i := range errs {
		errs[i] = class(remote.Config)
	}
	f := &talker{errs: errs}
	talk(t, f, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Second)
		p = updated(p, 1)
		v.put(t, p)
		pass(2 * time.Second)
		p = resolve(updated(p, 2))
		p.Told = []string{"scripted/x"}
		v.put(t, p)
		pass(time.Minute)
		r := v.receipt(t, p)
		require.Equal(t, p.Revision, r.Revision)
		require.True(t, r.Resolved)
		require.Equal(t, page.Waiting, r.State)
		pass(25 * time.Hour)
		require.Zero(t, v.items(t), "nothing waits for ever")
		require.Equal(t, page.Sent, v.receipt(t, p).State)
		require.Empty(t, f.heard())
	})
}

func TestAThreadWhoseMessageIsGoneBeginsAnew(t *testing.T) {
	f := &talker{errs: []error{class(remote.Gone)}}
	talk(t, f, func(t *testing.T, v *timed) {
		p := problem(id(1))
		v.put(t, p)
		pass(time.Second)
		p = updated(p, 2)
		v.put(t, p)
		pass(time.Second)
		var verbs []notify.Verb
		for _, c := range v.made() {
			verbs = append(verbs, c.verb)
		}
		require.Equal(t, []notify.Verb{notify.VerbOpen, notify.VerbUpdate, notify.VerbOpen}, verbs)
		require.Empty(t, f.heard(), "the new message holds it")
		require.Equal(t, page.Sent, v.receipt(t, p).State)
		require.Zero(t, v.items(t))
	})
}
