package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// MaxDecoded is the most bytes of JSON a value may hold.
const MaxDecoded = 64 << 20

// The forms of a value, named by its first byte. A form is never changed, a
// new one is added: values outlive the release that wrote them.
const (
	formJSON = 1
	formZstd = 2 // JSON in one zstd frame
	formS2   = 3 // JSON in one S2 block
)

// From smallest bytes of JSON on compressing is tried: by S2, which takes 2 µs
// and keeps nothing between calls, and from large on by zstd, which stores a
// quarter less. A zstd encoder costs 50 µs and 280 KB to make, and one is made
// for each value: a shared one would be a global, and would tie everything that
// is stored to one synctest bubble.
const (
	smallest = 256
	large    = 16 << 10
)

// ErrTooLarge says that a value is larger than MaxDecoded.
var ErrTooLarge = errors.New("value too large")

// Marshal returns v as a record's value: a byte that names the form, then JSON,
// compressed where that is shorter.
func Marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // no browser reads it, and it would grow sixfold
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode value: %w", err)
	}
	text := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	if len(text) > MaxDecoded {
		return nil, fmt.Errorf("encode value of %d bytes: %w", len(text), ErrTooLarge)
	}
	switch {
	case len(text) >= large:
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("encode value: %w", err)
		}
		out := enc.EncodeAll(text, append(make([]byte, 0, len(text)/3), formZstd))
		if len(out) <= len(text) {
			return out, nil
		}
	case len(text) >= smallest:
		out := make([]byte, 1+s2.MaxEncodedLen(len(text)))
		out[0] = formS2
		if n := 1 + len(s2.EncodeBetter(out[1:], text)); n <= len(text) {
			return append(make([]byte, 0, n), out[:n]...), nil // not the room that it might have taken
		}
	}
	return append(append(make([]byte, 0, len(text)+1), formJSON), text...), nil
}

// Unmarshal reads a value of Marshal into v. Damaged or hostile bytes are an
// error, and never make it hold more than MaxDecoded bytes of text.
func Unmarshal(b []byte, v any) error {
	text, err := plain(b)
	if err != nil {
		return fmt.Errorf("decode value: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("decode value: %w", err)
	}
	return nil
}

// plain returns the JSON inside a value.
func plain(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("it is empty")
	}
	form, body := b[0], b[1:]
	switch form {
	case formJSON:
		if len(body) > MaxDecoded {
			return nil, ErrTooLarge
		}
		return body, nil
	case formZstd:
		// A reader of our own, for the shared one would expand a bomb to 1 GiB.
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(MaxDecoded))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		text, err := r.DecodeAll(body, nil)
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			err = ErrTooLarge
		}
		return text, err
	case formS2:
		n, err := s2.DecodedLen(body)
		if err != nil {
			return nil, err
		}
		if n > MaxDecoded {
			return nil, ErrTooLarge
		}
		return s2.Decode(nil, body)
	default:
		return nil, fmt.Errorf("form %d is unknown: was it written by a newer release?", form)
	}
}
