package world_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary stand in for the programs of a world: the
// first word of the child's environment says how it behaves.
func TestMain(m *testing.M) {
	switch os.Getenv("WORLD_CHILD") {
	case "":
		os.Exit(m.Run())
	case "dies":
		fmt.Fprintln(os.Stderr, "level=error msg=\"no luck today\"")
		os.Exit(3)
	case "stubborn": // hears no SIGTERM, and has a child of its own
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command("sleep", "1000")
		if err := child.Start(); err != nil {
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, child.Process.Pid)
	}
	standIn()
}

// standIn answers 200 to everything at the address its arguments or its config
// give it, until it is told to end.
func standIn() {
	addr := os.Getenv("WORLD_ADDR")
	for _, arg := range os.Args[1:] {
		for _, flag := range []string{"--web.listen-address=", "--http-address="} {
			if a, ok := strings.CutPrefix(arg, flag); ok {
				addr = a
			}
		}
	}
	if conf, err := os.ReadFile("tocsin.yml"); err == nil && addr == "" {
		first, _, _ := strings.Cut(string(conf), "\n")
		addr = strings.TrimPrefix(first, "listen: ")
	}
	fmt.Fprintln(os.Stderr, "listening at", addr)
	srv := &http.Server{
		Addr: addr, ReadHeaderTimeout: time.Second,
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	}
	fmt.Fprintln(os.Stderr, srv.ListenAndServe())
	os.Exit(1)
}
