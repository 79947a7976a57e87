//go:build linux

package cgroup

// Field is one thing that can be read of a cgroup.
type Field int

// The fields. Times are in nanoseconds, memory in bytes. A cgroup without a
// controller, an older kernel or a root cgroup lack some; a limit is absent
// where there is none.
const (
	Usage            Field = iota
	User                   // v2 only
	System                 // v2 only
	Periods                // of the cgroup's own quota
	Throttled              // periods in which the own quota ran out
	ThrottledTime          // by the own quota, summed over CPUs
	ThrottledLocal         // by the own quota or an ancestor's, summed over CPUs; Linux 6.6
	Bursts                 // periods that used saved quota
	BurstTime              //
	Quota                  // per Period
	Period                 //
	BurstLimit             //
	Memory                 //
	MemoryMax              // limit
	MemoryHigh             // limit above which it is slowed down; v2 only
	MemoryLowEvents        // reclaimed although below its protection; v2 only
	MemoryHighEvents       // went over MemoryHigh; v2 only
	MemoryMaxEvents        // ran into MemoryMax
	OOMs                   // could not allocate; v2 only
	OOMKills               // processes killed for want of memory
	Pids                   // tasks: processes and threads
	PidsMax                // limit
	PidsRefused            // forks refused by the limit
	CPUSome                // pressure (PSI): some tasks waited
	CPUFull                // all tasks waited; Linux 5.13
	MemorySome
	MemoryFull
	IOSome
	IOFull

	fieldCount
)

// Stats is what one reading of a cgroup found.
type Stats struct {
	// Tasks says whether a process is in the cgroup itself, not below it.
	Tasks bool

	has    uint64
	values [fieldCount]uint64
}

// Get returns a field, and whether it was there.
func (s *Stats) Get(f Field) (v uint64, ok bool) {
	return s.values[f], s.has&(1<<f) != 0
}

// Set sets a field.
func (s *Stats) Set(f Field, v uint64) {
	s.values[f] = v
	s.has |= 1 << f
}
