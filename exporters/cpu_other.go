//go:build !linux

package exporters

import "time"

// threadCPU is known on Linux only.
func threadCPU() time.Duration { return 0 }
