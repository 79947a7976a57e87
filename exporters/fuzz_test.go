package exporters_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters"
)

// Whatever a label value holds, the scrape is read back as one sample, with the
// value as it was but for bytes that are not UTF-8.
func FuzzLabel(f *testing.F) {
	for _, seed := range []string{"", "eth0", "a\\b\"c\nd", "\xff\xc3", "é{},=\x00\r", "\xe2\x82", "\\n", "🜍"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, v string) {
		p := &probe{name: "one", expose: func(_ context.Context, out *exporters.Text) error {
			labels := exporters.AppendLabel(nil, "v", v)
			require.Equal(t, string(labels), string(exporters.AppendLabel(nil, "v", []byte(v))))
			out.Family(family("one")).Uint(exporters.AppendLabel(labels, "w", "x"), 7)
			return nil
		}}
		mfs := parsed(t, scrape(t, handler(t, io.Discard, p), "/metrics").Body)
		got, ok := value(mfs["one"], string([]rune(v)), "x")
		require.True(t, ok)
		require.InDelta(t, 7, got, 0)
		require.Len(t, mfs["one"].Metric, 1)
		require.True(t, strings.HasPrefix(mfs["one"].GetHelp(), "Help"))
	})
}
