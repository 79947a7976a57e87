package remediate_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remediate"
)

// zabbixServer answers host.get as Zabbix' frontend does: JSON-RPC 2.0 over POST,
// numbers as strings, errors with status 200.
type zabbixServer struct {
	hosts  map[string][2]string // status, maintenance_status by technical name
	legacy bool                 // the token goes into the body
	status int                  // answer so; 0: 200
	body   string               // answer exactly this
	to     string               // redirect there
	asked  int
}

func (z *zabbixServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	z.asked++
	raw, _ := io.ReadAll(r.Body)
	var req struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Auth    string `json:"auth"`
		ID      int    `json:"id"`
		Params  struct {
			Output []string `json:"output"`
			Filter struct {
				Host []string `json:"host"`
			} `json:"filter"`
		} `json:"params"`
	}
	fail := func(code int, message, data string) {
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": req.ID, "error": map[string]any{"code": code, "message": message, "data": data}})
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch err := json.Unmarshal(raw, &req); {
	case z.to != "":
		http.Redirect(w, r, z.to, http.StatusMovedPermanently)
	case z.status != 0:
		w.WriteHeader(z.status)
	case z.body != "":
		_, _ = io.WriteString(w, z.body)
	case err != nil || r.Method != http.MethodPost || r.URL.Path != "/zabbix/api_jsonrpc.php" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		w.WriteHeader(http.StatusPreconditionFailed)
	case req.Version != "2.0" || req.Method != "host.get":
		fail(-32601, "Method not found.", "")
	case z.legacy && (req.Auth != "s3cret" || token != ""), !z.legacy && (token != "s3cret" || req.Auth != ""):
		fail(-32602, "Invalid params.", "Not authorized.")
	default:
		out := []map[string]string{}
		for _, name := range req.Params.Filter.Host {
			if h, ok := z.hosts[name]; ok {
				out = append(out, map[string]string{"hostid": "10084", "host": name, "status": h[0], "maintenance_status": h[1]})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": out})
	}
}

func zabbixAt(t *testing.T, z *zabbixServer) *remediate.Zabbix {
	t.Helper()
	s := httptest.NewServer(z)
	t.Cleanup(s.Close)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("s3cret\n"), 0o600))
	client, err := remediate.NewZabbix(remediate.ZabbixConfig{Name: "main", URL: s.URL + "/zabbix/", TokenFile: config.SecretFile(token), Legacy: z.legacy}, http.DefaultTransport)
	require.NoError(t, err)
	return client
}

func TestZabbixMaintenance(t *testing.T) {
	for name, tc := range map[string]struct {
		server zabbixServer
		want   remediate.Outcome
	}{
		"watched":                        {zabbixServer{hosts: map[string][2]string{"web-1": {"0", "0"}}}, remediate.Pass},
		"watched, before 6.4":            {zabbixServer{hosts: map[string][2]string{"web-1": {"0", "0"}}, legacy: true}, remediate.Pass},
		"in maintenance":                 {zabbixServer{hosts: map[string][2]string{"web-1": {"0", "1"}}}, remediate.Deny},
		"disabled":                       {zabbixServer{hosts: map[string][2]string{"web-1": {"1", "0"}}}, remediate.Deny},
		"a status that is new":           {zabbixServer{hosts: map[string][2]string{"web-1": {"0", "2"}}}, remediate.Blind},
		"not known there":                {zabbixServer{hosts: map[string][2]string{"web-10": {"0", "0"}}}, remediate.Blind},
		"an error":                       {zabbixServer{status: http.StatusInternalServerError}, remediate.Blind},
		"an error of JSON-RPC":           {zabbixServer{body: `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params.","data":"Session terminated."}}`}, remediate.Blind},
		"no JSON":                        {zabbixServer{body: "<html>maintenance</html>"}, remediate.Blind},
		"a list that is none":            {zabbixServer{body: `{"jsonrpc":"2.0","id":1,"result":{"10084":{}}}`}, remediate.Blind},
		"the answer to another question": {zabbixServer{body: `{"jsonrpc":"2.0","id":2,"result":[{"host":"web-1","status":"0","maintenance_status":"0"}]}`}, remediate.Blind},
		"another host":                   {zabbixServer{body: `{"jsonrpc":"2.0","id":1,"result":[{"host":"web-2","status":"0","maintenance_status":"0"}]}`}, remediate.Blind},
		"two of them":                    {zabbixServer{body: `{"jsonrpc":"2.0","id":1,"result":[{"host":"web-1","status":"0","maintenance_status":"0"},{"host":"web-1","status":"0","maintenance_status":"0"}]}`}, remediate.Blind},
		"no result":                      {zabbixServer{body: `{"jsonrpc":"2.0","id":1}`}, remediate.Blind},
		"an endless one":                 {zabbixServer{body: strings.Repeat(" ", 2<<20)}, remediate.Blind},
	} {
		t.Run(name, func(t *testing.T) {
			p := hostPolicy()
			p.Guards.Zabbix = "main"
			c := candidate(t, p, pageOf(firing(0, "instance", "web-1:9100")))
			v := verdictOf(t, remediate.World{Zabbix: map[string]remediate.Maintenance{"main": zabbixAt(t, &tc.server)}}, "zabbix", c)
			require.Equal(t, tc.want, v.Outcome, v.Reason)
			require.NotContains(t, v.Reason+v.Value, "s3cret")
			require.Equal(t, 1, tc.server.asked)
		})
	}
}

// A redirected POST would be a GET without its question, and its token elsewhere.
func TestZabbixFollowsNoRedirect(t *testing.T) {
	other := &zabbixServer{hosts: map[string][2]string{"web-1": {"0", "0"}}}
	s := httptest.NewServer(other)
	defer s.Close()
	_, err := zabbixAt(t, &zabbixServer{to: s.URL + "/zabbix/api_jsonrpc.php"}).Maintained(t.Context(), "web-1")
	require.ErrorContains(t, err, "host.get: status 301")
	require.Zero(t, other.asked)
}

func TestZabbixIsAskedOnlyOfHosts(t *testing.T) {
	p := servicePolicy()
	p.Guards.Zabbix = "main"
	c := remediate.Candidate{Policy: p, Step: p.Steps[0], Target: remediate.Target{Kind: remediate.ServiceTarget, Name: "v42"}, Now: noon()}
	require.Equal(t, remediate.Blind, verdictOf(t, remediate.World{}, "zabbix", c).Outcome)
	p = hostPolicy()
	c = candidate(t, p, pageOf(firing(0, "instance", "web-1:9100")))
	require.Equal(t, remediate.Pass, verdictOf(t, remediate.World{}, "zabbix", c).Outcome, "not asked for")
	p.Guards.Zabbix = "main"
	require.Equal(t, remediate.Blind, verdictOf(t, remediate.World{}, "zabbix", c).Outcome, "not configured")
}

func TestZabbixConfig(t *testing.T) {
	err := (&remediate.ZabbixConfig{Name: "a b", URL: "zabbix"}).Validate()
	for _, field := range []string{"name: ", "url: ", "token_file: "} {
		require.ErrorContains(t, err, field)
	}
	require.NoError(t, (&remediate.ZabbixConfig{Name: "main", URL: "https://zabbix.example.org/zabbix", TokenFile: "x"}).Validate())
	_, err = remediate.NewZabbix(remediate.ZabbixConfig{TokenFile: "not-there"}, http.DefaultTransport)
	require.ErrorContains(t, err, "token_file: ")
}
