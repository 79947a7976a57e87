package page

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Labels is a label set. Names and values come from outside and are untrusted:
// they are data to show or to match exactly, never text to interpret.
type Labels map[string]string

// ID returns the hex SHA-256 of the label set. Alertmanager's own fingerprint
// is a 64-bit FNV that hostile labels can collide, so identity never rests on it.
func (l Labels) ID() string {
	parts := make([]string, 0, 2*len(l))
	for _, name := range l.Names() {
		parts = append(parts, name, l[name])
	}
	return digest(parts...)
}

// Names returns the label names in byte order.
func (l Labels) Names() []string { return slices.Sorted(maps.Keys(l)) }

// Clone returns a copy that shares nothing with l.
func (l Labels) Clone() Labels { return maps.Clone(l) }

// String returns the set as `a=1 AND b=2`, in byte order of the names.
func (l Labels) String() string {
	parts := make([]string, 0, len(l))
	for _, name := range l.Names() {
		parts = append(parts, name+"="+l[name])
	}
	return strings.Join(parts, " AND ")
}

// Matchers writes the set as Alertmanager writes matchers: `service="checkout"`,
// in byte order of the names. Names beyond the classic ones are quoted.
func (l Labels) Matchers() []string {
	const classic = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	out := make([]string, 0, len(l))
	for _, name := range l.Names() {
		label := name
		if strings.Trim(name, classic) != "" {
			label = strconv.Quote(name)
		}
		out = append(out, label+"="+strconv.Quote(l[name]))
	}
	return out
}

// digest hashes length-prefixed parts, so that no two different lists of parts
// have the same digest by moving a byte from one part to its neighbour.
func digest(parts ...string) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}
