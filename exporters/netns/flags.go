//go:build linux

package netns

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tocsin/tocsin/exporters"
)

// Flags are the command line. Their help is the operator's documentation.
type Flags struct {
	exporters.WebFlags
	exporters.LogFlags

	ProcFS string `name:"path.procfs" default:"/proc" placeholder:"DIR" help:"The proc file system of the machine."`
	SysFS  string `name:"path.sysfs" default:"/sys" placeholder:"DIR" help:"The sys file system of the machine."`

	InlineLabels bool `name:"labels.inline" help:"Put namespace, pod, container and app on every series, not only on netns_info and cgroup_info."`

	NamesMapping string `name:"names.mapping" placeholder:"FILE" help:"Names of cgroups by their paths, for machines without containers. It counts before all other sources."`
	NamesCRI     string `name:"names.cri" placeholder:"SOCKET" help:"Ask this container runtime for names: /run/containerd/containerd.sock, /run/crio/crio.sock. Who may open it may do anything on the machine."`
	NamesDocker  string `name:"names.docker" placeholder:"SOCKET" help:"Ask this engine for names: /run/docker.sock, /run/podman/podman.sock. The same holds."`
	NamesLogs    string `name:"names.logs" default:"/var/log" placeholder:"DIR" help:"Read names of pods and containers from the kubelet's folders pods and containers in this one; empty: do not (default ${default})."`

	Namespaces bool `name:"collector.namespaces" default:"true" negatable:"" help:"What network namespaces there are, and who lives in them."`
	Interfaces bool `name:"collector.interfaces" default:"true" negatable:"" help:"Bytes, packets, errors and drops of each network device of each namespace."`
	Counters   bool `name:"collector.counters" default:"true" negatable:"" help:"What the kernel counts of IP, TCP and UDP in each namespace."`
	Sockets    bool `name:"collector.sockets" default:"true" negatable:"" help:"Sockets in use in each namespace, and the machine's memory for them."`
	Conntrack  bool `name:"collector.conntrack" default:"true" negatable:"" help:"Tracked connections of each namespace, and what came of a full table."`
	Listen     bool `name:"collector.listen" default:"true" negatable:"" help:"Queues of listening TCP sockets. Takes CAP_SYS_ADMIN."`
	Cgroup     bool `name:"collector.cgroup" default:"true" negatable:"" help:"CPU, throttling, pressure, memory and tasks of each cgroup, and its limits."`
	Throttle   bool `name:"collector.throttle" default:"true" negatable:"" help:"CPU throttling between scrapes: how long each throttled period is and how many come in a row."`
	Self       bool `name:"collector.self" default:"true" negatable:"" help:"The exporter's own process and Go runtime."`

	CounterFields string `name:"collector.counters.fields" placeholder:"REGEXP" help:"Fields to expose, as Proto_Field: Tcp_RetransSegs, TcpExt_ListenDrops, Ip6_InDiscards. .* is all of them (default: about 45 that people look at)."`

	DeviceExclude     string `name:"collector.interfaces.exclude" default:"${exclude}" placeholder:"REGEXP" help:"Devices to leave out in every namespace (default: lo and those the kernel makes by itself)."`
	DeviceHostExclude string `name:"collector.interfaces.host-exclude" default:"${hostexclude}" placeholder:"REGEXP" help:"Devices to leave out in the host's namespace (default: the outer ends of containers' devices)."`
	DeviceColumns     string `name:"collector.interfaces.columns" default:"${columns}" placeholder:"REGEXP" help:"Columns to expose: receive_bytes, transmit_fifo_errors … .* is all of them (default ${columns})."`

	ListenBudget time.Duration `name:"collector.listen.budget" default:"1s" help:"Time for the listening sockets of all namespaces; what is left comes first at the next scrape."`
	ListenPorts  int           `name:"collector.listen.max-ports" default:"64" help:"Ports to expose per namespace, the fullest ones first."`

	ThrottleInterval time.Duration `name:"collector.throttle.interval" default:"50ms" help:"Time between two looks at a cgroup that has a CPU quota and is busy: half of the usual period."`
	ThrottleWindow   time.Duration `name:"collector.throttle.window" default:"1m" help:"The maxima are those of the last so long. Scrape at least as often."`
	ThrottleBudget   float64       `name:"collector.throttle.budget" default:"0.03" placeholder:"CORES" help:"CPU time per time beyond which it looks less often (default ${default})."`

	Version kong.VersionFlag `help:"Print the version."`
}

// Help stands under the flags.
func (Flags) Help() string {
	return `Examples:

  netns_exporter --web.listen-address 127.0.0.1:9417
  netns_exporter --no-collector.listen                            without CAP_SYS_ADMIN
  netns_exporter --names.docker /run/docker.sock                  names of Docker's containers
  netns_exporter --names.mapping names.yml                        names on a machine without containers
  netns_exporter --collector.counters.fields '.*'                 all 400 counters
  netns_exporter --path.procfs /host/proc --path.sysfs /host/sys  in a container

  curl -s localhost:9417/metrics?collect[]=counters               one collector alone`
}

func vars(version string) kong.Vars {
	return kong.Vars{
		"version": version, "listen": ":9417",
		"exclude":     `lo|tunl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|sit0|ip6tnl0|ip6gre0|ifb\d+|dummy0|teql0`,
		"hostexclude": `veth.*|cali.*|lxc.*|lxd.*|tap.*|eni[0-9a-f]{11}|gke[0-9a-f]{11}|azv.*|br-[0-9a-f]{12}`,
		"columns":     `(receive|transmit)_(bytes|packets|errors|dropped)`,
	}
}

// check says what of the flags cannot be, beyond what their types say.
func (f Flags) check() error {
	var errs []error
	if f.ThrottleInterval < time.Millisecond || f.ThrottleInterval > time.Second {
		errs = append(errs, fmt.Errorf("--collector.throttle.interval: %s: want 1ms to 1s", f.ThrottleInterval))
	}
	if f.ThrottleWindow < time.Second {
		errs = append(errs, fmt.Errorf("--collector.throttle.window: %s: want at least 1s", f.ThrottleWindow))
	}
	if !(f.ThrottleBudget > 0 && f.ThrottleBudget <= 1) {
		errs = append(errs, fmt.Errorf("--collector.throttle.budget: %g: want more than 0 and at most 1", f.ThrottleBudget))
	}
	return errors.Join(errs...)
}

// expressions compiles flags that are regular expressions of whole words.
type expressions struct{ err error }

func (e *expressions) whole(flag, text string) *regexp.Regexp {
	re, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		e.err = errors.Join(e.err, fmt.Errorf("--%s: %w", flag, err))
	}
	return re
}

func (e *expressions) optional(flag, text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	return e.whole(flag, text)
}
