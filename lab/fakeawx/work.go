package fakeawx

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Play is what a job does: a playbook on hosts.
type Play struct {
	Job      int64
	Template string
	Playbook string
	Limit    string
	Hosts    []string // that limit and play leave
	Vars     map[string]any
	Check    bool
}

// Action stands in for a playbook.
type Action func(context.Context, Play) Result

// Result is what came of a playbook. Status is successful, failed or error.
type Result struct {
	Status      string
	Explanation string
	Output      string
	Hosts       map[string]Counts // none: nothing was touched
}

// Counts are what a job did on one host.
type Counts struct {
	OK, Changed, Failures, Dark, Skipped, Rescued, Ignored int
}

// work starts a job's playbook: by ansible-playbook if it can, else by the
// function of that name, else each host is changed once.
func (f *Fake) work(j *job) {
	p := f.play(j)
	hosts, refused := p.pick(j)
	p.Hosts = hosts
	action, there := f.opts.Actions[p.Playbook]
	if file := f.playbook(p.Playbook); file != "" {
		action, there, refused = f.ansible(file, j.inventory), true, ""
	}
	switch {
	case refused != "":
		j.result, j.done = &Result{Status: "failed", Output: refused}, j.started
		return
	case f.switches.NoHostFound || len(p.Hosts) == 0 && !there:
		j.result, j.done = &Result{Status: "successful", Output: "PLAY [" + p.Playbook + "]\nskipping: no hosts matched\n"}, j.started
		return
	case !there:
		f.finish(j, plain(p))
		j.done = j.started
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	j.atWork = cancel
	f.working.Go(func() {
		defer cancel()
		r := action(ctx, p)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.finish(j, r)
	})
}

// finish keeps a result, with as much output as is wished for.
func (f *Fake) finish(j *job, r Result) {
	if n := f.switches.StdoutBytes - len(r.Output); n > 0 {
		line := strings.Repeat("ok: nothing to see here ", 3) + "\n"
		r.Output = strings.Repeat(line, n/len(line)+1) + r.Output
	}
	j.result, j.done = &r, f.now()
}

func (f *Fake) play(j *job) Play {
	vars := maps.Clone(j.vars)
	maps.Copy(vars, map[string]any{"awx_job_id": j.id, "awx_job_template_id": j.of.id, "awx_job_template_name": j.of.Name})
	if j.parent != nil {
		maps.Copy(vars, map[string]any{"awx_workflow_job_id": j.parent.id, "awx_workflow_job_name": j.parent.of.Name})
	}
	return Play{Job: j.id, Template: j.of.Name, Playbook: j.of.Playbook, Limit: j.limit, Vars: vars, Check: j.jobType == "check"}
}

// pick is the hosts of a job: those that the play names and the limit leaves.
// An empty limit leaves all.
func (p Play) pick(j *job) (hosts []string, refused string) {
	if j.inventory == nil {
		return nil, "[WARNING]: no inventory was parsed\n"
	}
	var all []string
	for _, h := range j.inventory.hosts {
		if !h.Disabled {
			all = append(all, h.Name)
		}
	}
	limited := match(j.limit, all)
	if j.limit != "" && len(limited) == 0 {
		return nil, "ERROR! Specified hosts and/or --limit does not match any hosts\n"
	}
	named := match(j.of.Hosts, all)
	for i, h := range limited {
		if slices.Contains(named, h) && (j.slice == 0 || i%j.parent.slices == j.slice-1) {
			hosts = append(hosts, h)
		}
	}
	return hosts, ""
}

// match is the hosts of an Ansible pattern: names and globs, added by : or ,
// taken away by !, kept by &. An empty one is all.
func match(pattern string, all []string) []string {
	if pattern == "" {
		return all
	}
	var out []string
	for _, term := range strings.FieldsFunc(pattern, func(r rune) bool { return r == ':' || r == ',' }) {
		term = strings.TrimSpace(term)
		hits := func(h string) bool {
			t := strings.TrimLeft(term, "!&")
			ok, err := path.Match(t, h)
			return t == "all" || err == nil && ok
		}
		switch term[:min(1, len(term))] {
		case "!":
			out = slices.DeleteFunc(out, hits)
		case "&":
			out = slices.DeleteFunc(out, func(h string) bool { return !hits(h) })
		default:
			for _, h := range all {
				if hits(h) && !slices.Contains(out, h) {
					out = append(out, h)
				}
			}
		}
	}
	return out
}

// plain is the playbook that is nowhere: it changes each of its hosts.
func plain(p Play) Result {
	r := Result{Status: "successful", Hosts: map[string]Counts{}}
	var b strings.Builder
	fmt.Fprintf(&b, "PLAY [%s] ***\n\nTASK [%s] ***\n", p.Playbook, p.Template)
	for _, h := range p.Hosts {
		fmt.Fprintf(&b, "changed: [%s]\n", h)
		r.Hosts[h] = Counts{OK: 2, Changed: 1}
	}
	b.WriteString("\nPLAY RECAP ***\n")
	for _, h := range p.Hosts {
		fmt.Fprintf(&b, "%s : ok=2 changed=1 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0\n", h)
	}
	r.Output = b.String()
	return r
}
