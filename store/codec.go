package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// MaxDecoded is the most bytes of JSON a value may hold.
const MaxDecoded = 64 << 20

// The forms of a value, named by its first byte. A form is never changed, a
// new one is added: values outlive the release that wrote them.
const (
	formJSON = 1
	formZstd = 2 // JSON in one zstd frame
)

// smallest is the length from which on compressing is tried. An encoder costs
// 50 µs and 280 KB to make, and one is made for each value: a shared one would
// be a global, and would tie everything that is stored to one synctest bubble.
const smallest = 4 << 10

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
	if len(text) >= smallest {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("encode value: %w", err)
		}
		out := enc.EncodeAll(text, append(make([]byte, 0, len(text)/3), formZstd))
		if len(out) <= len(text) {
			return out, nil
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
	default:
		return nil, fmt.Errorf("form %d is unknown: was it written by a newer release?", form)
	}
}
