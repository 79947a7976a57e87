//go:build linux

package throttle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters/netns/cgroup"
)

const (
	scanEvery   = 2 * time.Second // new cgroups are seen within it
	quotaEvery  = 5               // scans: a quota that is set later is seen within 10 s
	idleAfter   = time.Second     // without a period that had something to run
	idleStride  = 8               // ticks: an idle cgroup is read at every eighth
	maxStride   = 8               // ticks: a busy one at least at every eighth, however small the budget
	governEvery = time.Second
)

// Options are what a Sampler works with. Zero values stand for the defaults named.
type Options struct {
	Root     string // /sys/fs/cgroup
	Names    cgroup.Namer
	Inline   bool // app, container, namespace and pod on every series
	Log      *slog.Logger
	Interval time.Duration    // between two samples; 50 ms, half of the usual period
	Window   time.Duration    // of the maxima; 1 min
	Budget   float64          // CPU time per time above which it samples less often; 0.03
	MaxFiles int              // cgroups sampled at most; 4096, or half of the limit of open files
	Now      func() time.Time // time.Now
}

// Sampler reads the cgroups with a quota between scrapes. Run does it; Collect
// says what it has seen.
type Sampler struct {
	o    Options
	tree *cgroup.Tree

	mu      sync.Mutex
	watched map[string]*watch // by Group.ID
	order   []*watch          // those watched, in the order in which they are read
	buf     [1 << 10]byte
	skipped int // cgroups with a quota that are more than MaxFiles
	tick    int
	stride  int
	cpu     time.Duration // used by Run's thread

	scans int
	free  map[string]bool // by Group.ID: cgroups without a quota, when last looked
	descs []*prometheus.Desc
}

// watch is one cgroup under watch.
type watch struct {
	group  *cgroup.Group
	file   *cgroup.CPUStat
	stats  cgroup.Stats
	period time.Duration
	due    int // tick of the next reading
	busy   time.Time
	tally  tally
}

// New finds the CPU controller at o.Root. It returns an error if there is none.
func New(o Options) (*Sampler, error) {
	tree, err := cgroup.OpenCPU(o.Root)
	if err != nil {
		return nil, err
	}
	if o.Interval <= 0 {
		o.Interval = 50 * time.Millisecond
	}
	if o.Window <= 0 {
		o.Window = time.Minute
	}
	if o.Budget <= 0 {
		o.Budget = 0.03
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 4096
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		o.MaxFiles = int(min(uint64(o.MaxFiles), limit.Cur/2))
	}
	return &Sampler{o: o, tree: tree, watched: map[string]*watch{}, free: map[string]bool{}, stride: 1, descs: descs(families(o.Inline))}, nil
}

// Run samples until ctx ends, then closes what it holds. It keeps a thread for
// itself, whose CPU time it measures.
func (s *Sampler) Run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer s.close()
	ticks := time.NewTicker(s.o.Interval)
	defer ticks.Stop()
	var scanned, governed time.Time
	before := threadTime()
	spent := time.Duration(0)
	failing := false
	for {
		now := s.o.Now()
		if now.Sub(scanned) >= scanEvery {
			err := s.Scan(ctx)
			if err != nil && !failing && ctx.Err() == nil { // once, not every time
				s.o.Log.Warn("cgroups are not all seen", "err", err)
			}
			failing = err != nil
			scanned = now
		}
		s.Sample()
		used := threadTime()
		spent += used - before
		if since := now.Sub(governed); since >= governEvery {
			s.govern(spent, since)
			governed, spent = now, 0
		}
		s.mu.Lock()
		s.cpu += used - before
		s.mu.Unlock()
		before = used
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// govern samples half as often when it costs more than the budget, and twice as
// often again when it costs less than a third of it.
func (s *Sampler) govern(spent, since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch cost := float64(spent) / float64(since); {
	case cost > s.o.Budget:
		s.stride = min(s.stride*2, maxStride)
	case cost < s.o.Budget/3:
		s.stride = max(s.stride/2, 1)
	}
}

// Scan takes cgroups that have got a quota under watch and lets go of those that
// are gone. Run calls it; it is not to be called beside Run.
func (s *Sampler) Scan(ctx context.Context) error {
	groups, err := s.tree.Scan(ctx)
	if ctx.Err() != nil {
		return err
	}
	again := s.scans%quotaEvery == 0
	s.scans++
	there := make(map[string]bool, len(groups))
	skipped := 0
	for _, g := range groups {
		there[g.ID] = true
		if s.watched[g.ID] != nil || s.free[g.ID] && !again {
			continue
		}
		var stats cgroup.Stats
		if e := s.tree.Read(g, &stats); e != nil {
			if !errors.Is(e, cgroup.ErrGone) {
				err = errors.Join(err, e)
			}
			continue
		}
		if _, quota := stats.Get(cgroup.Quota); !quota {
			s.free[g.ID] = true
			continue
		}
		delete(s.free, g.ID)
		if len(s.watched) >= s.o.MaxFiles {
			skipped++
			continue
		}
		if e := s.watch(g, &stats); e != nil && !errors.Is(e, cgroup.ErrGone) {
			err = errors.Join(err, e)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipped = skipped
	for id, w := range s.watched {
		if !there[id] {
			s.drop(w)
		}
	}
	s.order = slices.DeleteFunc(s.order, (*watch).gone)
	for id := range s.free {
		if !there[id] {
			delete(s.free, id)
		}
	}
	return err
}

// watch takes g under watch.
func (s *Sampler) watch(g *cgroup.Group, stats *cgroup.Stats) error {
	file, err := s.tree.HoldCPUStat(g)
	if err != nil {
		return fmt.Errorf("hold cpu.stat of %s: %w", g.Path, err)
	}
	period, _ := stats.Get(cgroup.Period)
	w := &watch{group: g, file: file, period: time.Duration(period), busy: s.o.Now(), tally: newTally(s.o.Window)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched[g.ID] = w
	s.order = append(s.order, w)
	s.read(w, s.o.Now())
	w.due += len(s.watched) % idleStride // so that idle ones are not all read at once
	return nil
}

// drop lets go of a cgroup. It stays in order until the next Scan.
func (s *Sampler) drop(w *watch) {
	_ = w.file.Close()
	w.file = nil
	delete(s.watched, w.group.ID)
}

func (w *watch) gone() bool { return w.file == nil }

// Sample is one tick: it reads the cgroups whose turn it is.
func (s *Sampler) Sample() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick++
	now := s.o.Now()
	for _, w := range s.order {
		if w.due <= s.tick && !w.gone() {
			s.read(w, now)
		}
	}
}

// read reads one cgroup and says when its turn comes again: a period after one
// has ended, every tick until then, seldom while nothing runs.
func (s *Sampler) read(w *watch, now time.Time) {
	changed, err := w.file.Read(&w.stats, s.buf[:])
	if err != nil {
		s.drop(w)
		return
	}
	wait := s.stride
	switch {
	case changed && w.tally.add(now, &w.stats):
		w.busy = now
		wait = max(wait, int(w.period/s.o.Interval))
	case now.Sub(w.busy) > idleAfter:
		wait = max(wait, idleStride)
	}
	w.due = s.tick + wait
}

// close lets go of all.
func (s *Sampler) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watched {
		s.drop(w)
	}
}
