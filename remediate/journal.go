package remediate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tocsin/tocsin/store"
)

// Line is one entry of a dispatch's journal, or of the switches'. Each holds the
// sum of the one before: a line that was changed, or left out, shows.
type Line struct {
	Dispatch string    `json:"dispatch"` // SwitchJournal for freezes, thaws and resets
	N        int       `json:"n"`        // from 0
	At       time.Time `json:"at"`
	From     Stage     `json:"from,omitempty"`
	To       Stage     `json:"to,omitempty"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	Record   string    `json:"record,omitempty"` // SHA-256 of the record that it left behind
	Prev     string    `json:"prev,omitempty"`   // Sum of the line before
	Sum      string    `json:"sum"`              // SHA-256 of the line without it
}

// SwitchJournal is the name of the journal of freezes, thaws and resets.
const SwitchJournal = "switches"

// keepFor is how long journals and dispatches that are over are kept.
const keepFor = 400 * 24 * time.Hour

// sum is what a line's Sum should be.
func (l Line) sum() (string, error) {
	l.Sum = ""
	b, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("encode journal: %w", err)
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:]), nil
}

// append chains a line to the head of its journal and returns the operation
// that creates it, and the new head.
func (l Line) append(head string) (op store.Op, sum string, err error) {
	l.Prev = head
	if l.Sum, err = l.sum(); err != nil {
		return op, "", err
	}
	value, err := store.Marshal(l)
	return store.Create(store.JournalKey(l.Dispatch, l.N), value).Until(l.At.Add(keepFor)), l.Sum, err
}

// CheckJournal says what is wrong with a journal: n lines whose last has the sum
// head, as the dispatch's record has it.
func CheckJournal(lines []Line, n int, head string) error {
	if len(lines) != n {
		return fmt.Errorf("journal has %d lines, and should have %d", len(lines), n)
	}
	prev := ""
	for i, l := range lines {
		want, err := l.sum()
		if err != nil {
			return err
		}
		if l.N != i || l.Prev != prev || l.Sum != want {
			return fmt.Errorf("line %d of the journal was changed", i)
		}
		prev = l.Sum
	}
	if prev != head {
		return fmt.Errorf("line %d of the journal is not the last one", n-1)
	}
	return nil
}
