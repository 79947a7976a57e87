//go:build faults

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/world"
)

// TestFaultNoAnswerBeforeTheSync runs the real program under strace and posts
// 1,000 webhooks, one after the other. Between the read of each request and the
// write of its 202 the kernel must have completed a data sync. The webhooks
// resolve what never fired, so that nothing but the intake and one step of the
// pipeline, which is waited for, has anything to write.
func TestFaultNoAnswerBeforeTheSync(t *testing.T) {
	const webhooks = 1000
	dir := t.TempDir()
	ports, err := world.Ports(t.Context(), 2)
	require.NoError(t, err)
	listen, operators := ports[0], ports[1]
	for name, text := range map[string]string{
		"am.token": "am-secret", "slack.token": "xoxb-none",
		"tocsin.yml": fmt.Sprintf(`listen: %s
operators: {listen: %s}
alertmanagers: [{name: dc1, inbound_token_files: [am.token]}]
store: {bolt: {path: %s}}
receivers:
  - name: team
    notify: [{kind: slack, name: nobody, with: {token_file: slack.token, channel: C0, api_url: "http://127.0.0.1:1/"}}]
`, listen, operators, filepath.Join(dir, "tocsin.db")),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	trace := filepath.Join(dir, "strace.log")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-s", "48", "-e", "trace=read,write,fdatasync,fsync", "-o", trace,
		os.Args[0], "serve", "--config.file", filepath.Join(dir, "tocsin.yml"))
	cmd.Env = append(os.Environ(), "TOCSIN_MAIN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start(), "strace must be on the PATH: tools/with-strace installs it")
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + listen + "/-/ready") //nolint:forbidigo // to a loopback server
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, time.Minute, 50*time.Millisecond, "%s", &log)

	for i := range webhooks {
		body := fmt.Sprintf(`{"version":"4","groupKey":"{}:{n=\"%d\"}","receiver":"team","status":"resolved","alerts":[{"status":"resolved","labels":{"alertname":"A","n":"%d"},"startsAt":"2026-01-02T03:04:05Z","endsAt":"2026-01-02T03:05:05Z"}]}`, i, i)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listen+"/webhook/alertmanager", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer am-secret")
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req) //nolint:forbidigo // to a loopback server
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusAccepted, res.StatusCode)
		require.Eventually(t, func() bool { return eventsApplied(t, listen) > i }, time.Minute, time.Millisecond)
	}
	require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	_ = cmd.Wait() // strace ends as it was told to
	answered, synced := readTrace(t, trace)
	t.Logf("%d answers 202, %d of them after a data sync of their own", answered, synced)
	require.Equal(t, webhooks, answered)
	require.Equal(t, webhooks, synced)
}

// readTrace counts the 202s, and those that had a completed sync between the
// read of their request and themselves.
func readTrace(t *testing.T, path string) (answered, synced int) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	syncs, asked := 0, false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.Contains(line, `OST /webhook/alertmanager`): // net/http reads the first byte of a kept connection alone
			syncs, asked = 0, true
		case regexp.MustCompile(`(fdatasync|fsync)(\(\d+\)| resumed>\)) += 0`).MatchString(line):
			syncs++
		case asked && strings.Contains(line, `"HTTP/1.1 202`):
			answered++
			if syncs > 0 {
				synced++
			}
			asked = false
		}
	}
	require.NoError(t, lines.Err())
	return answered, synced
}

func eventsApplied(t *testing.T, listen string) int {
	t.Helper()
	res, err := http.Get("http://" + listen + "/metrics") //nolint:forbidigo // to a loopback server
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^tocsin_pipeline_events_total\{.*\} (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		v, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		n += v
	}
	return n
}
