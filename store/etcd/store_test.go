package etcd

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/storetest"
)

// run starts a real etcd for a test.
func run(t testing.TB, o etcdcluster.Options) *etcdcluster.Cluster {
	t.Helper()
	o.Dir, o.Out, o.Members = t.TempDir(), t.Output(), max(o.Members, 1)
	c, err := etcdcluster.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// openAt opens an engine whose state lies under a folder's name.
func openAt(t testing.TB, c cluster, dir string) *Store {
	t.Helper()
	s, err := start(t.Context(), c, dir, slog.New(slog.DiscardHandler), time.Now, prometheus.NewRegistry())
	require.NoError(t, err)
	return s
}

func TestStore(t *testing.T) {
	b := newBridge(t, run(t, etcdcluster.Options{}).Endpoints())
	storetest.Run(t, func(t *testing.T, dir string) store.Store { return openAt(t, b, dir) })
}
