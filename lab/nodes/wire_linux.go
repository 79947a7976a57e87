package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A pod's network is a wire to a neighbour that is itself: what it sends to there
// comes back with the addresses swapped, which is right without a new checksum
// (it is a sum). So both ends of a connection are in the one network namespace,
// and the wire loses what it is told to lose, on any kernel that has TUN devices.
const (
	here, there, mask = "10.9.0.1", "10.9.0.2", "255.255.255.0"

	port    = "9000"
	talkers = 8
	pause   = 200 * time.Millisecond
)

// talk opens the wire and has talkers ask and answer over it, 40 times a second.
func talk(loss float64) error {
	wire, err := openWire()
	if err != nil {
		return err
	}
	go carry(wire, loss)
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp4", net.JoinHostPort(here, port))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	for range talkers {
		go func() {
			for {
				ask()
			}
		}()
	}
	return nil
}

// ask keeps one connection busy until it breaks.
func ask() {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), "tcp4", net.JoinHostPort(there, port))
	if err != nil {
		return
	}
	defer c.Close()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	buf := make([]byte, 64)
	for range tick.C {
		if _, err := c.Write(buf); err != nil {
			return
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
	}
}

// carry is the wire.
func carry(wire *os.File, loss float64) {
	buf := make([]byte, 64<<10)
	for {
		n, err := wire.Read(buf)
		if err != nil {
			return
		}
		if n < 20 || buf[0]>>4 != 4 || rand.Float64() < loss {
			continue
		}
		var from [4]byte
		copy(from[:], buf[12:16])
		copy(buf[12:16], buf[16:20])
		copy(buf[16:20], from[:])
		if _, err := wire.Write(buf[:n]); err != nil {
			return
		}
	}
}

// openWire makes a TUN device with the pod's address.
func openWire() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a TUN device: %w", err)
	}
	req, err := unix.NewIfreq("eth0")
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, fmt.Errorf("make a TUN device: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(s) }()
	var errs []error
	set := func(call uint, fill func(r *unix.Ifreq) error) {
		r, err := unix.NewIfreq("eth0")
		if err == nil {
			err = errors.Join(fill(r), unix.IoctlIfreq(s, call, r))
		}
		errs = append(errs, err)
	}
	set(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(here).To4()) })
	set(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(mask).To4()) })
	set(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil })
	return os.NewFile(uintptr(fd), "wire"), errors.Join(errs...)
}
