package etcd

import (
	"context"
	"net"
	"net/url"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// pulse asks every member every other second whether it lives, and closes the
// connections to one that does not answer: a stopped machine keeps its
// connections open, and calls would go on being sent there until grpc's own
// keepalive, of ten seconds at least, gives up on them.
type pulse struct {
	mu      sync.Mutex
	conns   map[string]map[net.Conn]bool // by address
	running sync.WaitGroup
}

func newPulse() *pulse { return &pulse{conns: map[string]map[net.Conn]bool{}} }

// dial is how all connections are made.
func (p *pulse) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[addr] == nil {
		p.conns[addr] = map[net.Conn]bool{}
	}
	c := &tracked{Conn: conn}
	c.forget = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns[addr], c)
	}
	p.conns[addr][c] = true
	return c, nil
}

// tracked is a connection that is forgotten when it is closed.
type tracked struct {
	net.Conn
	forget func()
}

// Close is net.Conn's.
func (c *tracked) Close() error {
	c.forget()
	return c.Conn.Close()
}

// hang up closes all connections to an address.
func (p *pulse) hangUp(addr string) {
	p.mu.Lock()
	conns := make([]net.Conn, 0, len(p.conns[addr]))
	for c := range p.conns[addr] {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// start asks until ctx ends.
func (p *pulse) start(ctx context.Context, client *clientv3.Client) error {
	for _, endpoint := range client.Endpoints() {
		u, err := url.Parse(endpoint)
		if err != nil {
			return err
		}
		conn, err := client.Dial(endpoint)
		if err != nil {
			return err
		}
		p.running.Go(func() {
			defer conn.Close()
			p.ask(ctx, conn, u.Host)
		})
	}
	return nil
}

func (p *pulse) ask(ctx context.Context, conn *grpc.ClientConn, addr string) {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		within, cancel := context.WithTimeout(ctx, keepAlive)
		_, err := grpc_health_v1.NewHealthClient(conn).Check(within, &grpc_health_v1.HealthCheckRequest{})
		silent := within.Err() != nil // any other error is an answer
		cancel()
		if err != nil && silent && ctx.Err() == nil {
			p.hangUp(addr)
		}
	}
}

// wait waits for its goroutines, once start's context has ended.
func (p *pulse) wait() { p.running.Wait() }
