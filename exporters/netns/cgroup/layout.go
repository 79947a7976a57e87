//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hierarchy is one tree of cgroups and what is read of each of them.
type hierarchy struct {
	dir      string
	controls []control
	root     *node
}

// control is a control file and how it is read.
type control struct {
	name  file
	parse parser
}

// layout finds the hierarchies below root, the first being the one whose inodes
// name the cgroups: v2 has its controllers at root itself; v1 has a folder per
// controller, some of them joined (cpu,cpuacct) under links; hybrid has v1's and
// an empty v2 under unified, which is where the pressure files are.
func layout(root string) ([]*hierarchy, error) {
	if isV2(root) {
		return []*hierarchy{{dir: root, controls: v2()}}, nil
	}
	var found []*hierarchy
	var infos []fs.FileInfo
	for _, c := range v1() {
		dir := filepath.Join(root, c.name)
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find cgroup hierarchies: %w", err)
		}
		joined := false
		for i, other := range infos {
			if os.SameFile(info, other) {
				found[i].controls = append(found[i].controls, c.controls...)
				joined = true
			}
		}
		if !joined {
			found, infos = append(found, &hierarchy{dir: dir, controls: c.controls}), append(infos, info)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("find cgroup hierarchies: neither v1 nor v2 is at %s", root)
	}
	if dir := filepath.Join(root, "unified"); isV2(dir) {
		found = append(found, &hierarchy{dir: dir, controls: pressures()})
	}
	return found, nil
}

// isV2 says whether a v2 hierarchy is mounted at dir.
func isV2(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.controllers"))
	return err == nil
}

// has says whether a controller is there: v2 lists those that v1 has not taken.
func (h *hierarchy) has(controller string) bool {
	raw, err := os.ReadFile(filepath.Join(h.dir, "cgroup.controllers"))
	return errors.Is(err, fs.ErrNotExist) || slices.Contains(strings.Fields(string(raw)), controller)
}

const procsFile file = "cgroup.procs\x00"

func procs() control { return control{procsFile, tasks} }

func cpuLocal() control {
	return control{"cpu.stat.local\x00", keyed(key{"throttled_usec", ThrottledLocal, micro}, key{"throttled_time", ThrottledLocal, ones})}
}

func pressures() []control {
	return []control{
		{"cpu.pressure\x00", pressure(CPUSome)},
		{"memory.pressure\x00", pressure(MemorySome)},
		{"io.pressure\x00", pressure(IOSome)},
	}
}

func pids() []control {
	return []control{
		{"pids.current\x00", lone(Pids, ones)},
		{"pids.max\x00", lone(PidsMax, ones)},
		{"pids.events\x00", keyed(key{"max", PidsRefused, ones})},
	}
}

func v2() []control {
	controls := []control{
		procs(),
		{"cpu.stat\x00", keyed(
			key{"usage_usec", Usage, micro}, key{"user_usec", User, micro}, key{"system_usec", System, micro},
			key{"nr_periods", Periods, ones}, key{"nr_throttled", Throttled, ones}, key{"throttled_usec", ThrottledTime, micro},
			key{"nr_bursts", Bursts, ones}, key{"burst_usec", BurstTime, micro},
		)},
		cpuLocal(),
		{"cpu.max\x00", cpuMax},
		{"cpu.max.burst\x00", lone(BurstLimit, micro)},
		{"memory.current\x00", lone(Memory, ones)},
		{"memory.max\x00", lone(MemoryMax, ones)},
		{"memory.high\x00", lone(MemoryHigh, ones)},
		{"memory.events\x00", keyed(
			key{"low", MemoryLowEvents, ones}, key{"high", MemoryHighEvents, ones}, key{"max", MemoryMaxEvents, ones},
			key{"oom", OOMs, ones}, key{"oom_kill", OOMKills, ones},
		)},
	}
	return append(append(controls, pids()...), pressures()...)
}

// v1 are the controllers of cgroup v1 that are read.
func v1() []struct {
	name     string
	controls []control
} {
	return []struct {
		name     string
		controls []control
	}{
		{"cpu", []control{
			procs(),
			{"cpu.stat\x00", keyed(
				key{"nr_periods", Periods, ones}, key{"nr_throttled", Throttled, ones}, key{"throttled_time", ThrottledTime, ones},
				key{"nr_bursts", Bursts, ones}, key{"burst_time", BurstTime, ones},
			)},
			cpuLocal(),
			{"cpu.cfs_quota_us\x00", lone(Quota, micro)},
			{"cpu.cfs_period_us\x00", lone(Period, micro)},
			{"cpu.cfs_burst_us\x00", lone(BurstLimit, micro)},
		}},
		{"cpuacct", []control{{"cpuacct.usage\x00", lone(Usage, ones)}}},
		{"memory", []control{
			procs(),
			{"memory.usage_in_bytes\x00", lone(Memory, ones)},
			{"memory.limit_in_bytes\x00", lone(MemoryMax, ones)},
			{"memory.failcnt\x00", lone(MemoryMaxEvents, ones)},
			{"memory.oom_control\x00", keyed(key{"oom_kill", OOMKills, ones})},
		}},
		{"pids", append([]control{procs()}, pids()...)},
	}
}
