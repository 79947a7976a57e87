// Package etcdcluster runs a real etcd of one or more members, and hurts it:
// members are killed, stopped, and cut off.
package etcdcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tocsin/tocsin/lab/world"
)

// Options say what to run.
type Options struct {
	Dir     string   // where data and logs go
	Members int      // 1 or 3
	Args    []string // more flags for each member
	Network bool     // each member gets a network namespace of its own; takes root
	Out     io.Writer
}

// Cluster is a running etcd.
type Cluster struct {
	Members []*Member

	network *network // nil: all on loopback
}

// Member is one of its processes.
type Member struct {
	Name    string
	URL     string // for clients
	Dir     string // its data
	process *world.Process
	link    string // the host's end of its cable; empty: it has none
}

// Start finds etcd on PATH or in .cache/bin, or builds it once, and starts a
// cluster that is ready when Start returns.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	path, err := world.Finder{Root: world.Root(here), Out: o.Out}.Find(ctx, "etcd")
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	if o.Network {
		if c.network, err = newNetwork(ctx); err != nil {
			return nil, fmt.Errorf("lay network: %w", err)
		}
	}
	if err := c.plan(ctx, o, path); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for _, m := range c.Members {
		if err := m.process.Start(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, m := range c.Members {
		if err := m.process.Await(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// plan gives every member its addresses and its command.
func (c *Cluster) plan(ctx context.Context, o Options, path string) error {
	ports, err := world.Ports(ctx, 2*o.Members)
	if err != nil {
		return err
	}
	var initial []string
	peers := make([]string, o.Members)
	for i := range o.Members {
		name := fmt.Sprintf("m%d", i+1)
		m := &Member{Name: name, URL: "http://" + ports[2*i], Dir: filepath.Join(o.Dir, name)}
		peers[i] = "http://" + ports[2*i+1]
		run := []string{path}
		if c.network != nil {
			space, addr, err := c.network.add(ctx, i)
			if err != nil {
				return fmt.Errorf("lay cable to %s: %w", m.Name, err)
			}
			m.URL, peers[i], m.link = "http://"+addr+":2379", "http://"+addr+":2380", space
			run = []string{"ip", "netns", "exec", space, path}
		}
		initial = append(initial, m.Name+"="+peers[i])
		m.process = &world.Process{
			Name: "etcd " + m.Name, Path: run[0], Args: run[1:], Dir: o.Dir,
			Log: filepath.Join(o.Dir, m.Name+".log"), Ready: m.URL + "/health",
		}
		c.Members = append(c.Members, m)
	}
	for i, m := range c.Members {
		m.process.Args = append(m.process.Args,
			"--name", m.Name, "--data-dir", m.Dir, "--log-level", "warn",
			"--listen-client-urls", m.URL, "--advertise-client-urls", m.URL,
			"--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", filepath.Base(o.Dir))
		m.process.Args = append(m.process.Args, o.Args...)
	}
	return nil
}

// Endpoints are the members' client addresses.
func (c *Cluster) Endpoints() []string {
	var out []string
	for _, m := range c.Members {
		out = append(out, m.URL)
	}
	return out
}

// Leader returns the member that leads by its own word.
func (c *Cluster) Leader(ctx context.Context) (*Member, error) {
	for _, m := range c.Members {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		leads, err := m.leads(ctx)
		cancel()
		if err == nil && leads {
			return m, nil
		}
	}
	return nil, errors.New("no member leads")
}

func (m *Member) leads(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL+"/metrics", nil)
	if err != nil {
		return false, err
	}
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return bytes.Contains(text, []byte("\netcd_server_is_leader 1\n")), err
}

// Kill ends the member with SIGKILL.
func (m *Member) Kill() { m.process.Kill() }

// Stop ends it in order: all it holds is in its file then.
func (m *Member) Stop() { m.process.Stop(10 * time.Second) }

// Start starts it again on its data.
func (m *Member) Start() error { return m.process.Start() }

// Await waits until it is healthy: it knows a leader.
func (m *Member) Await(ctx context.Context) error { return m.process.Await(ctx) }

// Pause stops it with SIGSTOP.
func (m *Member) Pause() error { return syscall.Kill(m.process.Pid(), syscall.SIGSTOP) }

// Resume lets it go on.
func (m *Member) Resume() error { return syscall.Kill(m.process.Pid(), syscall.SIGCONT) }

// Cut cuts the member off from the others and from clients: its cable is pulled
// where it has one, else it is stopped.
func (m *Member) Cut(ctx context.Context) error {
	if m.link == "" {
		return m.Pause()
	}
	return ip(ctx, "link", "set", m.link, "down")
}

// Mend undoes Cut.
func (m *Member) Mend(ctx context.Context) error {
	if m.link == "" {
		return m.Resume()
	}
	return ip(ctx, "link", "set", m.link, "up")
}

// Log is the end of the member's log.
func (m *Member) Log() string { return m.process.Tail(20) }

// Close ends all members and takes the network down.
func (c *Cluster) Close() error {
	for _, m := range c.Members {
		m.process.Kill()
	}
	if c.network != nil {
		return c.network.close()
	}
	return nil
}
