package fakeawx

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Ansible is the path of ansible-playbook, "" where there is none.
func Ansible() string {
	p, err := exec.LookPath("ansible-playbook")
	if err != nil {
		return ""
	}
	return p
}

// playbook is the file of a playbook, "" if it cannot be run here.
func (f *Fake) playbook(name string) string {
	if f.opts.Playbooks == "" || name == "" || !filepath.IsLocal(name) || Ansible() == "" {
		return ""
	}
	file, err := filepath.Abs(filepath.Join(f.opts.Playbooks, name))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// ansible runs a playbook as AWX does: the inventory's enabled hosts, the limit
// only where there is one, variables of the launch marked as unsafe.
func (f *Fake) ansible(file string, in *inventory) Action {
	return func(ctx context.Context, p Play) Result {
		dir, err := os.MkdirTemp("", "fakeawx-")
		if err != nil {
			return Result{Status: "error", Explanation: err.Error()}
		}
		defer os.RemoveAll(dir)
		hosts, vars := filepath.Join(dir, "hosts.json"), filepath.Join(dir, "vars.yml")
		if err := errors.Join(writeHosts(hosts, in), writeVars(vars, p.Vars)); err != nil {
			return Result{Status: "error", Explanation: err.Error()}
		}
		args := []string{"-i", hosts, "-e", "@" + vars}
		if p.Limit != "" {
			args = append(args, "-l", p.Limit)
		}
		if p.Check {
			args = append(args, "--check")
		}
		cmd := exec.CommandContext(ctx, Ansible(), append(args, file)...)
		cmd.Dir = filepath.Dir(file)
		cmd.Env = append(os.Environ(), "ANSIBLE_NOCOLOR=1", "ANSIBLE_HOST_KEY_CHECKING=0", "ANSIBLE_RETRY_FILES_ENABLED=0",
			"ANSIBLE_LOCAL_TEMP="+dir, "ANSIBLE_REMOTE_TEMP="+dir, "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		r := Result{Status: "successful", Output: string(out), Hosts: recap(string(out))}
		if _, exited := errors.AsType[*exec.ExitError](err); exited {
			r.Status = "failed"
		} else if err != nil {
			r.Status, r.Explanation = "error", err.Error()
		}
		return r
	}
}

// writeHosts writes an inventory as Ansible reads it.
func writeHosts(file string, in *inventory) error {
	hosts := map[string]any{}
	if in != nil {
		for _, h := range in.hosts {
			if !h.Disabled {
				vars := h.Variables
				if vars == nil {
					vars = map[string]any{}
				}
				hosts[h.Name] = vars
			}
		}
	}
	b, err := json.Marshal(map[string]any{"all": map[string]any{"hosts": hosts}})
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

// writeVars writes variables whose text Ansible must not take for a template.
func writeVars(file string, vars map[string]any) error {
	var doc yaml.Node
	if err := doc.Encode(vars); err != nil {
		return err
	}
	unsafe(&doc)
	b, err := yaml.Marshal(&doc)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

func unsafe(n *yaml.Node) {
	for i, child := range n.Content {
		key := n.Kind == yaml.MappingNode && i%2 == 0
		if child.Kind == yaml.ScalarNode && child.ShortTag() == "!!str" && !key {
			child.Tag, child.Style = "!unsafe", yaml.DoubleQuotedStyle
		}
		unsafe(child)
	}
}

// recap reads what a playbook says at its end of each host.
func recap(out string) map[string]Counts {
	re := regexp.MustCompile(`(?m)^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)\s+skipped=(\d+)\s+rescued=(\d+)\s+ignored=(\d+)`)
	hosts := map[string]Counts{}
	for _, m := range re.FindAllStringSubmatch(out, -1) {
		var n []int
		for _, s := range m[2:] {
			v, _ := strconv.Atoi(s)
			n = append(n, v)
		}
		hosts[m[1]] = Counts{OK: n[0], Changed: n[1], Dark: n[2], Failures: n[3], Skipped: n[4], Rescued: n[5], Ignored: n[6]}
	}
	return hosts
}

// lines are the output's, without the last one if it is empty.
func lines(out string) []string {
	re := regexp.MustCompile(`(?m)^.*\n?`)
	return slices.DeleteFunc(re.FindAllString(out, -1), func(s string) bool { return s == "" })
}
