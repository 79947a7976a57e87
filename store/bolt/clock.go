package bolt

import "time"

// clock is what leases and due times are measured by: it goes on evenly while
// somebody sets the wall clock. With a wall clock that jumps ahead, a lease
// would end under a call that is still on its way; with one that jumps back,
// what is due in a second would be due in an hour. Due times are in the file by
// this clock, and it never begins before the file's last commit: what had a
// moment to wait still has, however often the wall clock was set back meanwhile.
type clock struct {
	wall  func() time.Time
	start time.Time // with its monotonic reading
	base  int64     // the wall clock then, Unix nanoseconds
}

// setBy is how far the wall clock is off when somebody has set it: below that
// it was read a little earlier, or drifts.
const setBy = 100 * time.Millisecond

func newClock(wall func() time.Time) clock {
	return clock{wall: wall, start: time.Now(), base: wall().UnixNano()}
}

// atLeast lets the clock begin no earlier than t. Nobody may read it yet.
func (c *clock) atLeast(t int64) { c.base = max(c.base, t) }

// now is the time in nanoseconds: the wall clock's as long as nobody sets that.
func (c clock) now() int64 { return c.base + int64(time.Since(c.start)) }

// offset is how far the clock is ahead of a wall clock that was set, else 0.
func (c clock) offset() int64 {
	off := c.now() - c.wall().UnixNano()
	if time.Duration(off).Abs() < setBy {
		return 0
	}
	return off
}

// shift moves a time by an offset; 0, which is none, stays 0.
func shift(t, offset int64) int64 {
	if t == 0 {
		return 0
	}
	return t + offset
}
