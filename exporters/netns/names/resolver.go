package names

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tocsin/tocsin/exporters/netns/nsproc"
)

const (
	refreshEvery = 30 * time.Second // what a source may know that no path led to: renames, new labels
	refreshGap   = time.Second      // between two refreshes, however many new containers are seen
	askWithin    = 3 * time.Second  // one source
	forgetAfter  = 10 * time.Minute // what a source said that no longer answers
	maxCached    = 50_000           // paths
	maxAsked     = 3                // times that the sources are asked at once for what they do not know
)

// Source lists what one API knows of the machine's containers.
type Source interface {
	// Name is the word for it in logs.
	Name() string
	// List returns all containers and pods. It keeps to ctx and caps what it reads.
	List(ctx context.Context) ([]Entry, error)
}

// Entry is what a source says of one container, or of a pod where ContainerID is
// empty or that of the pod's sandbox.
type Entry struct {
	ContainerID string
	PodUID      string
	Pod         bool // Name is the pod's, and so that of all its cgroups that are no container's
	Name        Name
}

// Options are what a Resolver works with.
type Options struct {
	Sources []Source // asked in parallel; where two know a thing, the first in this order counts
	Mapping *Mapping // may be nil; it counts before all sources
	Log     *slog.Logger
}

// Resolver answers from what is known. Run keeps it informed.
type Resolver struct {
	mapping *Mapping
	log     *slog.Logger
	wanted  chan struct{} // an unknown container was seen
	sources []*known

	mu    sync.Mutex
	index index
	cache map[string]Name // by path
	asked map[string]int  // how often a container or pod was wanted in vain
}

// known is a source and its last answer.
type known struct {
	Source
	entries []Entry
	at      time.Time
	failing bool
}

// index is what all sources said together.
type index struct {
	containers map[string]Name
	pods       map[string]Name
}

var _ nsproc.Namer = (*Resolver)(nil)

// New returns a Resolver that knows what paths say, until Run has asked.
func New(o Options) *Resolver {
	r := &Resolver{mapping: o.Mapping, log: o.Log, wanted: make(chan struct{}, 1), cache: map[string]Name{}, asked: map[string]int{}}
	for _, s := range o.Sources {
		r.sources = append(r.sources, &known{Source: s})
	}
	return r
}

// Resolve says whose the cgroup at path is. It never blocks on a source: what is
// not known yet is missing from the answer and known a moment later.
func (r *Resolver) Resolve(path string) Name {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, ok := r.cache[path]; ok {
		return n
	}
	ref := ParsePath(path)
	name, complete := r.index.find(ref)
	name = name.over(ref.name())
	if r.mapping != nil {
		name = r.mapping.Match(path).over(name)
	}
	name = name.clean()
	if len(r.cache) >= maxCached {
		clear(r.cache)
	}
	r.cache[path] = name
	if !complete {
		r.want(ref)
	}
	return name
}

// Name is Resolve for what reads network namespaces by their processes.
func (r *Resolver) Name(_ int, cgroup string) nsproc.Labels {
	n := r.Resolve(cgroup)
	return nsproc.Labels{Namespace: n.Namespace, Pod: n.Pod, Container: n.Container, ContainerID: n.ContainerID, App: n.App}
}

// want has the sources asked for a container they have not named, a few times.
func (r *Resolver) want(ref Ref) {
	id := ref.PodUID + "/" + ref.ContainerID
	if len(r.asked) >= maxCached {
		clear(r.asked)
	}
	if r.asked[id]++; r.asked[id] > maxAsked {
		return
	}
	select {
	case r.wanted <- struct{}{}:
	default:
	}
}

// find looks a Ref up. complete is false if a source may yet say more of it.
func (x index) find(r Ref) (n Name, complete bool) {
	if r.ContainerID != "" {
		var ok bool
		if n, ok = x.containers[r.ContainerID]; ok {
			return n.over(x.pods[r.PodUID]), true
		}
	}
	n, ok := x.pods[r.PodUID]
	return n, r.ContainerID == "" && (ok || r.PodUID == "")
}

// Run asks the sources now, every half a minute, and soon after Resolve has seen
// a container that none has named. It returns when ctx ends.
func (r *Resolver) Run(ctx context.Context) {
	if len(r.sources) == 0 {
		<-ctx.Done()
		return
	}
	every := time.NewTicker(refreshEvery)
	defer every.Stop()
	gap := time.NewTimer(0)
	defer gap.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-gap.C:
		}
		r.Refresh(ctx)
		gap.Reset(refreshGap)
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-r.wanted:
		}
	}
}

// Refresh asks all sources once, each for at most three seconds.
func (r *Resolver) Refresh(ctx context.Context) {
	var wait sync.WaitGroup
	for _, s := range r.sources {
		wait.Go(func() { s.refresh(ctx, r.log) })
	}
	wait.Wait()
	x := index{containers: map[string]Name{}, pods: map[string]Name{}}
	for _, s := range r.sources {
		for _, e := range s.entries {
			x.add(e)
		}
	}
	r.mu.Lock()
	r.index = x
	clear(r.cache)
	select { // what was wanted has been asked for
	case <-r.wanted:
	default:
	}
	r.mu.Unlock()
}

func (x index) add(e Entry) {
	if e.ContainerID != "" {
		x.containers[e.ContainerID] = x.containers[e.ContainerID].over(e.Name)
	}
	if e.PodUID != "" {
		ofPod := e.Name
		if !e.Pod {
			ofPod = Name{Namespace: e.Name.Namespace, Pod: e.Name.Pod}
		}
		x.pods[e.PodUID] = x.pods[e.PodUID].over(ofPod)
	}
}

// refresh asks a source; what it said last stays for a while when it does not answer.
func (k *known) refresh(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	entries, err := k.List(ctx)
	if err == nil {
		k.entries, k.at = entries, time.Now()
		k.failing = false
		return
	}
	if !k.failing { // once, not every time it is asked
		log.Warn("source of names does not answer", "source", k.Name(), "err", err)
	}
	k.failing = true
	if time.Since(k.at) > forgetAfter {
		k.entries = nil
	}
}
