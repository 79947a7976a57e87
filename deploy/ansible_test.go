package deploy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// claims is a gateway that answers claims.
type claims struct {
	mu     sync.Mutex
	status []int // one after the other; the last one stays
	asked  []string
	tokens []string
}

func (c *claims) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	c.asked = append(c.asked, r.Method+" "+r.URL.Path+" "+string(body))
	c.tokens = append(c.tokens, r.Header.Get("Authorization"))
	status := c.status[min(len(c.asked), len(c.status))-1]
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"go": status == http.StatusOK, "reason": "the switch says so"})
}

// play runs a playbook that touches its hosts behind the guard, and says how it
// ended and which hosts it touched.
func play(t *testing.T, extra string, vars map[string]any, args ...string) (out string, ok bool, touched []string) {
	t.Helper()
	dir := t.TempDir()
	hosts := "- hosts: all"
	if extra == "target" {
		hosts, extra = `- hosts: "{{ tocsin.target | mandatory }}"`, ""
	}
	book := strings.Join([]string{
		hosts, "  gather_facts: false", "  vars: {" + extra + "}", "  roles: [tocsin_guard]", "  tasks:",
		"    - ansible.builtin.copy: {content: x, dest: '" + dir + "/{{ inventory_hostname }}.touched'}", "      check_mode: false",
	}, "\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "play.yml"), []byte(book), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hosts"), []byte("web01 ansible_connection=local\nweb02 ansible_connection=local\n"), 0o600))
	raw, err := json.Marshal(vars)
	require.NoError(t, err)
	roles, err := filepath.Abs("ansible/roles")
	require.NoError(t, err)
	args = append([]string{"-i", filepath.Join(dir, "hosts"), "-e", string(raw), "-e", "tocsin_guard_delay=0 tocsin_guard_retries=1", filepath.Join(dir, "play.yml")}, args...)
	cmd := exec.CommandContext(t.Context(), "ansible-playbook", args...)
	cmd.Env = append(os.Environ(), "ANSIBLE_ROLES_PATH="+roles, "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCAL_TEMP="+dir, "ANSIBLE_REMOTE_TEMP="+dir, "LC_ALL=C.UTF-8")
	b, err := cmd.CombinedOutput()
	files, globErr := filepath.Glob(filepath.Join(dir, "*.touched"))
	require.NoError(t, globErr)
	for _, f := range files {
		touched = append(touched, strings.TrimSuffix(filepath.Base(f), ".touched"))
	}
	return string(b), err == nil, touched
}

func TestTheGuardOfPlaybooks(t *testing.T) {
	if _, err := exec.LookPath("ansible-playbook"); err != nil {
		t.Log("ansible-playbook is not installed: the role was read, and not played")
		return
	}
	dispatch := func(url string) map[string]any {
		return map[string]any{"awx_job_id": 42, "tocsin": map[string]any{
			"dispatch_id": "D-1", "link": "https://tocsin.example.org/p/1", "target": "web01", "claim_url": url + "/v1/dispatches/D-1/claim", "claim_token": "t0ken",
		}}
	}
	without := func(field string) func(map[string]any) {
		return func(v map[string]any) { delete(v["tocsin"].(map[string]any), field) }
	}
	one := []string{"--limit", "web01"}
	for name, tc := range map[string]struct {
		status  []int
		extra   string
		vars    func(map[string]any)
		args    []string
		asked   int
		fails   bool
		touched []string
		says    string
	}{
		"it may go on":              {status: []int{200}, args: one, asked: 1, touched: []string{"web01"}},
		"its own host, no limit":    {status: []int{200}, extra: "target", asked: 1, touched: []string{"web01"}},
		"another job holds it":      {status: []int{409}, args: one, asked: 1, says: "Tocsin says 409: the switch says so. Nothing is touched."},
		"frozen":                    {status: []int{423}, args: one, asked: 1, says: "Tocsin says 423: the switch says so. Nothing is touched."},
		"in check mode too":         {status: []int{423}, args: append(one, "--check"), asked: 1, says: "Tocsin says 423"},
		"the gateway is away a bit": {status: []int{503, 200}, args: one, asked: 2, touched: []string{"web01"}},
		"the gateway stays away":    {status: []int{503}, args: one, asked: 2, fails: true},
		"a token that is wrong":     {status: []int{401}, args: one, asked: 2, fails: true},
		"sent elsewhere":            {status: []int{302}, args: one, asked: 2, fails: true},
		"the limit was lost":        {status: []int{200}, fails: true, says: "This play has 2 hosts (web01, web02)"},
		"another host":              {status: []int{200}, args: []string{"--limit", "web02"}, fails: true, says: "was meant for web01"},
		"several, as meant": {
			status: []int{200}, vars: without("target"), extra: "tocsin_guard_hosts: 5", asked: 1, touched: []string{"web01", "web02"},
		},
		"several, not meant":  {status: []int{200}, vars: without("target"), fails: true, says: "This play has 2 hosts"},
		"no claim":            {status: []int{200}, vars: without("claim_url"), args: one, fails: true, says: "carries no claim"},
		"no token":            {status: []int{200}, vars: without("claim_token"), args: one, fails: true, says: "carries no claim"},
		"not a job of AWX":    {status: []int{200}, vars: func(v map[string]any) { delete(v, "awx_job_id") }, args: one, fails: true, says: "carries no claim"},
		"by hand":             {status: []int{200}, vars: func(v map[string]any) { delete(v, "tocsin") }, args: one, fails: true, says: "carries no claim"},
		"by hand, as allowed": {status: []int{200}, vars: func(v map[string]any) { delete(v, "tocsin") }, args: one, extra: "tocsin_guard_by_hand: true", touched: []string{"web01"}},
		"a job of a workflow": {status: []int{200}, vars: func(v map[string]any) { v["awx_workflow_job_id"] = 41 }, args: one, asked: 1, touched: []string{"web01"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &claims{status: tc.status}
			s := httptest.NewServer(c)
			defer s.Close()
			vars := dispatch(s.URL)
			if tc.vars != nil {
				tc.vars(vars)
			}
			out, ok, touched := play(t, tc.extra, vars, tc.args...)
			require.Equal(t, tc.fails, !ok, out)
			require.Equal(t, tc.touched, touched, out)
			require.Contains(t, strings.Join(strings.Fields(out), " "), tc.says)
			require.NotContains(t, out, "t0ken", "the token is not shown")
			require.Len(t, c.asked, tc.asked, out)
			id := 42
			if vars["awx_workflow_job_id"] != nil {
				id = 41
			}
			hosts := `["web01"]`
			if len(tc.touched) > 1 {
				hosts = `["web01","web02"]`
			}
			for i, asked := range c.asked {
				line, body, _ := strings.Cut(asked, " {")
				require.Equal(t, "POST /v1/dispatches/D-1/claim", line)
				require.JSONEq(t, fmt.Sprintf(`{"awx_job_id": %d, "hosts": %s}`, id, hosts), "{"+body)
				require.Equal(t, "Bearer t0ken", c.tokens[i])
			}
		})
	}
}

// No task of the guard touches a host, shows the token, or is left out in check mode.
func TestTheGuardTouchesNoHost(t *testing.T) {
	var tasks []map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "ansible/roles/tocsin_guard/tasks/main.yml")), &tasks))
	require.Len(t, tasks, 5)
	for _, task := range tasks {
		_, debug := task["ansible.builtin.debug"]
		_, meta := task["ansible.builtin.meta"]
		if debug || meta {
			continue
		}
		require.Equal(t, "localhost", task["delegate_to"], task["name"])
		require.Equal(t, false, task["check_mode"], task["name"])
		require.Equal(t, false, task["become"], task["name"])
		_, asks := task["ansible.builtin.uri"]
		require.Equal(t, asks, task["no_log"] == true, task["name"])
	}
	var plays []struct {
		Hosts  string           `yaml:"hosts"`
		Gather *bool            `yaml:"gather_facts"`
		Roles  []map[string]any `yaml:"roles"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "ansible/restart_service.yml")), &plays))
	require.Equal(t, "{{ tocsin.target | mandatory }}", plays[0].Hosts)
	require.False(t, *plays[0].Gather)
	require.Equal(t, "tocsin_guard", plays[0].Roles[0]["role"])
}
