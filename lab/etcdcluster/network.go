package etcdcluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"
)

// network is a bridge on this machine, with a namespace on a cable of its own for
// each member.
type network struct {
	id     string
	subnet string // first three numbers of its addresses
	spaces []string
}

// CanNetwork reports whether this machine lets us make network namespaces.
func CanNetwork(ctx context.Context) bool {
	if os.Geteuid() != 0 {
		return false
	}
	n, err := newNetwork(ctx)
	if err != nil {
		return false
	}
	_, _, err = n.add(ctx, 0)
	return errors.Join(err, n.close()) == nil
}

func newNetwork(ctx context.Context) (*network, error) {
	n := &network{id: fmt.Sprintf("ttn%06x", rand.Uint32()&0xffffff), subnet: fmt.Sprintf("10.%d.%d", 64+rand.IntN(64), rand.IntN(256))}
	return n, errors.Join(
		ip(ctx, "link", "add", n.id, "type", "bridge"),
		ip(ctx, "addr", "add", n.subnet+".1/24", "dev", n.id),
		ip(ctx, "link", "set", n.id, "up"),
	)
}

// add makes a namespace with a cable to the bridge. The cable's end on this
// machine is called as the namespace is.
func (n *network) add(ctx context.Context, i int) (space, addr string, err error) {
	space = fmt.Sprintf("%s-%d", n.id, i)
	addr = fmt.Sprintf("%s.%d", n.subnet, 10+i)
	n.spaces = append(n.spaces, space)
	return space, addr, errors.Join(
		ip(ctx, "netns", "add", space),
		ip(ctx, "link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space),
		ip(ctx, "link", "set", space, "master", n.id, "up"),
		ip(ctx, "-n", space, "addr", "add", addr+"/24", "dev", "eth0"),
		ip(ctx, "-n", space, "link", "set", "eth0", "up"),
		ip(ctx, "-n", space, "link", "set", "lo", "up"),
	)
}

func (n *network) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var errs []error
	for _, s := range n.spaces {
		errs = append(errs, ip(ctx, "netns", "del", s))
	}
	return errors.Join(append(errs, ip(ctx, "link", "del", n.id))...)
}

func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
