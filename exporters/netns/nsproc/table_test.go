//go:build linux

package nsproc_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tocsin/tocsin/exporters"
	"github.com/tocsin/tocsin/exporters/netns/nsproc"
	"github.com/tocsin/tocsin/exporters/netns/nstest"
)

// namer knows pods by their cgroups.
type namer map[string]nsproc.Labels

func (n namer) Name(_ int, cgroup string) nsproc.Labels { return n[cgroup] }

func pods() namer {
	return namer{
		"/pod1/app":    {Namespace: "shop", Pod: "cart-1", Container: "cart", ContainerID: "abc", App: "cart"},
		"/docker/web":  {Container: "web", ContainerID: "def"},
		"/pod2/agent":  {Namespace: "kube-system", Pod: "agent-1", Container: "agent", App: "agent"},
		"/pod2/helper": {Namespace: "kube-system", Pod: "agent-1", Container: "helper", App: "agent"},
	}
}

func TestNames(t *testing.T) {
	tree := nstest.NewTree(t)
	tree.Process(100, "pod", "/pod1/pause", 1) // which nobody knows
	tree.Process(101, "pod", "/pod1/app", 1)
	tree.Process(200, "docker", "/docker/web", 2)
	tree.Process(300, "unknown", "/user.slice", 3)
	tree.Process(400, "host", "/pod2/agent", 0)
	tree.Process(401, "host", "/pod2/agent", 0)
	tree.Process(402, "host", "/pod2/helper", 0)
	for _, inline := range []bool{false, true} {
		tab := table(t, nsproc.Options{ProcFS: tree.Dir, Namer: pods(), Inline: inline})
		s := serve(t, tab, nsproc.NewNamespaces(tab), nsproc.NewCounters(tab, nil))
		f := s.scrape(t)
		info := f["netns_info"].Metric
		require.Len(t, info, 4, "one for each namespace")
		pod := tree.Inode("pod")
		require.InDelta(t, 1, f.value(t, "netns_info", "netns", pod, "namespace", "shop", "pod", "cart-1", "app", "cart", "container", "", "host", "false"), 0,
			"the network is the pod's, not one container's")
		require.InDelta(t, 1, f.value(t, "netns_info", "netns", tree.Inode("docker"), "container", "web", "pod", ""), 0)
		require.InDelta(t, 1, f.value(t, "netns_info", "netns", tree.Inode("unknown"), "pod", "", "container", ""), 0)
		require.InDelta(t, 1, f.value(t, "netns_info", "netns", tree.Inode("host"), "host", "true", "pod", ""), 0)
		require.Len(t, f["netns_host_workload_info"].Metric, 1, "a pod of the host's network is there once")
		require.InDelta(t, 1, f.value(t, "netns_host_workload_info", "netns", tree.Inode("host"), "pod", "agent-1", "app", "agent"), 0)
		want := map[bool]string{false: "", true: "cart-1"}[inline]
		require.InDelta(t, 2, f.value(t, "netns_tcp_active_opens_total", "netns", pod, "pod", want), 0)
	}
}

// A name that is known only later is taken up, and one that changes too.
func TestNamesThatComeLater(t *testing.T) {
	tree := nstest.NewTree(t)
	tree.Process(100, "pod", "/pod1/app", 1)
	names := namer{}
	tab := table(t, nsproc.Options{ProcFS: tree.Dir, Namer: names})
	s := serve(t, tab, nsproc.NewNamespaces(tab))
	_, there := s.scrape(t).find("netns_info", "pod", "cart-1")
	require.False(t, there)
	names["/pod1/app"] = pods()["/pod1/app"]
	require.InDelta(t, 1, s.scrape(t).value(t, "netns_info", "netns", tree.Inode("pod"), "pod", "cart-1"), 0)
}

// The last process that a look saw is gone, and another one is in a namespace of
// the same number: without ids it cannot be told whether it is the same one.
func TestWithoutAWitnessItIsANewOne(t *testing.T) {
	tree := nstest.NewTree(t)
	tree.Process(100, "pod", "/", 1)
	tree.Process(101, "pod", "/", 1)
	tab := table(t, nsproc.Options{ProcFS: tree.Dir})
	s := serve(t, tab, nsproc.NewNamespaces(tab))
	pod := tree.Inode("pod")
	s.scrape(t).value(t, "netns_info", "netns", pod)
	tree.End(100)
	tree.Process(102, "pod", "/", 1)
	s.scrape(t).value(t, "netns_info", "netns", pod) // 101 bears witness
	tree.End(101)
	s.scrape(t).value(t, "netns_info", "netns", pod) // 102 does
	tree.End(102)
	tree.Process(103, "pod", "/", 1)
	f := s.scrape(t)
	f.value(t, "netns_info", "netns", pod+"-2")
	_, there := f.find("netns_info", "netns", pod)
	require.False(t, there)
	// a look that was given up has seen nothing, and forgotten nothing
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tab.Forget()
	_, err := tab.Look(ended)
	require.ErrorIs(t, err, context.Canceled)
	s.scrape(t).value(t, "netns_info", "netns", pod+"-2")
}

// Half of the namespaces are read when the scraper's time is over: those are
// there, and the collector is marked.
func TestPartialScrape(t *testing.T) {
	tree := nstest.NewTree(t)
	for i := range 5 {
		tree.Process(100+i, "ns"+strconv.Itoa(i), "/", i)
	}
	tab := table(t, nsproc.Options{ProcFS: tree.Dir})
	c := nsproc.NewSockets(tab)
	s := serve(t, tab, ending{c})
	f := s.scrape(t)
	require.Zero(t, f.value(t, "netns_scrape_collector_success", "collector", "sockets"))
}

// ending gives a collector a context that has ended by the time it has looked.
type ending struct{ *nsproc.Sockets }

func (e ending) Expose(ctx context.Context, out *exporters.Text) error {
	ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	return e.Sockets.Expose(ctx, out)
}

// A thread that cannot be brought back to its namespace is not used again.
func TestALostThreadEnds(t *testing.T) {
	if !nstest.Root(t) {
		return
	}
	n := nstest.New(t)
	tab := table(t, nsproc.Options{})
	lost := make(chan int)
	go func() {
		defer close(lost)
		err := tab.Within(t.Context(), n.PID, func() error {
			lost <- unix.Gettid()
			// take away the only way back: the file of our own namespace
			entries, err := os.ReadDir("/proc/self/fd")
			for _, e := range entries {
				to, _ := os.Readlink("/proc/self/fd/" + e.Name())
				if fd, _ := strconv.Atoi(e.Name()); to == "net:["+name(t, os.Getpid())+"]" {
					err = errors.Join(err, unix.Close(fd))
				}
			}
			return err
		})
		require.ErrorContains(t, err, "leave namespace")
		runtime.Gosched()
	}()
	tid := <-lost
	<-lost
	require.Eventually(t, func() bool {
		link, err := os.Readlink("/proc/self/task/" + strconv.Itoa(tid) + "/ns/net")
		return err != nil || strings.Contains(link, name(t, os.Getpid()))
	}, 30*time.Second, 10*time.Millisecond, "the thread is still there, in the other namespace")
}

// A process ends while it is read through, and its number is another one's in
// another namespace by then: what was read does not count, the next process is
// asked; where there is none, nothing is exposed.
func TestANumberThatIsUsedAgainWhileItIsRead(t *testing.T) {
	tree := nstest.NewTree(t)
	tree.Process(100, "pod", "/", 1)
	tree.Process(101, "pod", "/", 1)
	tab := table(t, nsproc.Options{ProcFS: tree.Dir})
	var paths []string
	read := func(path string) error {
		paths = append(paths, strings.TrimPrefix(path, tree.Dir))
		if pid, _ := strconv.Atoi(strings.Split(paths[0], "/")[1]); len(paths) == 1 {
			tree.End(pid)
			tree.Process(pid, "other", "/", 2)
		}
		return nil
	}
	require.NoError(t, tab.Visit(t.Context(), tree.Inode("pod"), read))
	require.Len(t, paths, 2)
	require.ElementsMatch(t, []string{"/100/net/", "/101/net/"}, paths)

	tree = nstest.NewTree(t)
	tree.Process(100, "pod", "/", 1)
	tab, paths = table(t, nsproc.Options{ProcFS: tree.Dir}), nil
	require.Error(t, tab.Visit(t.Context(), tree.Inode("pod"), read), "it is gone")
	require.Len(t, paths, 1)
}
