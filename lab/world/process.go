package world

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is one program of the world: its own process group, its own log, and
// an address that says when it is ready.
type Process struct {
	Name  string
	Path  string
	Args  []string
	Dir   string // working folder
	Log   string // file its output is appended to
	Ready string // URL that answers 200 once it is ready

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended; err is set by then
	err  error
}

// Start runs the program. It is killed when the lab itself dies, however it
// dies, and gets no Ctrl-C of the terminal: the lab stops it in order.
func (p *Process) Start() error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()                      // the child has its own descriptor
	cmd := exec.Command(p.Path, p.Args...) //nolint:noctx // its end is Stop's affair: a context would kill it without notice
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, log, log
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done, p.err = cmd, done, nil
	go func() {
		p.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Pid is the program's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Await polls the ready address until it answers 200. The error of a program
// that ended, or is not ready in time, quotes the end of its log.
func (p *Process) Await(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	client := &http.Client{Timeout: 2 * time.Second}
	for {
		if ready(ctx, client, p.Ready) {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready (%w); the end of %s:\n%s", p.Name, exitOf(p.err), p.Log, p.Tail(15))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready at %s: %w; the end of %s:\n%s", p.Name, p.Ready, context.Cause(ctx), p.Log, p.Tail(15))
		case <-tick.C:
		}
	}
}

// exitOf names a clean exit too.
func exitOf(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func ready(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Tail returns the last n lines of the log.
func (p *Process) Tail(n int) string {
	const most = 32 << 10
	f, err := os.Open(p.Log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	size := min(info.Size(), most)
	b := make([]byte, size)
	if _, err := f.ReadAt(b, info.Size()-size); err != nil {
		return err.Error()
	}
	return lastLines(string(b), n)
}

// Stop asks the whole group to end, and kills what is left of it after grace.
func (p *Process) Stop(grace time.Duration) {
	if p.cmd == nil {
		return
	}
	p.signal(syscall.SIGTERM)
	wait := time.NewTimer(grace)
	defer wait.Stop()
	select {
	case <-p.done:
	case <-wait.C:
	}
	p.Kill()
}

// Kill ends the whole group at once and waits for it.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

// signal reaches the group; a group that is gone needs none.
func (p *Process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }
