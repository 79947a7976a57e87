package bolt_test

import (
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/store/storetest"
)

// childDir names the folder on which this binary is to write until it is killed.
const childDir = "TOCSIN_TEST_BOLT_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		s, err := bolt.Open(bolt.Config{Path: file(dir)}, slog.New(slog.DiscardHandler), time.Now, nil)
		if err != nil {
			panic(err)
		}
		storetest.WriteUntilKilled(s, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

func TestKill(t *testing.T) {
	storetest.Crash(t, func(dir string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		return cmd
	}, func(t *testing.T, dir string) store.Store { return open(t, dir) })
}
