package store_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
)

func TestMarshalRoundTrip(t *testing.T) {
	noise := make([]byte, 8<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	var random strings.Builder // nothing in it repeats
	for range 100 {
		random.WriteRune(rune(0x4e00 + rand.IntN(20000)))
	}
	for name, tc := range map[string]struct {
		value string
		form  byte
	}{
		"empty":      {"", 1},
		"short":      {"a", 1},
		"just short": {strings.Repeat("a", 253), 1},
		"medium":     {strings.Repeat("alert ", 1000), 3},
		"noise":      {random.String(), 1},
		"long":       {strings.Repeat("alert ", 4000), 2},
		"unicode":    {strings.Repeat("ü\u2028\x00", 2000), 2},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := store.Marshal(tc.value)
			require.NoError(t, err)
			text, err := json.Marshal(tc.value)
			require.NoError(t, err)
			require.LessOrEqual(t, len(b), len(text)+1, "never longer than the JSON and one byte")
			require.Equal(t, tc.form, b[0])
			var got string
			require.NoError(t, store.Unmarshal(b, &got))
			require.Equal(t, tc.value, got)
		})
	}
	t.Run("incompressible", func(t *testing.T) {
		b, err := store.Marshal(noise)
		require.NoError(t, err)
		var got []byte
		require.NoError(t, store.Unmarshal(b, &got))
		require.Equal(t, noise, got)
	})
}

func TestMarshalRefuses(t *testing.T) {
	_, err := store.Marshal(make(chan int))
	require.ErrorContains(t, err, "encode value")
	_, err = store.Marshal(strings.Repeat("a", store.MaxDecoded))
	require.ErrorIs(t, err, store.ErrTooLarge)
}

func TestUnmarshalRefuses(t *testing.T) {
	bomb := func(frames, size int) []byte {
		out := []byte{2}
		for range frames {
			out = zstd.EncodeTo(out, bytes.Repeat([]byte{' '}, size))
		}
		return out
	}
	s2Bomb := append([]byte{3}, s2.Encode(nil, bytes.Repeat([]byte{' '}, store.MaxDecoded+1))...)
	good, err := store.Marshal(strings.Repeat("alert ", 4000))
	require.NoError(t, err)
	block, err := store.Marshal(strings.Repeat("alert ", 1000))
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"only a form":     {1},
		"unknown form":    {9, '{', '}'},
		"not JSON":        {1, '{'},
		"not zstd":        {2, 1, 2, 3},
		"torn":            good[:len(good)-1],
		"not S2":          {3, 0xff, 0xff},
		"torn block":      block[:len(block)-1],
		"large block":     s2Bomb,
		"two values":      {1, '1', ' ', '2'},
		"one large frame": bomb(1, store.MaxDecoded+1),
		"many frames":     bomb(65, 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			var v any
			require.Error(t, store.Unmarshal(b, &v))
		})
	}
	var v any
	require.ErrorIs(t, store.Unmarshal(s2Bomb, &v), store.ErrTooLarge)
	require.ErrorIs(t, store.Unmarshal(bomb(1, store.MaxDecoded+1), &v), store.ErrTooLarge)
	require.ErrorIs(t, store.Unmarshal(bomb(65, 1<<20), &v), store.ErrTooLarge)
}

func FuzzUnmarshal(f *testing.F) {
	for _, v := range []any{nil, 1, "x", strings.Repeat("alert ", 1000), strings.Repeat("alert ", 4000), map[string]any{"a": []int{1, 2}}} {
		b, err := store.Marshal(v)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte{2, 0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if err := store.Unmarshal(b, &v); err != nil {
			return
		}
		again, err := store.Marshal(v)
		require.NoError(t, err)
		var w any
		require.NoError(t, store.Unmarshal(again, &w))
		require.Equal(t, v, w)
	})
}

func event(alerts int) page.Event {
	n := page.Notification{Cluster: "dc1", Receiver: "team-payments", GroupKey: `{}/{}:{alertname="HighErrors"}`, Status: page.Firing}
	for i := range alerts {
		l := page.Labels{"alertname": "HighErrors", "instance": fmt.Sprintf("10.0.%d.%d:9100", i/256, i%256), "job": "node", "severity": "critical"}
		n.Alerts = append(n.Alerts, page.Alert{ID: l.ID(), Status: page.Firing, Labels: l, Annotations: page.Labels{"summary": "instance is failing its probes"}})
	}
	return page.Event{Problem: n.ProblemID(), Kind: page.Notified, ID: "1", Actor: "alertmanager/dc1", Notification: &n}
}

func BenchmarkMarshal(b *testing.B) {
	for _, alerts := range []int{1, 40} {
		e := event(alerts)
		b.Run(fmt.Sprintf("ours/%d_alerts", alerts), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := store.Marshal(e); err != nil {
					b.Fatal(err)
				}
			}
			text, _ := json.Marshal(e)
			packed, _ := store.Marshal(e)
			b.ReportMetric(float64(len(text))/float64(len(packed)), "times_smaller")
		})
		b.Run(fmt.Sprintf("naive/%d_alerts", alerts), func(b *testing.B) { // JSON and an encoder of its own per value
			b.ReportAllocs()
			for b.Loop() {
				text, err := json.Marshal(e)
				if err != nil {
					b.Fatal(err)
				}
				w, err := zstd.NewWriter(nil)
				if err != nil {
					b.Fatal(err)
				}
				w.EncodeAll(text, nil)
			}
		})
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	for _, alerts := range []int{1, 40} {
		packed, err := store.Marshal(event(alerts))
		require.NoError(b, err)
		b.Run(fmt.Sprintf("%d_alerts", alerts), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var e page.Event
				if err := store.Unmarshal(packed, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
