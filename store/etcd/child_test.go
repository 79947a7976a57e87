package etcd

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/tocsin/tocsin/store/storetest"
)

// child is what this binary does when a test runs it to kill it.
func child() {
	s, err := Open(context.Background(), childConfig(), slog.New(slog.DiscardHandler), time.Now, nil)
	if err != nil {
		panic(err)
	}
	storetest.WriteUntilKilled(s, os.Stdout)
}
