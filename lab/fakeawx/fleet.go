package fakeawx

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// FleetWorld has the lab's fleet as its inventory, and templates that truly
// repair it: restart and inspect act on one host, rollback and shift on what
// their variable names, deploy or datacentre. board is the address of the
// fleet's faults. The playbooks lie in the folder playbooks of this package;
// the actions stand in for them where there is no Ansible.
func FleetWorld(hosts []string, board string) (*World, map[string]Action) {
	local := func(name string) Host {
		return Host{Name: name, Variables: map[string]any{"ansible_connection": "local", "board": board}}
	}
	w := &World{Inventories: []Inventory{
		{Name: "fleet", Organization: "Lab"}, {Name: "control", Organization: "Lab", Hosts: []Host{local("control")}},
	}}
	for _, h := range hosts {
		w.Inventories[0].Hosts = append(w.Inventories[0].Hosts, local(h))
	}
	account := User{Name: DefaultUser, Password: DefaultPassword, Token: DefaultToken, Inventory: []string{"fleet", "control"}}
	for _, name := range []string{"restart", "inspect", "rollback", "shift"} {
		t := Template{
			Name: name, Organization: "Lab", Inventory: "fleet", Playbook: name + ".yml", Ask: []string{"limit", "variables", "job_type"}, Simultaneous: true,
		}
		if name == "rollback" || name == "shift" {
			t.Inventory, t.Ask = "control", []string{"variables", "job_type"}
		}
		w.Templates = append(w.Templates, t)
		account.Execute = append(account.Execute, name)
	}
	w.Users = []User{account, {Name: "admin", Password: "admin", Superuser: true}}
	of := func(variable string) func(Play) string {
		return func(p Play) string { return fmt.Sprint(p.Vars[variable]) }
	}
	host := func(p Play) string { return p.Hosts[0] }
	return w, map[string]Action{
		"restart.yml":  guarded(board, host, true),
		"inspect.yml":  guarded(board, host, false),
		"rollback.yml": guarded(board, of("deploy"), true),
		"shift.yml":    guarded(board, of("datacentre"), true),
	}
}

// guarded does what a playbook of the fleet does: it claims, then heals what
// shares the value that the play is about.
func guarded(board string, about func(Play) string, heals bool) Action {
	return func(ctx context.Context, p Play) Result {
		status, err := Claim(ctx, p)
		switch {
		case err != nil:
			return Result{Status: "failed", Output: "fatal: [" + strings.Join(p.Hosts, " ") + "]: " + err.Error() + "\n"}
		case status != http.StatusOK:
			return Result{Status: "successful", Output: fmt.Sprintf("Tocsin says %d. Nothing is touched.\n", status)}
		}
		counts := Counts{OK: 1}
		var out strings.Builder
		fmt.Fprintf(&out, "PLAY [%s] ***\n", p.Template)
		var faults []struct {
			ID      string            `json:"id"`
			Summary string            `json:"summary"`
			Trait   map[string]string `json:"trait"`
		}
		if _, err = ask(ctx, http.MethodGet, board+"/fault", "", nil, &faults); err != nil {
			return Result{Status: "failed", Output: err.Error()}
		}
		for _, f := range faults {
			if !slices.Contains(slices.Collect(maps.Values(f.Trait)), about(p)) {
				continue
			}
			fmt.Fprintf(&out, "found: %s\n", f.Summary)
			if heals && !p.Check {
				if _, err := ask(ctx, http.MethodDelete, board+"/fault/"+f.ID, "", nil, nil); err != nil {
					return Result{Status: "failed", Output: err.Error()}
				}
			}
			if heals {
				counts.Changed++
			}
		}
		return Result{Status: "successful", Output: out.String(), Hosts: map[string]Counts{p.Hosts[0]: counts}}
	}
}

// Claim asks what the role tocsin_guard asks: 200 is to go on. A job that
// carries no claim goes on.
func Claim(ctx context.Context, p Play) (status int, err error) {
	own, _ := p.Vars["tocsin"].(map[string]any)
	url, _ := own["claim_url"].(string)
	token, _ := own["claim_token"].(string)
	if target, named := own["target"]; len(p.Hosts) != 1 || named && target != p.Hosts[0] {
		return 0, fmt.Errorf("this play has %d hosts, and was meant for %v", len(p.Hosts), target)
	}
	if url == "" {
		return http.StatusOK, nil
	}
	id := p.Vars["awx_job_id"]
	if flow, ok := p.Vars["awx_workflow_job_id"]; ok {
		id = flow
	}
	body, err := json.Marshal(map[string]any{"awx_job_id": id, "hosts": p.Hosts})
	if err != nil {
		return 0, err
	}
	status, err = ask(ctx, http.MethodPost, url, token, body, nil)
	if err == nil && !slices.Contains([]int{http.StatusOK, http.StatusConflict, http.StatusLocked}, status) {
		err = fmt.Errorf("claim: status %d", status)
	}
	return status, err
}

// ask makes one request and decodes what a success says into an answer.
func ask(ctx context.Context, method, url, token string, body []byte, into any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := new(http.Client).Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err == nil && into != nil && res.StatusCode == http.StatusOK {
		err = json.Unmarshal(raw, into)
	}
	return res.StatusCode, err
}
