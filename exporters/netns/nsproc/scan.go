package nsproc

import (
	"bytes"
	"math"
)

// The files of /proc/net are lines of words. What follows cuts them without
// allocating: a word is a piece of the buffer the file was read into.

// cutLine returns the first line without its end, and what is after it.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return line, rest
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// cutWord returns the first word and what is after it; an empty word is the end.
func cutWord(b []byte) (word, rest []byte) {
	i := 0
	for i < len(b) && blank(b[i]) {
		i++
	}
	j := i
	for j < len(b) && !blank(b[j]) {
		j++
	}
	return b[i:j], b[j:]
}

// decimal reads a number that fills its word. A negative one (MaxConn is -1) and
// one that does not fit are not a count of anything: ok is false.
func decimal(word []byte) (v uint64, ok bool) {
	if len(word) == 0 {
		return 0, false
	}
	for _, c := range word {
		d := uint64(c - '0')
		if d > 9 || v > math.MaxUint64/10 || v*10 > math.MaxUint64-d {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

// hexadecimal reads a number that fills its word, of up to 16 digits.
func hexadecimal(word []byte) (v uint64, ok bool) {
	if len(word) == 0 || len(word) > 16 {
		return 0, false
	}
	for _, c := range word {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
