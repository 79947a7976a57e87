package names

import "strings"

// Ref is what a cgroup's path says of its owner.
type Ref struct {
	Runtime     string
	ContainerID string // 64 hex digits for most runtimes, a name for lxc
	PodUID      string // with dashes; or 32 hex digits for a static pod
	Unit        string // the innermost systemd service, socket or scope that is no container
}

// ParsePath reads the paths that docker, containerd, cri-o, podman, lxc, systemd and
// the kubelet make with both of its drivers. Of nested patterns (a cluster in a
// container) the last counts.
//
//	/kubepods/burstable/pod<uid>/<id>
//	/kubepods.slice/kubepods-pod<uid with _>.slice/cri-containerd-<id>.scope
//	/system.slice/docker-<id>.scope         /docker/<id>
//	/machine.slice/libpod-<id>.scope        /libpod_parent/libpod-<id>
//	/system.slice/containerd.service/kubepods-burstable-pod<uid>.slice:cri-containerd:<id>
//	/lxc.payload.<name>                     /lxc/<name>
//	/system.slice/nginx.service
func ParsePath(path string) Ref {
	var r Ref
	parent := ""
	for len(path) > 0 {
		var elem string
		elem, path, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
		// containerd with systemd's syntax under cgroupfs' driver: slice:prefix:name
		for elem != "" {
			var part string
			part, elem, _ = strings.Cut(elem, ":")
			r.element(part, parent)
			parent = part
		}
	}
	return r
}

// element takes one element of a path into account.
func (r *Ref) element(elem, parent string) {
	if uid, ok := podUID(elem); ok {
		*r = Ref{PodUID: uid}
		return
	}
	if runtime, id, ok := container(elem, parent); ok {
		if runtime == "" && r.Runtime != "" && r.ContainerID == "" {
			runtime = r.Runtime
		}
		r.Runtime, r.ContainerID, r.Unit = runtime, id, ""
		return
	}
	name, suffix, _ := cutLast(elem, ".")
	if (suffix == "service" || suffix == "scope" || suffix == "socket") && name != "" && r.ContainerID == "" && r.PodUID == "" {
		r.Runtime, r.Unit = "systemd", elem
	}
}

// podUID reads pod<uid>, kubepods-burstable-pod<uid with _>.slice and their like.
func podUID(elem string) (uid string, ok bool) {
	elem = strings.TrimSuffix(elem, ".slice")
	if !strings.HasPrefix(elem, "pod") {
		_, rest, found := cutLast(elem, "-pod")
		if !found || !strings.Contains(elem, "kubepods") {
			return "", false
		}
		elem = "pod" + rest
	}
	uid = strings.ReplaceAll(elem[len("pod"):], "_", "-")
	if len(uid) == 36 && uid[8] == '-' && uid[13] == '-' && uid[18] == '-' && uid[23] == '-' {
		return uid, isHex(strings.ReplaceAll(uid, "-", ""), 32)
	}
	return uid, isHex(uid, 32)
}

// container reads an element that is a container's.
func container(elem, parent string) (runtime, id string, ok bool) {
	for _, p := range []struct{ prefix, runtime string }{
		{"cri-containerd-", "containerd"}, {"nerdctl-", "containerd"}, {"crio-", "cri-o"}, {"docker-", "docker"}, {"libpod-", "podman"},
	} {
		if rest, found := strings.CutPrefix(elem, p.prefix); found {
			id = strings.TrimSuffix(rest, ".scope")
			return p.runtime, id, isHex(id, 64)
		}
	}
	if name, found := strings.CutPrefix(elem, "lxc.payload."); found && name != "" {
		return "lxc", name, true
	}
	if parent == "lxc" && elem != "" {
		return "lxc", elem, true
	}
	if !isHex(elem, 64) {
		return "", "", false
	}
	switch parent {
	case "docker":
		return "docker", elem, true
	case "crio":
		return "cri-o", elem, true
	case "cri-containerd", "default", "k8s.io":
		return "containerd", elem, true
	}
	return "", elem, true
}

// isHex says whether s is n lower-case hex digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// name is what the path alone says.
func (r Ref) name() Name {
	n := Name{Runtime: r.Runtime, ContainerID: r.ContainerID, Unit: r.Unit}
	if r.Runtime == "lxc" {
		n.Container = r.ContainerID
	}
	if service, ok := strings.CutSuffix(r.Unit, ".service"); ok {
		n.App, _, _ = strings.Cut(service, "@")
	}
	return n
}
