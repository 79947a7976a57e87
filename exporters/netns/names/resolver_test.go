package names_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/tocsin/tocsin/exporters/netns/names"
	"github.com/tocsin/tocsin/exporters/netns/nsproc"
)

// socket listens on a socket whose path is short enough for the kernel.
func socket(t *testing.T) (string, net.Listener) {
	t.Helper()
	dir, err := os.MkdirTemp("", "names") //nolint:usetesting // a test's own is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	require.NoError(t, err)
	return path, l
}

// fakeCRI is a runtime with one pod of two containers.
type fakeCRI struct {
	runtime.UnimplementedRuntimeServiceServer
}

func (fakeCRI) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	return &runtime.VersionResponse{RuntimeName: "containerd", RuntimeApiVersion: "v1"}, nil
}

func (fakeCRI) ListPodSandbox(context.Context, *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	return &runtime.ListPodSandboxResponse{Items: []*runtime.PodSandbox{{
		Id: hex64("5a"), Metadata: &runtime.PodSandboxMetadata{Name: "checkout-0", Namespace: "shop", Uid: uid},
		Labels: map[string]string{"app.kubernetes.io/name": "checkout", "app": "no"},
	}}}, nil
}

func (fakeCRI) ListContainers(context.Context, *runtime.ListContainersRequest) (*runtime.ListContainersResponse, error) {
	return &runtime.ListContainersResponse{Containers: []*runtime.Container{
		{Id: hex64("a1"), PodSandboxId: hex64("5a"), Metadata: &runtime.ContainerMetadata{Name: "app"}, Labels: map[string]string{
			"io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "checkout-0", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": uid,
		}},
		{Id: hex64("b2"), PodSandboxId: hex64("5a"), Metadata: &runtime.ContainerMetadata{Name: "side\ncar"}},
	}}, nil
}

func TestCRI(t *testing.T) {
	path, l := socket(t)
	srv := grpc.NewServer()
	runtime.RegisterRuntimeServiceServer(srv, fakeCRI{})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	cri, err := names.NewCRI(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cri.Close()) })
	r := names.New(names.Options{Sources: []names.Source{cri}, Log: slog.New(slog.DiscardHandler)})
	pod := "/kubepods/burstable/pod" + uid
	require.Equal(t, names.Name{ContainerID: hex64("a1")}, r.Resolve(pod+"/"+hex64("a1")), "not asked yet")
	r.Refresh(t.Context())
	of := names.Name{App: "checkout", Namespace: "shop", Pod: "checkout-0", Runtime: "containerd"}
	with := func(container, id string) names.Name {
		n := of
		n.Container, n.ContainerID = container, id
		return n
	}
	require.Equal(t, with("app", hex64("a1")), r.Resolve(pod+"/"+hex64("a1")))
	require.Equal(t, nsproc.Labels{Namespace: "shop", Pod: "checkout-0", Container: "app", ContainerID: hex64("a1"), App: "checkout"}, r.Name(1, "/.."+pod+"/"+hex64("a1")))
	require.Equal(t, with("side_car", hex64("b2")), r.Resolve(pod+"/"+hex64("b2")))
	require.Equal(t, with("", hex64("5a")), r.Resolve(pod+"/"+hex64("5a")), "the sandbox")
	require.Equal(t, "checkout-0", r.Resolve(pod).Pod, "the pod's own cgroup")
	require.Empty(t, r.Resolve("/kubepods/pod"+strings.Replace(uid, "8", "9", 1)).Pod, "another pod")
}

func TestDocker(t *testing.T) {
	path, l := socket(t)
	answer := []map[string]any{
		{"Id": hex64("a1"), "Names": []string{"/web"}, "Labels": map[string]string{"com.docker.compose.service": "frontend"}, "Unknown": 1},
		{"Id": hex64("b2"), "Names": []string{"/k8s_app"}, "Labels": map[string]string{
			"io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n", "io.kubernetes.pod.uid": uid,
		}},
	}
	status := http.StatusOK
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/containers/json" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	}), ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	d := names.NewDocker(path)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	r := names.New(names.Options{Sources: []names.Source{d}, Log: slog.New(slog.DiscardHandler)})
	r.Refresh(t.Context())
	require.Equal(t, names.Name{App: "frontend", Container: "web", ContainerID: hex64("a1"), Runtime: "docker"}, r.Resolve("/docker/"+hex64("a1")))
	require.Equal(t, names.Name{Container: "app", ContainerID: hex64("b2"), Namespace: "n", Pod: "p", Runtime: "docker"}, r.Resolve("/kubepods/pod"+uid+"/"+hex64("b2")))
	status = http.StatusInternalServerError
	_, err := d.List(t.Context())
	require.EqualError(t, err, "list containers: status 500")
	r.Refresh(t.Context())
	require.Equal(t, "web", r.Resolve("/docker/"+hex64("a1")).Container, "what was known stays while the engine restarts")
}

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"pods/shop_checkout-0_" + uid + "/app", "pods/not-a-pod", "pods/a__b", "pods/a_b_c_d",
		"containers/checkout-0_shop_side-car-" + hex64("a1") + ".log", "containers/checkout-0_shop_x-short.log", "containers/README",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	logs := names.NewLogs(dir)
	r := names.New(names.Options{Sources: []names.Source{logs}, Log: slog.New(slog.DiscardHandler)})
	r.Refresh(t.Context())
	require.Equal(t, names.Name{Container: "side-car", ContainerID: hex64("a1"), Namespace: "shop", Pod: "checkout-0"}, r.Resolve("/kubepods/pod"+uid+"/"+hex64("a1")))
	require.Equal(t, names.Name{ContainerID: hex64("b2"), Namespace: "shop", Pod: "checkout-0"}, r.Resolve("/kubepods/pod"+uid+"/"+hex64("b2")), "a container whose log is not there yet")
	entries, err := logs.List(t.Context())
	require.NoError(t, err)
	require.Len(t, entries, 2)
	entries, err = names.NewLogs(filepath.Join(dir, "none")).List(t.Context())
	require.NoError(t, err)
	require.Empty(t, entries)
}

// counted is a source that counts how often it is asked, and may hang or fail.
type counted struct {
	asked   atomic.Int32
	hang    bool
	err     error
	entries []names.Entry
}

func (*counted) Name() string { return "counted" }

func (c *counted) List(ctx context.Context) ([]names.Entry, error) {
	c.asked.Add(1)
	if c.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return c.entries, c.err
}

func TestRunAsksWhenAContainerIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{}
		r := names.New(names.Options{Sources: []names.Source{c}, Log: slog.New(slog.DiscardHandler)})
		go r.Run(t.Context())
		synctest.Wait()
		require.EqualValues(t, 1, c.asked.Load(), "at start")
		<-time.After(10 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, c.asked.Load(), "nothing new")
		c.entries = []names.Entry{{ContainerID: hex64("a1"), Name: names.Name{Container: "late"}}}
		require.Empty(t, r.Resolve("/docker/"+hex64("a1")).Container)
		<-time.After(time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 2, c.asked.Load(), "a new container")
		require.Equal(t, "late", r.Resolve("/docker/"+hex64("a1")).Container)
		for range 10 { // one that nobody will ever name
			r.Resolve("/docker/" + hex64("b2"))
			<-time.After(1500 * time.Millisecond)
			synctest.Wait()
		}
		require.EqualValues(t, 5, c.asked.Load(), "three times for it, and then as for all")
	})
}

func TestASourceThatHangsHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, broken := &counted{hang: true}, &counted{err: errors.New("gone")}
		good := &counted{entries: []names.Entry{{ContainerID: hex64("a1"), Name: names.Name{Container: "web"}}}}
		r := names.New(names.Options{Sources: []names.Source{slow, broken, good}, Log: slog.New(slog.DiscardHandler)})
		begin := time.Now()
		go r.Refresh(t.Context())
		synctest.Wait()
		require.Empty(t, r.Resolve("/docker/"+hex64("a1")).Container)
		require.Equal(t, begin, time.Now(), "resolving does not wait")
		<-time.After(3 * time.Second)
		synctest.Wait()
		require.Equal(t, "web", r.Resolve("/docker/"+hex64("a1")).Container)
	})
}

func BenchmarkResolve(b *testing.B) {
	r := names.New(names.Options{})
	path := "/kubepods/burstable/pod" + uid + "/" + hex64("a1")
	b.ReportAllocs()
	for b.Loop() {
		r.Resolve(path)
	}
}
