package names_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/netns/names"
)

const uid = "8d3cf0f2-1c0b-4a5e-9a37-2a3b1c7f4d11"

func hex64(c string) string { return strings.Repeat(c, 64/len(c)) }

func TestParsePath(t *testing.T) {
	a, b := hex64("a1"), hex64("b2")
	under := strings.ReplaceAll(uid, "-", "_")
	static := strings.Repeat("0f", 16)
	for path, want := range map[string]names.Ref{
		"/":                                     {},
		"":                                      {},
		"/user.slice":                           {},
		"/docker/" + a:                          {Runtime: "docker", ContainerID: a},
		"/libpod_parent/libpod-" + a:            {Runtime: "podman", ContainerID: a},
		"/machine.slice/libpod-" + a + ".scope": {Runtime: "podman", ContainerID: a},
		"/machine.slice/libpod-" + a + ".scope/container":      {Runtime: "podman", ContainerID: a},
		"/system.slice/docker-" + a + ".scope":                 {Runtime: "docker", ContainerID: a},
		"/system.slice/nerdctl-" + a + ".scope":                {Runtime: "containerd", ContainerID: a},
		"/default/" + a:                                        {Runtime: "containerd", ContainerID: a},
		"/lxc.payload.web":                                     {Runtime: "lxc", ContainerID: "web"},
		"/lxc/web":                                             {Runtime: "lxc", ContainerID: "web"},
		"/lxc.payload.web/system.slice/nginx.service":          {Runtime: "lxc", ContainerID: "web"},
		"/kubepods/pod" + uid + "/" + a:                        {ContainerID: a, PodUID: uid},
		"/kubepods/burstable/pod" + uid + "/" + a:              {ContainerID: a, PodUID: uid},
		"/kubepods/besteffort/pod" + uid:                       {PodUID: uid},
		"/kubepods/besteffort/pod" + uid + "/crio-" + a:        {Runtime: "cri-o", ContainerID: a, PodUID: uid},
		"/kubepods/besteffort/pod" + uid + "/crio-conmon-" + a: {PodUID: uid},
		"/kubepods/burstable/pod" + static + "/" + a:           {ContainerID: a, PodUID: static},
		"/kubepods.slice/kubepods-burstable.slice":             {},
		"/kubepods.slice/kubepods-pod" + under + ".slice":      {PodUID: uid},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + under + ".slice/cri-containerd-" + a + ".scope":             {Runtime: "containerd", ContainerID: a, PodUID: uid},
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + under + ".slice/crio-" + a + ".scope":                     {Runtime: "cri-o", ContainerID: a, PodUID: uid},
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + under + ".slice/crio-conmon-" + a + ".scope":              {PodUID: uid},
		"/kubepods.slice/kubepods-pod" + under + ".slice/docker-" + a + ".scope":                                                        {Runtime: "docker", ContainerID: a, PodUID: uid},
		"/system.slice/containerd.service/kubepods-burstable-pod" + under + ".slice:cri-containerd:" + a:                                {Runtime: "containerd", ContainerID: a, PodUID: uid},
		"/docker/" + b + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + under + ".slice/cri-containerd-" + a + ".scope": {Runtime: "containerd", ContainerID: a, PodUID: uid},
		"/docker/" + b + "/kubelet/kubepods/besteffort/pod" + uid + "/" + a:                                                             {ContainerID: a, PodUID: uid},
		"/docker/" + b + "/system.slice/kubelet.service":                                                                                {Runtime: "docker", ContainerID: b},
		"/system.slice/nginx.service":                                              {Runtime: "systemd", Unit: "nginx.service"},
		"/system.slice/postgres@main.service":                                      {Runtime: "systemd", Unit: "postgres@main.service"},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app-editor.scope": {Runtime: "systemd", Unit: "app-editor.scope"},
		"/init.scope":                          {Runtime: "systemd", Unit: "init.scope"},
		"/../../docker/" + a:                   {Runtime: "docker", ContainerID: a},
		"/docker/" + a[:63]:                    {},
		"/docker/" + strings.ToUpper(a):        {},
		"/kubepods/podnot-a-uid/x":             {},
		"/system.slice/cri-containerd-x.scope": {Runtime: "systemd", Unit: "cri-containerd-x.scope"},
	} {
		require.Equal(t, want, names.ParsePath(path), path)
	}
}

func TestClean(t *testing.T) {
	long := strings.Repeat("x", 252) + "é"
	for in, want := range map[string]string{
		"":                        "",
		"shop-42":                 "shop-42",
		"a\nb\x00c\x1b[31m":       "a_b_c_[31m",
		"caf\u00e9":               "caf\u00e9",
		"\xff\xfe":                "__",
		"right\u202eto\u200bleft": "right_to_left",
		long:                      strings.Repeat("x", 252),
		strings.Repeat("é", 300):  strings.Repeat("é", 126),
	} {
		require.Equal(t, want, names.Clean(in))
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{
		"/", "//", "/docker/" + hex64("a1"), "/kubepods/pod" + uid + "/" + hex64("f"), "/x.slice:cri-containerd:" + hex64("0"),
		"/lxc/", "/lxc/:", "/kubepods-pod.slice", "/.service", "/a/../b", "/\xff.scope", "pod" + uid, ":::", "/libpod-" + hex64("c") + ".scope",
	} {
		f.Add(s)
	}
	r := names.New(names.Options{})
	f.Fuzz(func(t *testing.T, path string) {
		ref := names.ParsePath(path)
		require.Contains(t, path+strings.ReplaceAll(path, "_", "-"), ref.PodUID)
		require.Contains(t, path, ref.ContainerID)
		require.Contains(t, path, ref.Unit)
		for _, v := range r.Resolve(path).Values() {
			require.True(t, utf8.ValidString(v))
			require.LessOrEqual(t, len(v), 253)
		}
	})
}
