package nodes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Argument is the first argument of a process that was started to be a part of a
// node: its program calls Inside with the others.
const Argument = "inside-a-node"

const ready = "up\n"

// inside is what a node's first process is told.
type inside struct {
	Pod      podWork
	Exporter []string
}

// podWork is what a pod's process is told.
type podWork struct {
	Cgroups []string
	Busy    bool
	Loss    float64
	Quiet   bool
}

// Inside is a process of a node. It returns only an error.
func Inside(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("%s is for the lab's own use", Argument)
	}
	switch args[0] {
	case "try":
		_, err := openWire()
		if err = errors.Join(ownMounts(), err); err == nil {
			os.Exit(0)
		}
		return err
	case "node":
		return node(args[1])
	case "join", "pod":
		var w podWork
		if err := json.Unmarshal([]byte(args[1]), &w); err != nil {
			return err
		}
		if args[0] == "join" {
			return join(w, args[1])
		}
		return pod(w)
	case "exporter":
		// the socket is for the process that has this id, which only it knows
		env := append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid()), "LISTEN_FDS=1")
		return syscall.Exec(args[1], args[1:], env)
	}
	return fmt.Errorf("nobody is a %s", args[0])
}

// node is the first process of a node: it brings the pod up, then the exporter,
// and buries whoever dies.
func node(spec string) error {
	var w inside
	if err := json.Unmarshal([]byte(spec), &w); err != nil {
		return err
	}
	if err := ownMounts(); err != nil {
		return err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	spoken, err := json.Marshal(w.Pod)
	if err != nil {
		return err
	}
	pod := exec.Command(self, Argument, "join", string(spoken)) //nolint:noctx // it ends with the node
	pod.Stderr = os.Stderr
	said, err := pod.StdoutPipe()
	if err != nil {
		return err
	}
	if err := pod.Start(); err != nil {
		return err
	}
	if _, err := io.ReadFull(said, make([]byte, len(ready))); err != nil {
		return fmt.Errorf("the pod does not come up: %w", err)
	}
	if err := limit(w.Pod.Cgroups); err != nil {
		return err
	}
	exporter := exec.Command(self, append([]string{Argument, "exporter"}, w.Exporter...)...) //nolint:noctx // it ends with the node
	exporter.ExtraFiles = []*os.File{os.NewFile(3, "listener")}
	exporter.Stdout, exporter.Stderr = os.Stderr, os.Stderr
	if err := exporter.Start(); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(ready); err != nil {
		return err
	}
	return fmt.Errorf("the exporter ended: %w", exporter.Wait())
}

// ownMounts makes what is mounted from here on the node's own, and shows its
// processes alone.
func ownMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// join enters the container's cgroups, then a network of its own, and becomes the
// pod. The order is a runtime's: whose a network is, is known when it comes to be.
func join(w podWork, spec string) error {
	for _, dir := range w.Cgroups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil { // 0 is who writes
			return fmt.Errorf("join the cgroup: %w", err)
		}
	}
	runtime.LockOSThread() // the thread that has the new network is the one that goes on
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("have a network of its own: %w", err)
	}
	return syscall.Exec("/proc/self/exe", []string{os.Args[0], Argument, "pod", spec}, os.Environ())
}

// pod is the pod's only process.
func pod(w podWork) error {
	if !w.Quiet {
		if err := talk(w.Loss); err != nil {
			return err
		}
	}
	if _, err := os.Stdout.WriteString(ready); err != nil {
		return err
	}
	for n := uint64(1); w.Busy && n > 0; n++ { // it counts for some centuries
	}
	select {}
}
