package store

import (
	"encoding/binary"
	"time"
)

// Fields takes numbers and texts off the front of Rest: with it the engines read
// what they wrote with encoding/binary's AppendVarint and AppendUvarint.
type Fields struct {
	Rest  []byte
	Short bool // something was asked for that was not there whole
}

// Byte takes one byte.
func (f *Fields) Byte() byte {
	if len(f.Rest) == 0 {
		f.Short = true
		return 0
	}
	b := f.Rest[0]
	f.Rest = f.Rest[1:]
	return b
}

// Varint takes a signed number.
func (f *Fields) Varint() int64 {
	v, n := binary.Varint(f.Rest)
	f.skip(n)
	return v
}

// Uvarint takes an unsigned number.
func (f *Fields) Uvarint() uint64 {
	v, n := binary.Uvarint(f.Rest)
	f.skip(n)
	return v
}

// Text takes a length and so many bytes.
func (f *Fields) Text() string {
	n := f.Uvarint()
	if n > uint64(len(f.Rest)) {
		f.Short = true
		return ""
	}
	s := string(f.Rest[:n])
	f.Rest = f.Rest[n:]
	return s
}

func (f *Fields) skip(n int) {
	if n <= 0 {
		f.Short = true
		return
	}
	f.Rest = f.Rest[n:]
}

// Nanos is t in Unix nanoseconds, 0 for the zero time.
func Nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Instant turns Nanos back.
func Instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
