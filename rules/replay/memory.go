package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	maxAnswer = 256 << 20          // bytes of an answer that is read again
	keptFor   = 7 * 24 * time.Hour // how long answers stay
)

// Memory keeps answers in a folder, so that a replay that was cut short, or one
// of other rules, need not ask for them again.
type Memory struct {
	dir    string
	server string
}

// OpenMemory opens a folder for the answers of one server, makes it where there
// is none, and removes what nobody asked for in a week.
func OpenMemory(dir, server string) (*Memory, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.answer"))
	if err != nil {
		return nil, err
	}
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > keptFor {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	return &Memory{dir: dir, server: server}, nil
}

func (m *Memory) path(key string) string {
	sum := sha256.Sum256([]byte(m.server + "\n" + key))
	return filepath.Join(m.dir, hex.EncodeToString(sum[:16])+".answer")
}

// kept is the file: the key stands in it, so that no other answer is taken for it.
type kept struct {
	Key    string
	Series []series
}

// recall reads what is known of a key. What cannot be read is not known.
func (m *Memory) recall(key string, into *[]series) bool {
	if m == nil {
		return false
	}
	path := m.path(key)
	raw, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxAnswer))
	if err != nil {
		return false
	}
	defer dec.Close()
	plain, err := dec.DecodeAll(raw, nil)
	if err != nil {
		return false
	}
	var k kept
	if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(&k); err != nil || k.Key != m.server+"\n"+key || !sound(k.Series) {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // it only decides how long it stays
	*into = k.Series
	return true
}

func sound(list []series) bool {
	for _, s := range list {
		if len(s.Steps) != len(s.Values) {
			return false
		}
	}
	return true
}

// keep writes an answer, whole or not at all.
func (m *Memory) keep(key string, list []series) error {
	if m == nil {
		return nil
	}
	var plain bytes.Buffer
	if err := gob.NewEncoder(&plain).Encode(kept{Key: m.server + "\n" + key, Series: list}); err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	if plain.Len() > maxAnswer {
		return nil
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	f, err := os.CreateTemp(m.dir, "new-*")
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	defer os.Remove(f.Name()) // in vain where it was renamed
	_, err = f.Write(enc.EncodeAll(plain.Bytes(), nil))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), m.path(key))
	}
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return nil
}
