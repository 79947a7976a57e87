package etcd

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/storetest"
)

// The environment of this binary as a child that writes until it is killed.
const (
	childEndpoints = "TOCSIN_TEST_ETCD_ENDPOINTS"
	childPrefix    = "TOCSIN_TEST_ETCD_PREFIX"
)

func TestMain(m *testing.M) {
	if os.Getenv(childPrefix) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

func childConfig() Config {
	return Config{Endpoints: strings.Split(os.Getenv(childEndpoints), ","), Prefix: os.Getenv(childPrefix)}
}

// itself is this binary as a child on a cluster.
func itself(t testing.TB, c *etcdcluster.Cluster, prefix string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEndpoints+"="+strings.Join(c.Endpoints(), ","), childPrefix+"="+prefix)
	return cmd
}

// run starts a real etcd for a test.
func run(t testing.TB, o etcdcluster.Options) *etcdcluster.Cluster {
	t.Helper()
	o.Dir, o.Out, o.Members = t.TempDir(), t.Output(), max(o.Members, 1)
	c, err := etcdcluster.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// open opens an engine as Tocsin does.
func open(t testing.TB, c *etcdcluster.Cluster, prefix string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Endpoints: c.Endpoints(), Prefix: prefix}, slog.New(slog.DiscardHandler), time.Now, prometheus.NewRegistry())
	require.NoError(t, err)
	return s
}

// openAt opens an engine on a cluster that a test has put beneath it.
func openAt(t testing.TB, c cluster, prefix string) *Store {
	t.Helper()
	s, err := start(t.Context(), c, prefix, slog.New(slog.DiscardHandler), time.Now, prometheus.NewRegistry())
	require.NoError(t, err)
	return s
}

// cataloguing reports whether records are still being read.
func (x *index) cataloguing() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.pending != nil
}

func TestStore(t *testing.T) {
	b := newBridge(t, run(t, etcdcluster.Options{}).Endpoints())
	storetest.Run(t, func(t *testing.T, dir string) store.Store { return openAt(t, b, dir) })
}

func TestReplicas(t *testing.T) {
	b := newBridge(t, run(t, etcdcluster.Options{}).Endpoints())
	storetest.Replicas(t, func(t *testing.T, dir string) store.Store { return openAt(t, b, dir) })
}

func TestKill(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	storetest.Crash(t, func(dir string) *exec.Cmd { return itself(t, c, dir) },
		func(t *testing.T, dir string) store.Store { return open(t, c, dir) })
}

// TestDamage changes bytes in the file of the only member, as a failing disk
// would: etcd serves them as good data.
func TestDamage(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	storetest.Damage(t, func(t *testing.T, dir string) store.Store { return open(t, c, dir) },
		func(t *testing.T, _, text string) {
			m := c.Members[0]
			m.Stop()
			flip(t, filepath.Join(m.Dir, "member", "snap", "db"), text)
			require.NoError(t, m.Start())
			require.NoError(t, m.Await(t.Context()))
		})
}

// flip changes one byte of a text wherever a file holds it.
func flip(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	n := 0
	for at := bytes.Index(b, []byte(text)); at >= 0; at = bytes.Index(b, []byte(text)) {
		b[at] = '!'
		_, err = f.WriteAt(b[at:at+1], int64(at))
		require.NoError(t, err)
		n++
	}
	require.Positive(t, n)
}
