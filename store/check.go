package store

import (
	"errors"
	"fmt"
)

// maxName is the longest key, lane, ID or order key, in bytes.
const maxName = 4096

// Check refuses a batch that no engine could do, whatever its state is.
func Check(ops []Op) error {
	if len(ops) > MaxOps {
		return fmt.Errorf("a batch of %d operations: at most %d", len(ops), MaxOps)
	}
	for i, op := range ops {
		names := []string{op.Key}
		switch op.Kind {
		case OpPut, OpDelete:
			if op.Key == "" {
				return errors.New("a record without a key")
			}
		case OpEnqueue:
			names = []string{op.Item.Lane, op.Item.ID, op.Item.Key}
			if op.Item.Lane == "" || op.Item.ID == "" {
				return errors.New("an item without a lane or an ID")
			}
		case OpDone, OpRetry, OpExtend:
		default:
			return fmt.Errorf("operation %d is unknown", op.Kind)
		}
		for _, n := range names {
			if len(n) > maxName {
				return fmt.Errorf("a name of %d bytes: at most %d", len(n), maxName)
			}
		}
		for _, other := range ops[:i] {
			if subject(op) != "" && subject(op) == subject(other) {
				return fmt.Errorf("a batch with two operations on %q", subject(op))
			}
		}
	}
	return nil
}

// subject names the record or the lease an operation is about: two in one batch
// would have no order that every engine could keep.
func subject(op Op) string {
	switch op.Kind {
	case OpPut, OpDelete:
		return "record " + op.Key
	case OpDone, OpRetry, OpExtend:
		return "lease " + op.Lease.Lane + " " + op.Lease.ID
	case OpEnqueue:
	}
	return ""
}
