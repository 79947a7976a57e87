package model_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
)

// The time to load a document, what is allocated on the way, and what is kept.
func BenchmarkLoad(b *testing.B) {
	for _, file := range documents(b) {
		b.Run(filepath.Base(file), func(b *testing.B) {
			info, err := os.Stat(file)
			require.NoError(b, err)
			b.ReportAllocs()
			b.SetBytes(info.Size())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var api *model.API
			for b.Loop() {
				api, err = model.Load(b.Context(), model.Options{Location: file})
				require.NoError(b, err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "kept-MiB")
			runtime.KeepAlive(api)
		})
	}
}
