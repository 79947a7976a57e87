package etcd

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzUnseal(f *testing.F) {
	f.Add("r/k", []byte(sealRecord("r/k", record{1, body{inline: []byte("value")}})))
	f.Add("r/k", []byte(sealRecord("r/k", record{1, body{ref: ref{"AB/01", 3, 1 << 20}}})))
	f.Add("i/l/i", []byte(sealItem("i/l/i", stored{place: place{7, 2}, due: 1, enqueued: 2, priority: -3, attempt: 4, key: "k", body: body{inline: []byte("v")}})))
	f.Add("l/l/i", []byte(sealLease("l/l/i", holder{1, 2})))
	f.Add("", []byte{1, 2, 3, 4, formItem})
	f.Fuzz(func(t *testing.T, key string, b []byte) {
		// As it is, and with a sum that is right: whatever is sealed must be readable.
		_, _ = unsealRecord(key, b)
		_, _ = unsealItem(key, b, 1)
		_, _ = unsealLease(key, b)
		if len(b) <= sumSize {
			return
		}
		b = []byte(seal(key, append([]byte{}, b...)))
		if r, err := unsealRecord(key, b); err == nil {
			again, err := unsealRecord(key, []byte(sealRecord(key, r)))
			require.NoError(t, err)
			require.Equal(t, r, again)
		}
		if it, err := unsealItem(key, b, 9); err == nil {
			require.NotZero(t, it.rev)
			again, err := unsealItem(key, []byte(sealItem(key, it)), 10)
			require.NoError(t, err)
			require.Equal(t, it, again, "once it is written down, a place stays")
		}
		b[len(b)-1] ^= 1
		_, err := unsealRecord(key, b)
		require.Error(t, err)
		_, err = unsealItem(key, b, 1)
		require.Error(t, err)
		_, err = unsealLease(key, b)
		require.Error(t, err)
	})
}

func TestUnsealWrongKey(t *testing.T) {
	b := []byte(sealRecord("r/k", record{}))
	_, err := unsealRecord("r/j", b)
	require.Error(t, err, "a value under another key is damage too")
	_, err = unsealItem("r/k", b, 1)
	require.Error(t, err, "and so is another sort of entry")
}

func FuzzLanePath(f *testing.F) {
	f.Add("deliver/slack/ops", "a/b")
	f.Add("%2F", "")
	f.Add("", "/")
	f.Add("\x00\xff", "..")
	f.Fuzz(func(t *testing.T, lane, id string) {
		gotLane, gotID, ok := splitLanePath(lanePath(lane, id))
		require.True(t, ok)
		require.Equal(t, []string{lane, id}, []string{gotLane, gotID})
	})
}
