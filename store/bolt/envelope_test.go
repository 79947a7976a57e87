package bolt

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzUnseal(f *testing.F) {
	f.Add([]byte("k"), sealRecord([]byte("k"), 1, 2, []byte("value")))
	f.Add(sequence(7), sealItem(sequence(7), stored{due: 1, enqueued: 2, priority: -3, attempt: 4, lane: "l", id: "i", key: "k", value: []byte("v")}))
	f.Add([]byte{}, []byte{1, 2, 3, 4, formItem})
	f.Fuzz(func(t *testing.T, key, b []byte) {
		// As it is, and with a sum that is right: whatever is sealed must be readable.
		_, _ = unsealRecord(key, b)
		_, _ = unsealItem(key, b)
		if len(b) <= sumSize {
			return
		}
		b = seal(key, append([]byte{}, b...))
		if e, err := unsealRecord(key, b); err == nil {
			require.Equal(t, b, sealRecord(key, e.rev, e.expires, e.value))
		}
		if it, err := unsealItem(key, b); err == nil {
			again, err := unsealItem(key, sealItem(key, it))
			require.NoError(t, err)
			it.sum, again.sum = 0, 0
			require.Equal(t, it, again)
		}
		b[len(b)-1] ^= 1
		_, err := unsealRecord(key, b)
		require.Error(t, err)
		_, err = unsealItem(key, b)
		require.Error(t, err)
	})
}

func TestUnsealWrongKey(t *testing.T) {
	b := sealRecord([]byte("k"), 1, 0, []byte("v"))
	_, err := unsealRecord([]byte("j"), b)
	require.Error(t, err, "a value under another key is damage too")
	_, err = unsealItem([]byte("k"), b)
	require.Error(t, err, "and so is another sort of entry")
}
