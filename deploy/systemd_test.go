package deploy_test

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const unitFile = "systemd/tocsin.service"

// unit reads a unit strictly: sections, key=value lines, comments, nothing else.
func unit(t *testing.T) map[string]map[string][]string {
	t.Helper()
	out := map[string]map[string][]string{}
	section := ""
	lines := bufio.NewScanner(strings.NewReader(read(t, unitFile)))
	for lines.Scan() {
		line := lines.Text()
		switch m := regexp.MustCompile(`^\[(Unit|Service|Install)\]$`).FindStringSubmatch(line); {
		case line == "" || strings.HasPrefix(line, "#"):
		case m != nil:
			section = m[1]
			require.NotContains(t, out, section, "a section stands twice")
			out[section] = map[string][]string{}
		default:
			key, value, ok := strings.Cut(line, "=")
			require.True(t, ok && section != "" && regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(key), "%q is no line of a unit", line)
			require.NotContains(t, value, " #", "systemd knows no comment at the end of a line")
			if slices.Contains([]string{"LoadCredential", "SystemCallFilter"}, key) {
				out[section][key] = append(out[section][key], value)
				continue
			}
			require.NotContains(t, out[section], key, "%s stands twice", key)
			out[section][key] = []string{value}
		}
	}
	require.NoError(t, lines.Err())
	return out
}

func TestUnitIsHardened(t *testing.T) {
	u := unit(t)
	for key, want := range map[string]string{
		"DynamicUser": "yes", "StateDirectory": "tocsin", "StateDirectoryMode": "0700", "WorkingDirectory": "/var/lib/tocsin", "UMask": "0077",
		"ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateUsers": "yes",
		"ProtectClock": "yes", "ProtectHostname": "yes", "ProtectKernelLogs": "yes", "ProtectKernelModules": "yes", "ProtectKernelTunables": "yes",
		"ProtectControlGroups": "yes", "ProtectProc": "invisible", "RestrictNamespaces": "yes", "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "LockPersonality": "yes", "MemoryDenyWriteExecute": "yes", "NoNewPrivileges": "yes",
		"CapabilityBoundingSet": "", "AmbientCapabilities": "", "SystemCallArchitectures": "native", "MemoryMax": "1G", "LimitCORE": "0",
		"Restart": "on-failure", "ExecReload": "/bin/kill -HUP $MAINPID", "Type": "exec",
	} {
		require.Equal(t, []string{want}, u["Service"][key], key)
	}
	require.Equal(t, []string{"@system-service", "~@privileged @resources"}, u["Service"]["SystemCallFilter"])
	require.Equal(t, []string{"0"}, u["Unit"]["StartLimitIntervalSec"], "it never gives up")
	require.NotContains(t, u["Service"], "WatchdogSec", "nobody pats it")
	require.NotContains(t, u["Service"], "RestartPreventExitStatus", "a crash of a Go program exits with 2, as a wrong config does")
	for _, key := range []string{"ExecStart", "ExecStartPre"} {
		require.Contains(t, u["Service"][key][0], "--config.file /etc/tocsin/tocsin.yml")
	}
}

// The config beside the unit asks for the credentials that the unit loads.
func TestUnitLoadsWhatItsConfigNames(t *testing.T) {
	const dir = "/run/credentials/tocsin.service"
	text := read(t, "systemd/tocsin.yml")
	checked(t, text, dir)
	var named, loaded []string
	for _, m := range regexp.MustCompile(dir+`/([\w.-]+)`).FindAllStringSubmatch(text, -1) {
		named = append(named, m[1])
	}
	for _, c := range unit(t)["Service"]["LoadCredential"] {
		name, from, _ := strings.Cut(c, ":")
		require.Equal(t, "/etc/tocsin/secrets/"+name, from)
		loaded = append(loaded, name)
	}
	require.ElementsMatch(t, named, loaded)
}

// systemd's own judgement, where there is a systemd: the unit is right, and its
// exposure is at most 1.5 of 10.
func TestUnitBeforeSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tocsin.service")
	exe, err := os.Executable() // verify wants a program that is there
	require.NoError(t, err)
	text := strings.ReplaceAll(read(t, unitFile), "/usr/local/bin/tocsin", exe)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	const analyse = "systemd-analyze" //nolint:misspell // its name
	if out, ok := found(t, analyse, "verify", "--man=no", path); ok {
		require.NotContains(t, out, "tocsin.service:", out)
	}
	found(t, analyse, "security", "--offline=true", "--threshold=15", "--no-pager", path)
}
