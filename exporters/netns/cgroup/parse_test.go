//go:build linux

package cgroup

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// every returns each control of each layout under its name.
func every() map[string]parser {
	out := map[string]parser{}
	add := func(controls []control) {
		for _, c := range controls {
			out[string(c.name[:len(c.name)-1])] = c.parse
		}
	}
	for _, c := range v1() {
		add(c.controls)
	}
	add(v2())
	return out
}

func TestParsers(t *testing.T) {
	type fields map[Field]uint64
	for name, cases := range map[string]map[string]fields{
		"cpu.stat": {
			"":                 {},
			"usage_usec 12":    {Usage: 12_000},
			"usage_usec 12\n":  {Usage: 12_000},
			"usage_usec\t12 9": {Usage: 12_000},
			"usage_usec 1\nfuture_usec 2\n\nnr_periods 3\nx\nnr_throttled -1\nthrottled_usec 0x1\n": {Usage: 1000, Periods: 3},
			"usage_usec 18446744073709551615": {}, // overflows as nanoseconds
			"nr_periods 18446744073709551615": {Periods: math.MaxUint64},
			"nr_periods 18446744073709551616": {},
			"nr_periods 1e3\nusage_usec":      {},
			"nr_periods 7\r\n":                {Periods: 7},
			"\x00nr_periods 7":                {},
		},
		"cpu.max": {
			"max 100000\n": {Period: 1e8}, "20000 100000": {Quota: 2e7, Period: 1e8}, "20000": {Quota: 2e7}, "": {}, "-1 -1": {},
			"20000 100000 7 later": {Quota: 2e7, Period: 1e8},
		},
		"cpu.cfs_quota_us": {"-1\n": {}, "5000": {Quota: 5e6}, "x": {}},
		"memory.max":       {"max\n": {}, "4096": {MemoryMax: 4096}},
		"memory.limit_in_bytes": {
			"9223372036854771712\n": {}, "8192\n": {MemoryMax: 8192},
		},
		"memory.oom_control": {"oom_kill_disable 0\nunder_oom 0\noom_kill 5\n": {OOMKills: 5}, "oom_kill_disable 0\nunder_oom 0\n": {}},
		"memory.events":      {"low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n": {MemoryLowEvents: 1, MemoryHighEvents: 2, MemoryMaxEvents: 3, OOMs: 4, OOMKills: 5}},
		"cpu.pressure": {
			"some avg10=1.00 avg60=2.00 avg300=3.00 total=44\n":                               {CPUSome: 44_000},
			"some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 new=7 total=2\n": {CPUSome: 1000, CPUFull: 2000},
			"some total=\nfull total=x\nhalf total=3\n":                                       {},
		},
		"pids.max": {"max": {}, "100\n": {PidsMax: 100}},
	} {
		for text, want := range cases {
			var s Stats
			every()[name](&s, []byte(text))
			got := fields{}
			for f := range fieldCount {
				if v, ok := s.Get(f); ok {
					got[f] = v
				}
			}
			require.Equal(t, want, got, "%s: %q", name, text)
		}
	}
}

func TestTheSamplersParserAgrees(t *testing.T) {
	for _, text := range []string{
		"usage_usec 9\nnr_periods 3\nnr_throttled 2\nthrottled_usec 7\nnr_bursts 0\n", "nr_periods 3\nnr_throttled 2\nthrottled_time 7\n", "nr_periods x\n", "",
	} {
		var sampled, scraped Stats
		cpuStat(&sampled, []byte(text))
		every()["cpu.stat"](&scraped, []byte(text))
		if strings.Contains(text, "throttled_time") {
			scraped = Stats{}
			v1()[0].controls[1].parse(&scraped, []byte(text))
		}
		for _, f := range []Field{Periods, Throttled, ThrottledTime} {
			a, hasA := sampled.Get(f)
			b, hasB := scraped.Get(f)
			require.Equal(t, hasB, hasA)
			require.Equal(t, b, a)
		}
	}
}

func FuzzParsers(f *testing.F) {
	for _, s := range []string{
		"", "\n", "max 100000\n", "20000 100000", "usage_usec 1\nuser_usec 1\nsystem_usec 0\ncore_sched.force_idle_usec 0\nnr_periods 52\nnr_throttled 51\nthrottled_usec 3430000\nnr_bursts 7\nburst_usec 80000\n",
		"some avg10=0.00 avg60=0.12 avg300=0.05 total=11\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", "low 0\nhigh 311\nmax 12\noom 1\noom_kill 1\n",
		"9223372036854771712", "-1", "18446744073709551616 x", "nr_periods 1\x00\nnr_periods 2", "total=total=1", strings.Repeat("9", 100), strings.Repeat("a ", 5000),
	} {
		f.Add([]byte(s))
	}
	all := every()
	f.Fuzz(func(t *testing.T, raw []byte) {
		for name, parse := range all {
			var s Stats
			parse(&s, raw)
			for field := range fieldCount {
				if v, ok := s.Get(field); !ok {
					require.Zero(t, v, name)
				}
			}
			again := s
			parse(&again, raw)
			require.Equal(t, s, again, "%s: the same text says the same twice", name)
		}
		var s Stats
		cpuStat(&s, raw)
	})
}

func TestWhole(t *testing.T) {
	require.Equal(t, "a 1\n", string(whole([]byte("a 1\n"), 8)))
	require.Equal(t, "a 1\n", string(whole([]byte("a 1\nb 22"), 8)), "a number that was cut is none")
	require.Empty(t, whole([]byte("aaaaaaaa"), 8))
}

func TestParsersDoNotAllocate(t *testing.T) {
	text := []byte("usage_usec 1\nuser_usec 1\nsystem_usec 0\nnr_periods 52\nnr_throttled 51\nthrottled_usec 3430000\n")
	parse := every()["cpu.stat"]
	var s Stats
	require.Zero(t, testing.AllocsPerRun(100, func() { parse(&s, text) }))
}

func BenchmarkParseCPUStat(b *testing.B) {
	text := []byte("usage_usec 1\nuser_usec 1\nsystem_usec 0\nnice_usec 0\ncore_sched.force_idle_usec 0\nnr_periods 52\nnr_throttled 51\nthrottled_usec 3430000\nnr_bursts 7\nburst_usec 80000\n")
	b.Run("ours", func(b *testing.B) {
		parse := v2()[1].parse
		b.ReportAllocs()
		for b.Loop() {
			var s Stats
			parse(&s, text)
		}
	})
	b.Run("naive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			values := map[string]string{}
			for l := range strings.Lines(string(text)) {
				if w := strings.Fields(l); len(w) == 2 {
					values[w[0]] = w[1]
				}
			}
		}
	})
}
