package world

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports returns n loopback addresses nobody listens on. They lie below the
// range from which the kernel takes the ports of outgoing connections, so that
// none of ours is gone by the time the child listens.
func Ports(ctx context.Context, n int) ([]string, error) {
	const low, high, tries = 20000, 32000, 200
	var addrs []string
	var lc net.ListenConfig
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close() // they were only held so that none is given twice
		}
	}()
	var errs []error
	for range tries {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(low+rand.IntN(high-low)))
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		open, addrs = append(open, l), append(addrs, addr)
	}
	return nil, fmt.Errorf("no %d free loopback ports in %d tries: %w", n, tries, errors.Join(errs...))
}
