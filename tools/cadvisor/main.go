// Command cadvisor-cost reads the network of containers as cAdvisor does, with
// its own library and the metrics tcp, udp and advtcp, and prints the CPU time
// of each round in microseconds, one per line.
//
// It takes the number of rounds and the processes whose network to read. No
// cgroup is read: that is not what is compared.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/google/cadvisor/lib/container"
	"github.com/google/cadvisor/lib/container/libcontainer"
	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cadvisor-cost:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("want ROUNDS PID...")
	}
	rounds, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	wanted := container.MetricSet{
		container.NetworkUsageMetrics: struct{}{}, container.NetworkTcpUsageMetrics: struct{}{},
		container.NetworkUdpUsageMetrics: struct{}{}, container.NetworkAdvancedTcpUsageMetrics: struct{}{},
	}
	var handlers []*libcontainer.Handler
	for _, a := range args[1:] {
		pid, err := strconv.Atoi(a)
		if err != nil {
			return err
		}
		m, err := libcontainer.NewCgroupManager("/cost", map[string]string{})
		if err != nil {
			return err
		}
		handlers = append(handlers, libcontainer.NewHandler(m, "/", pid, wanted))
	}
	for range rounds {
		before := cpu()
		for _, h := range handlers {
			stats, err := h.GetStats()
			if err != nil {
				return err
			}
			if len(stats.Network.Interfaces) == 0 && stats.Network.TcpAdvanced.RtoMin == 0 {
				return fmt.Errorf("nothing was read")
			}
		}
		fmt.Println(cpu() - before)
	}
	return nil
}

// cpu is the CPU time of this process, in microseconds.
func cpu() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}
