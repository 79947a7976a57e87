package exporters

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Exporter collects what its Exposers have, once for all who ask at the same
// time, and serves it. Make one with New.
type Exporter struct {
	options Options
	sources map[string]*source
	names   []string // sorted
	self    selfFamilies
	zippers sync.Pool

	mu      sync.Mutex
	flights map[string]*flight // by the collectors asked for
	failing map[string]bool    // by collector; what was said in the log
	size    int                // of the last body, in bytes
}

// Options of an Exporter.
type Options struct {
	// Prefix begins the names of the exporter's own metrics: netns.
	Prefix string
	// Name and Description are shown on the landing page, Version with them.
	Name, Description, Version string
	// Exposers in use. Their names differ.
	Exposers []Exposer
	// Absent names collectors that were asked for and have nothing to read on this
	// machine. <prefix>_collector_available says so; asking for one is no mistake.
	Absent []string
	// Timeout of a scrape that brings no X-Prometheus-Scrape-Timeout-Seconds.
	Timeout time.Duration
	// TimeoutOffset is how long before the scraper's timeout the collectors are
	// told to end, so that what they have can still be sent. At most half of the
	// timeout is taken.
	TimeoutOffset time.Duration
	Log           *slog.Logger
}

// New checks the options.
func New(o Options) (*Exporter, error) {
	if o.Timeout <= 0 || o.TimeoutOffset < 0 {
		return nil, fmt.Errorf("timeout %s, offset %s: want a positive time and one that is not negative", o.Timeout, o.TimeoutOffset)
	}
	e := &Exporter{options: o, sources: map[string]*source{}, flights: map[string]*flight{}, failing: map[string]bool{}, self: newSelfFamilies(o.Prefix)}
	for _, x := range o.Exposers {
		if e.sources[x.Name()] != nil {
			return nil, fmt.Errorf("collector %s is there twice", x.Name())
		}
		e.sources[x.Name()] = &source{exposer: x}
		e.names = append(e.names, x.Name())
	}
	slices.Sort(e.names)
	whose := map[string]bool{}
	for _, f := range e.Families() {
		if whose[f.Name] {
			return nil, fmt.Errorf("metric %s is there twice", f.Name)
		}
		whose[f.Name] = true
	}
	return e, nil
}

type selfFamilies struct{ available, success, duration, cpu *Family }

func newSelfFamilies(prefix string) selfFamilies {
	by := []string{"collector"}
	return selfFamilies{
		available: &Family{
			Name: prefix + "_collector_available", Type: Gauge, Labels: by,
			Help: "1 where the machine has what the collector reads. With 0 the collector is off; the log says why.",
		},
		success: &Family{
			Name: prefix + "_scrape_collector_success", Type: Gauge, Labels: by,
			Help: "1 where the collector brought all it has before the deadline. With 0 there may be partial results.",
		},
		duration: &Family{
			Name: prefix + "_scrape_collector_duration_seconds", Type: Gauge, Labels: by,
			Help: "Time the collector took for this scrape.",
		},
		cpu: &Family{
			Name: prefix + "_scrape_collector_cpu_seconds_total", Type: Counter, Labels: by,
			Help: "CPU time, user and system, which the collector itself took, reading and writing out.",
		},
	}
}

// flight is one collection, shared by those who ask while it is under way.
type flight struct {
	parts []*part  // nil where the source is busy with an earlier one
	names []string // of the parts
	leave time.Time
	done  chan struct{}
	body  []byte // set before done is closed

	landing sync.Mutex // held while the parts are given back, or read before that

	zip    sync.Once
	zipped []byte
}

// scrape returns what the named collectors have at the deadline, by which they
// are all done or are left behind. An error is ctx's.
func (e *Exporter) scrape(ctx context.Context, names []string, timeout time.Duration) (*flight, error) {
	offset := min(e.options.TimeoutOffset, timeout/2)
	now := time.Now()
	f := e.board(names, now.Add(timeout-offset), now.Add(timeout-offset/2))
	// who has less time than the one who began takes what is there by then
	alarm := time.NewTimer(timeout - offset/2)
	defer alarm.Stop()
	select {
	case <-f.done:
		return f, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-alarm.C:
		return e.early(f), nil
	}
}

// early is what a flight has so far.
func (e *Exporter) early(f *flight) *flight {
	f.landing.Lock()
	defer f.landing.Unlock()
	select {
	case <-f.done:
		return f
	default:
		return &flight{body: e.render(f)}
	}
}

// board joins the flight of these collectors or begins it.
func (e *Exporter) board(names []string, deadline, leave time.Time) *flight {
	key := strings.Join(names, " ")
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.flights[key]; f != nil && time.Now().Before(f.leave) {
		return f
	}
	f := &flight{names: names, leave: leave, done: make(chan struct{})}
	for _, name := range names {
		f.parts = append(f.parts, e.sources[name].join(deadline))
	}
	e.flights[key] = f
	go e.fly(key, f)
	return f
}

// fly waits for the parts, renders and lets the passengers out.
func (e *Exporter) fly(key string, f *flight) {
	ctx, cancel := context.WithDeadline(context.Background(), f.leave)
	defer cancel()
	for _, p := range f.parts {
		if p == nil {
			continue
		}
		select {
		case <-p.done:
		case <-ctx.Done():
		}
	}
	body := e.render(f)
	for i, p := range f.parts {
		e.report(f.names[i], p)
	}
	e.mu.Lock()
	if e.flights[key] == f {
		delete(e.flights, key)
	}
	e.size = max(len(body), e.size*9/10)
	e.mu.Unlock()
	f.landing.Lock()
	defer f.landing.Unlock()
	f.body = body
	close(f.done)
	for _, p := range f.parts {
		if p != nil {
			p.release()
		}
	}
}

// render writes what the parts have now, done or not.
func (e *Exporter) render(f *flight) []byte {
	own := newText()
	success, duration, cpu := own.Family(e.self.success), own.Family(e.self.duration), own.Family(e.self.cpu)
	texts := []*Text{own}
	var label []byte
	e.availability(own)
	for i, p := range f.parts {
		label = AppendLabel(label[:0], "collector", f.names[i])
		ok, _ := outcome(p)
		success.Uint(label, map[bool]uint64{true: 1}[ok])
		if p == nil {
			continue
		}
		texts = append(texts, p.text)
		select {
		case <-p.done:
			duration.Float(label, p.took.Seconds())
			cpu.Float(label, p.cpu.Seconds())
		default:
			duration.Float(label, time.Since(p.began).Seconds())
		}
	}
	e.mu.Lock()
	size := e.size
	e.mu.Unlock()
	return render(make([]byte, 0, size+size/8), texts...)
}

// availability says of all collectors, whichever were asked for.
func (e *Exporter) availability(own *Text) {
	l := own.Family(e.self.available)
	for _, name := range e.names {
		l.Uint(AppendLabel(nil, "collector", name), 1)
	}
	for _, name := range e.options.Absent {
		l.Uint(AppendLabel(nil, "collector", name), 0)
	}
}

func outcome(p *part) (ok bool, err error) {
	if p == nil {
		return false, ErrBusy
	}
	select {
	case <-p.done:
		return p.err == nil, p.err
	default:
		return false, context.DeadlineExceeded
	}
}

// report logs when a collector begins to fail and when it is well again, not
// every scrape in between.
func (e *Exporter) report(name string, p *part) {
	ok, err := outcome(p)
	e.mu.Lock()
	was := e.failing[name]
	e.failing[name] = !ok
	e.mu.Unlock()
	switch {
	case !ok && !was:
		e.options.Log.Warn("collector fails", "collector", name, "err", err)
	case ok && was:
		e.options.Log.Info("collector is well again", "collector", name)
	}
}

// gzip compresses a body once for all who share it.
func (e *Exporter) gzip(f *flight) []byte {
	f.zip.Do(func() {
		z, _ := e.zippers.Get().(*gzip.Writer)
		var buf bytes.Buffer
		buf.Grow(len(f.body)/8 + 512)
		if z == nil {
			z, _ = gzip.NewWriterLevel(&buf, gzip.BestSpeed) // the level is one it knows
		} else {
			z.Reset(&buf)
		}
		_, _ = z.Write(f.body) // a bytes.Buffer takes everything
		_ = z.Close()
		e.zippers.Put(z)
		f.zipped = buf.Bytes()
	})
	return f.zipped
}
