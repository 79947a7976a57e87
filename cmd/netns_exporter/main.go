//go:build linux

// Command netns_exporter is a Prometheus exporter of what every network
// namespace and cgroup of a machine suffers.
package main

import (
	"os"
	"runtime"

	"github.com/tocsin/tocsin/exporters/netns"
)

// version is set by the linker.
var version = "dev"

func main() {
	// the main goroutine keeps the main thread: no other one then enters a
	// namespace on it, and /proc/self/net stays ours
	runtime.LockOSThread()
	os.Exit(netns.Run(os.Args[1:], version, os.Stdout, os.Stderr))
}
