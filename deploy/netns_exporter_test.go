package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

const (
	netnsUnit   = "systemd/netns_exporter.service"
	netnsListen = "systemd/netns_exporter-listen.conf"
	netnsDir    = "kubernetes/netns_exporter"
)

// settings are the lines of a unit, in their order.
func settings(t *testing.T, path string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for line := range strings.Lines(read(t, path)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		require.True(t, ok && regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(key), "%q is no line of a unit", line)
		require.NotContains(t, value, " #", "systemd knows no comment at the end of a line")
		out[key] = append(out[key], value)
	}
	return out
}

// The unit has one privilege and what it must see; the drop-in adds the other
// one, and nothing of the unit keeps it from working.
func TestNetnsExporterUnit(t *testing.T) {
	u, drop := settings(t, netnsUnit), settings(t, netnsListen)
	for key, want := range map[string]string{
		"DynamicUser": "yes", "CapabilityBoundingSet": "CAP_SYS_PTRACE", "AmbientCapabilities": "CAP_SYS_PTRACE", "NoNewPrivileges": "yes",
		"ProtectProc": "default", "ProcSubset": "all", "PrivateUsers": "no", "ProtectSystem": "strict", "PrivateDevices": "yes",
		"RestrictNamespaces": "yes", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "MemoryDenyWriteExecute": "yes",
		"ExecStart": "/usr/local/bin/netns_exporter --no-collector.listen $ARGS", "EnvironmentFile": "-/etc/default/netns_exporter", "LimitNOFILE": "16384", "StartLimitIntervalSec": "0", "Restart": "on-failure",
	} {
		require.Equal(t, []string{want}, u[key], key)
	}
	require.NotContains(t, u, "PrivateNetwork", "the host's namespace is its own")
	require.Equal(t, map[string][]string{
		"ExecStart":             {"", "/usr/local/bin/netns_exporter $ARGS"},
		"CapabilityBoundingSet": {"CAP_SYS_ADMIN"}, "AmbientCapabilities": {"CAP_SYS_ADMIN"},
		"RestrictNamespaces": {"", "net"}, "RestrictAddressFamilies": {"AF_NETLINK"},
	}, drop)
}

func TestNetnsExporterUnitBeforeSystemd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "netns_exporter.service")
	exe, err := os.Executable() // verify wants a program that is there
	require.NoError(t, err)
	placed := strings.NewReplacer("/usr/local/bin/netns_exporter", exe)
	require.NoError(t, os.WriteFile(path, []byte(placed.Replace(read(t, netnsUnit))), 0o600))
	const analyse = "systemd-analyze" //nolint:misspell // its name
	found(t, analyse, "security", "--offline=true", "--threshold=25", "--no-pager", path)
	require.NoError(t, os.Mkdir(path+".d", 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(path+".d", "listen.conf"), []byte(placed.Replace(read(t, netnsListen))), 0o600))
	if out, ok := found(t, analyse, "verify", "--man=no", path); ok {
		require.NotContains(t, out, "netns_exporter.service:", out)
	}
}

func netnsObjects(t *testing.T) []any {
	t.Helper()
	return assembled(t, netnsDir)
}

func daemonSet(t *testing.T, raw any) *appsv1.DaemonSet {
	t.Helper()
	asJSON, err := json.Marshal(raw)
	require.NoError(t, err)
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.DisallowUnknownFields()
	var d appsv1.DaemonSet
	require.NoError(t, dec.Decode(&d))
	return &d
}

// The pods have one capability and read two folders of the node; only the
// component takes more.
func TestNetnsExporterDaemonSet(t *testing.T) {
	labels := map[string]string{"app.kubernetes.io/name": "netns-exporter"}
	require.Equal(t, labels, kustom(t, netnsDir).Labels[0].Pairs)
	objects := netnsObjects(t)
	require.Len(t, objects, 4)
	var d *appsv1.DaemonSet
	var rest []any
	for _, o := range objects {
		if o.(map[string]any)["kind"] == "DaemonSet" {
			d = daemonSet(t, o)
			continue
		}
		rest = append(rest, o)
	}
	require.Equal(t, labels, d.Spec.Selector.MatchLabels)
	require.Equal(t, labels, d.Spec.Template.Labels)
	require.Equal(t, labels, objectsOf[corev1.Service](t, rest)[0].Spec.Selector)
	np := objectsOf[networkingv1.NetworkPolicy](t, rest)[0]
	require.Equal(t, labels, np.Spec.PodSelector.MatchLabels)
	require.Len(t, np.Spec.PolicyTypes, 2)
	require.Empty(t, np.Spec.Egress)
	pod := d.Spec.Template.Spec
	require.Equal(t, objectsOf[corev1.ServiceAccount](t, rest)[0].Name, pod.ServiceAccountName)
	require.True(t, pod.HostPID)
	require.False(t, pod.HostNetwork || pod.HostIPC)
	require.False(t, *pod.AutomountServiceAccountToken)
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	c := pod.Containers[0]
	require.Len(t, pod.Containers, 1)
	require.Nil(t, c.SecurityContext.Privileged)
	require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	require.Equal(t, []corev1.Capability{"SYS_PTRACE"}, c.SecurityContext.Capabilities.Add)
	require.Contains(t, c.Args, "--no-collector.listen")
	require.False(t, c.Resources.Limits.Memory().IsZero())
	require.Len(t, pod.Volumes, len(c.VolumeMounts))
	for i, m := range c.VolumeMounts {
		require.True(t, m.ReadOnly, m.Name)
		require.Equal(t, pod.Volumes[i].Name, m.Name)
	}
}

// Each component adds its flag, its privilege or its folder, and both go together
// in either order.
func TestNetnsComponents(t *testing.T) {
	for _, order := range [][]string{{"listen"}, {"cri"}, {"listen", "cri"}, {"cri", "listen"}} {
		var raw any
		for _, o := range netnsObjects(t) {
			if o.(map[string]any)["kind"] == "DaemonSet" {
				raw = o
			}
		}
		for _, name := range order {
			dir := "kubernetes/components/netns-" + name
			k := kustom(t, dir)
			require.Equal(t, "Component", k.Kind)
			require.Equal(t, "DaemonSet", k.Patches[0].Target.Kind)
			var ops []struct {
				Op, Path string
				Value    any
			}
			strictly(t, filepath.Join(dir, k.Patches[0].Path), &ops)
			for _, op := range ops {
				raw = patched(t, raw, strings.Split(op.Path, "/")[1:], op.Op, op.Value)
			}
		}
		pod := daemonSet(t, raw).Spec.Template.Spec
		c := pod.Containers[0]
		want, capabilities, folders := []string{"--path.sysfs=/host/sys"}, []corev1.Capability{"SYS_PTRACE"}, 3
		if slices.Contains(order, "listen") {
			capabilities = append(capabilities, "SYS_ADMIN")
		} else {
			want = append(want, "--no-collector.listen")
		}
		if slices.Contains(order, "cri") {
			want, folders = append(want, "--names.cri=/run/containerd/containerd.sock"), 4
			require.Equal(t, "/run/containerd", c.VolumeMounts[3].MountPath)
			require.Equal(t, "/run/containerd", pod.Volumes[3].HostPath.Path)
		}
		require.Equal(t, want, c.Args)
		require.Equal(t, capabilities, c.SecurityContext.Capabilities.Add)
		require.Len(t, pod.Volumes, folders)
		for i, m := range c.VolumeMounts {
			require.True(t, m.ReadOnly, m.Name)
			require.Equal(t, pod.Volumes[i].Name, m.Name)
		}
	}
}

// The flags that are shipped are ones the program has.
func TestNetnsExporterFlags(t *testing.T) {
	known := read(t, "../exporters/netns/flags.go") + read(t, "../exporters/serve.go")
	for _, file := range []string{netnsUnit, netnsListen, netnsDir + "/daemonset.yaml", "kubernetes/components/netns-cri/cri.yaml"} {
		for _, m := range regexp.MustCompile(`--(no-)?([a-z]+\.[a-z.-]+)`).FindAllStringSubmatch(read(t, file), -1) {
			require.Contains(t, known, `name:"`+m[2]+`"`, file)
		}
	}
}

func TestNetnsExporterContainerfile(t *testing.T) {
	text := read(t, "container/netns_exporter.Containerfile")
	last := text[strings.LastIndex(text, "FROM scratch"):]
	require.Contains(t, last, `ENTRYPOINT ["/bin/netns_exporter"]`)
	require.NotContains(t, last, "RUN ", "scratch has no shell")
	require.Contains(t, text, "CGO_ENABLED=0 go build")
	require.Equal(t, read(t, "container/Containerfile.dockerignore"), read(t, "container/netns_exporter.Containerfile.dockerignore"))
}

// Under the Prometheus Operator the series are of the job that the alerts look
// for, named by the node, and pod and namespace on them are those that were seen.
func TestNetnsServiceMonitor(t *testing.T) {
	const dir = "kubernetes/components/netns-monitoring"
	require.Equal(t, []string{"servicemonitor.yaml"}, kustom(t, dir).Resources)
	var monitor struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			Selector  map[string]map[string]string
			Endpoints []struct {
				Port, Path, Interval string
				HonorLabels          bool `yaml:"honorLabels"`
				Relabelings          []struct {
					Action, Regex, Replacement string
					TargetLabel                string   `yaml:"targetLabel"`
					SourceLabels               []string `yaml:"sourceLabels"`
				}
			}
		}
	}
	strictly(t, dir+"/servicemonitor.yaml", &monitor)
	require.Equal(t, map[string]string{"app.kubernetes.io/name": "netns-exporter"}, monitor.Spec.Selector["matchLabels"])
	e := monitor.Spec.Endpoints[0]
	require.True(t, e.Port == "http" && e.HonorLabels)
	require.Contains(t, read(t, "alerts/netns.rules.yml"), `up{job="`+e.Relabelings[0].Replacement+`"}`)
	require.Equal(t, "job", e.Relabelings[0].TargetLabel)
	require.Equal(t, "instance", e.Relabelings[1].TargetLabel)
	drop := regexp.MustCompile("^(?:" + e.Relabelings[2].Regex + ")$")
	for _, own := range []string{"namespace", "pod", "container"} {
		require.True(t, drop.MatchString(own), own)
	}
	for _, kept := range []string{"job", "instance", "__address__", "__metrics_path__"} {
		require.False(t, drop.MatchString(kept), kept)
	}
}
