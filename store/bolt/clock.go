package bolt

import "time"

// clock is what leases and due times are measured by: it goes on evenly while
// somebody sets the wall clock. With a wall clock that jumps ahead, a lease
// would end under a call that is still on its way; with one that jumps back,
// what is due in a second would be due in an hour.
type clock struct {
	wall  func() time.Time
	start time.Time // with its monotonic reading
	base  int64     // the wall clock then, Unix nanoseconds
}

func newClock(wall func() time.Time) clock {
	return clock{wall: wall, start: time.Now(), base: wall().UnixNano()}
}

// now is the time in nanoseconds: the wall clock's as long as nobody sets that.
func (c clock) now() int64 { return c.base + int64(time.Since(c.start)) }

// offset is how far the clock is ahead of the wall clock.
func (c clock) offset() int64 { return c.now() - c.wall().UnixNano() }

// steady turns a time of the wall clock, as the file and callers have it, into
// one of this clock; 0 stays 0.
func (c clock) steady(t int64) int64 {
	if t == 0 {
		return 0
	}
	return t + c.offset()
}
