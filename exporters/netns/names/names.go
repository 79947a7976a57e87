// Package names says whose a cgroup is: container, pod, namespace, app. What the
// cgroup's path gives away it reads at once; the rest it learns from the CRI API,
// the Docker API and the log directories of the kubelet in the background, and
// from a file written by hand for hosts without any of these. A scrape never
// waits for it.
package names

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLength is at what length a name from outside is cut, in bytes.
const maxLength = 253

// Name is whose a cgroup is, as far as is known.
type Name struct {
	App         string // app.kubernetes.io/name, app, k8s-app, Compose's service or the systemd unit's name
	Container   string
	ContainerID string
	Namespace   string
	Pod         string
	Runtime     string // containerd, cri-o, docker, podman, lxc, systemd
	Unit        string // systemd unit
}

// Labels are the labels of an info series, sorted; Values are theirs.
func Labels() []string {
	return []string{"app", "container", "container_id", "namespace", "pod", "runtime", "unit"}
}

// Values are the values of Labels, in the same order.
func (n Name) Values() []string {
	return []string{n.App, n.Container, n.ContainerID, n.Namespace, n.Pod, n.Runtime, n.Unit}
}

// InlineLabels are the labels that a flag puts on every series, sorted.
func InlineLabels() []string { return []string{"app", "container", "namespace", "pod"} }

// InlineValues are the values of InlineLabels, in the same order.
func (n Name) InlineValues() []string { return []string{n.App, n.Container, n.Namespace, n.Pod} }

// over is n with what is empty in it taken from below.
func (n Name) over(below Name) Name {
	first := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	return Name{
		App: first(n.App, below.App), Container: first(n.Container, below.Container), ContainerID: first(n.ContainerID, below.ContainerID),
		Namespace: first(n.Namespace, below.Namespace), Pod: first(n.Pod, below.Pod),
		Runtime: first(n.Runtime, below.Runtime), Unit: first(n.Unit, below.Unit),
	}
}

// clean is n fit for labels.
func (n Name) clean() Name {
	return Name{
		App: Clean(n.App), Container: Clean(n.Container), ContainerID: Clean(n.ContainerID), Namespace: Clean(n.Namespace),
		Pod: Clean(n.Pod), Runtime: Clean(n.Runtime), Unit: Clean(n.Unit),
	}
}

// Clean makes a label value of a name from outside: valid UTF-8 of printing
// characters, at most 253 bytes, cut at the end.
func Clean(s string) string {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] >= ' ' && s[i] < 0x7f
	}
	if !plain {
		s = strings.Map(func(r rune) rune {
			if r == utf8.RuneError || !unicode.IsPrint(r) {
				return '_'
			}
			return r
		}, cut(s, 4*maxLength))
	}
	return cut(s, maxLength)
}

// cut cuts s to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
