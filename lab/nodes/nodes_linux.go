// Package nodes makes a small cluster of this machine: nodes with a process tree,
// a network and cgroups of their own, on each of them one pod with a CPU limit,
// and a netns_exporter that sees that node and nothing else. What is wrong in a
// pod is really wrong: it uses up its quota, or its packets are lost.
package nodes

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Node is a node with its one pod.
type Node struct {
	Name      string  // node-a
	Pod       string  // cart-0, in the namespace shop
	Busy      bool    // the pod wants more CPU time than its limit of a fifth of a core
	Loss      float64 // share of the pod's packets that are lost, 0..1
	Quiet     bool    // the pod has no traffic
	Addr      string  // of the node's netns_exporter, once Start has returned
	container string  // id
	uid       string
	listener  *os.File
	process   *exec.Cmd
	done      chan struct{}
}

// Options say where nodes are made.
type Options struct {
	Dir      string // for their logs and mounts
	Exporter string // path of netns_exporter
}

// Nodes are a cluster that is up.
type Nodes struct {
	list    []*Node
	options Options
	cgroups hierarchies
	stop    sync.Once
}

// Possible is nil where nodes can be made, else it says what is in the way.
func Possible() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	h, err := findHierarchies()
	defer h.remove()
	if err != nil {
		return err
	}
	c := exec.Command("/proc/self/exe", Argument, "try", "") //nolint:noctx // it ends at once
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	if why, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("start a process with namespaces of its own: %w %s", err, strings.TrimSpace(string(why)))
	}
	return nil
}

// Start brings the nodes up, one after another, and returns when all exporters
// listen. ctx bounds the start only.
func Start(ctx context.Context, o Options, list []*Node) (*Nodes, error) {
	cgroups, err := findHierarchies()
	if err != nil {
		return nil, err
	}
	n := &Nodes{options: o, cgroups: cgroups, list: list}
	for i, node := range list {
		node.uid = fmt.Sprintf("%08x-0000-4000-8000-%012x", os.Getpid(), i)
		node.container = strings.Repeat(fmt.Sprintf("%08x", os.Getpid()+i<<24), 8)
		if err := n.raise(ctx, node); err != nil {
			n.Stop()
			return nil, fmt.Errorf("%s: %w", node.Name, err)
		}
	}
	return n, nil
}

// raise makes the node's folders and cgroups, and starts its first process.
func (n *Nodes) raise(ctx context.Context, node *Node) error {
	dir := filepath.Join(n.options.Dir, node.Name)
	if err := logs(dir, node); err != nil {
		return err
	}
	pod := filepath.Join("kubepods", "pod"+node.uid, node.container)
	groups, err := n.cgroups.node(node.Name, filepath.Join(dir, "sys/fs/cgroup"), pod)
	if err != nil {
		return err
	}
	if err := n.listen(ctx, node); err != nil {
		return err
	}
	work := inside{
		Pod: podWork{Cgroups: groups, Busy: node.Busy, Loss: node.Loss, Quiet: node.Quiet},
		Exporter: []string{
			n.options.Exporter, "--web.systemd-socket", "--path.sysfs=" + filepath.Join(dir, "sys"),
			"--names.logs=" + filepath.Join(dir, "log"), "--log.level=warn",
		},
	}
	return n.launch(node, dir, work)
}

// listen opens the exporter's port in our own network: the node's has none.
func (n *Nodes) listen(ctx context.Context, node *Node) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close() // the file is another descriptor of it
	node.Addr = l.Addr().String()
	node.listener, err = l.(*net.TCPListener).File()
	return err
}

// launch starts the node's first process and waits until it says that all is up.
func (n *Nodes) launch(node *Node, dir string, work inside) error {
	spec, err := json.Marshal(work)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "node.log"))
	if err != nil {
		return err
	}
	defer log.Close()                                                             // the child has its own descriptor
	node.process = exec.Command("/proc/self/exe", Argument, "node", string(spec)) //nolint:noctx // Stop ends it
	node.process.ExtraFiles = []*os.File{node.listener}
	node.process.Stderr = log
	node.process.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Setpgid:    true, Pdeathsig: syscall.SIGKILL,
	}
	said, err := node.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := node.process.Start(); err != nil {
		return fmt.Errorf("start a process with namespaces of its own: %w", err)
	}
	node.done = make(chan struct{})
	up := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(said).ReadString('\n')
		up <- line == ready
		_, _ = io.Copy(io.Discard, said)
		_ = node.process.Wait()
		close(node.done)
	}()
	select {
	case ok := <-up:
		if ok {
			return nil
		}
	case <-time.After(30 * time.Second):
	}
	why, _ := os.ReadFile(log.Name())
	return fmt.Errorf("it does not come up: %s", strings.TrimSpace(string(why)))
}

// Stop ends the nodes with all that is in them and removes their cgroups.
func (n *Nodes) Stop() {
	n.stop.Do(func() {
		for _, node := range n.list {
			if node.done != nil {
				_ = node.process.Process.Kill() // the first of its processes: the kernel ends the others with it
				<-node.done
			}
			if node.listener != nil {
				_ = node.listener.Close()
			}
		}
		n.cgroups.remove()
	})
}

// logs makes the folders by whose names the kubelet tells pods and containers.
func logs(dir string, node *Node) error {
	pods, containers := filepath.Join(dir, "log/pods", "shop_"+node.Pod+"_"+node.uid), filepath.Join(dir, "log/containers")
	if err := errors.Join(os.MkdirAll(pods, 0o755), os.MkdirAll(containers, 0o755)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(containers, node.Pod+"_shop_cart-"+node.container+".log"), nil, 0o644)
}
