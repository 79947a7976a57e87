package awx_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/remediate"
)

// desk gives a dispatch to the first job that claims it.
type desk struct {
	mu     sync.Mutex
	holder int64
	asked  []int64
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var in struct {
		Job   int64    `json:"awx_job_id"`
		Hosts []string `json:"hosts"`
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	d.asked = append(d.asked, in.Job)
	switch {
	case err != nil || r.Header.Get("Authorization") != "Bearer t0ken" || len(in.Hosts) != 1:
		w.WriteHeader(http.StatusBadRequest)
	case d.holder == 0:
		d.holder = in.Job
	case d.holder != in.Job:
		w.WriteHeader(http.StatusConflict)
	}
}

// claiming is what the role does, for where there is no Ansible.
func claiming(out string) fakeawx.Action {
	return func(ctx context.Context, p fakeawx.Play) fakeawx.Result {
		own := p.Vars["tocsin"].(map[string]any)
		body, _ := json.Marshal(map[string]any{"awx_job_id": p.Job, "hosts": p.Hosts})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, own["claim_url"].(string), bytes.NewReader(body))
		if err != nil {
			return fakeawx.Result{Status: "failed", Output: err.Error()}
		}
		req.Header.Set("Authorization", "Bearer "+own["claim_token"].(string))
		res, err := new(http.Client).Do(req)
		if err != nil {
			return fakeawx.Result{Status: "failed", Output: err.Error()}
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			err = touch(out)
		}
		if err != nil {
			return fakeawx.Result{Status: "failed", Output: err.Error()}
		}
		return fakeawx.Result{Status: "successful", Hosts: map[string]fakeawx.Counts{p.Hosts[0]: {OK: 1}}}
	}
}

func touch(out string) error {
	f, err := os.OpenFile(out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("touched\n")
	return err
}

// Two jobs of one dispatch, as a launch that was repeated makes them: the host
// is touched once. The playbook is the shipped role's, where there is Ansible.
func TestTwoJobsOfOneDispatchTouchTheHostOnce(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "touched")
	roles, err := filepath.Abs("../../deploy/ansible/roles")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(roles, filepath.Join(dir, "roles")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "restart.yml"), []byte(strings.Join([]string{
		`- hosts: "{{ tocsin.target | mandatory }}"`, "  gather_facts: false", "  roles: [tocsin_guard]", "  tasks:",
		"    - ansible.builtin.shell: echo touched >> " + out,
	}, "\n")), 0o600))
	w := fakeawx.DefaultWorld()
	for i := range w.Inventories[0].Hosts {
		w.Inventories[0].Hosts[i].Variables = map[string]any{"ansible_connection": "local"}
	}
	o := fakeawx.Options{World: w, Playbooks: dir}
	if fakeawx.Ansible() == "" {
		t.Log("ansible-playbook is not installed: its stand-in claims")
		o.Actions = map[string]fakeawx.Action{"restart.yml": claiming(out)}
	}
	f, url := serve(t, o)
	d := &desk{}
	gateway := httptest.NewServer(d)
	defer gateway.Close()
	b := open(t, plain(t, url, fakeawx.DefaultToken))
	l := order()
	l.Claim = remediate.Claim{URL: gateway.URL, Token: config.Secret("t0ken")}
	require.NoError(t, f.Faults.Set(1, fault.Fault{Kind: fault.Drop, Accept: true, Method: http.MethodPost, Count: 1}))
	_, err = b.Launch(t.Context(), l)
	require.Error(t, err, "its answer was lost")
	_, err = b.Launch(t.Context(), l)
	require.NoError(t, err)
	found, err := b.Find(t.Context(), l.Template, 0, l.Dispatch)
	require.NoError(t, err)
	require.Len(t, found, 2)
	for _, j := range found {
		require.Eventually(t, func() bool {
			j, err = b.Job(t.Context(), j)
			require.NoError(t, err)
			return j.State.Ended()
		}, 5*time.Minute, 50*time.Millisecond)
		ev, err := b.Evidence(t.Context(), j, "web01")
		require.NoError(t, err)
		require.Equal(t, remediate.Successful, j.State, ev.Tail)
		require.NotContains(t, ev.Tail, "t0ken")
	}
	touched, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "touched\n", string(touched))
	require.Len(t, d.asked, 2)
	require.ElementsMatch(t, []int64{found[0].ID, found[1].ID}, d.asked)
}
