package names

import (
	"context"

	"github.com/tocsin/tocsin/exporters"
)

// Sources exposes how the sources of a Resolver do. A namespace without a name may
// have none, or its source does not answer.
type Sources struct {
	resolver         *Resolver
	success, entries *exporters.Family
}

var _ exporters.Exposer = (*Sources)(nil)

// answer is how a source did when it was asked last.
type answer struct {
	source  string
	ok      bool
	entries int // what it is known by, also of an earlier answer
}

// NewSources makes the collector.
func NewSources(r *Resolver) *Sources {
	of := func(name, help string) *exporters.Family {
		return &exporters.Family{Name: name, Help: help, Type: exporters.Gauge, Labels: []string{"source"}}
	}
	return &Sources{
		resolver: r,
		success:  of("netns_names_source_success", "1 where the source of names answered when it was asked last. With 0 the log says why; what it said before holds for ten minutes."),
		entries:  of("netns_names_source_entries", "Containers and pods that the source names."),
	}
}

// Name is "names".
func (*Sources) Name() string { return "names" }

// Families are all it may expose.
func (s *Sources) Families() []*exporters.Family { return []*exporters.Family{s.success, s.entries} }

// Expose writes a line for each source that has been asked.
func (s *Sources) Expose(_ context.Context, out *exporters.Text) error {
	s.resolver.mu.Lock()
	defer s.resolver.mu.Unlock()
	success, entries := out.Family(s.success), out.Family(s.entries)
	for _, a := range s.resolver.answers {
		label := exporters.AppendLabel(nil, "source", a.source)
		success.Uint(label, map[bool]uint64{true: 1}[a.ok])
		entries.Uint(label, uint64(a.entries))
	}
	return nil
}
