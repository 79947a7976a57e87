package remediate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Maintenance says whether a host is in maintenance.
type Maintenance interface {
	// Maintained returns why a host is left alone, "" if it is not. An error means
	// that it is not known: also of a host that is not known there.
	Maintained(ctx context.Context, host string) (why string, err error)
}

// zabbix passes hosts that Zabbix watches and has not in maintenance.
type zabbix struct{ servers map[string]Maintenance }

// Name implements Guard.
func (zabbix) Name() string { return "zabbix" }

// Check implements Guard.
func (z zabbix) Check(ctx context.Context, c Candidate) Verdict {
	name := c.Policy.Guards.Zabbix
	server := z.servers[name]
	switch {
	case name == "":
		return pass("not asked for")
	case c.Target.Kind != HostTarget:
		return blind("Zabbix knows hosts, not a " + string(c.Target.Kind))
	case server == nil:
		return blind(fmt.Sprintf("no Zabbix %q is configured", name))
	}
	why, err := server.Maintained(ctx, c.Target.Name)
	switch {
	case err != nil:
		return blind(err.Error())
	case why != "":
		return deny("Zabbix %s leaves the host alone", name).saw("%s", why)
	}
	return pass("Zabbix %s watches the host, and it is not in maintenance", name)
}

// ZabbixConfig is the section of one Zabbix server.
type ZabbixConfig struct {
	Name      string            `yaml:"name" need:"true" doc:"Name by which policies call it."`
	URL       string            `yaml:"url" need:"true" doc:"Address of the frontend: https://zabbix.example.org/zabbix. Its api_jsonrpc.php is asked."`
	TokenFile config.SecretFile `yaml:"token_file" need:"true" doc:"File with an API token of a user that may read hosts and maintenances."`
	Legacy    bool              `yaml:"legacy_auth" doc:"Send the token in the body, as Zabbix before 6.4 wants it."`
}

// Validate says what is wrong with c.
func (c *ZabbixConfig) Validate() error {
	var errs []error
	if c.Name == "" || strings.ContainsAny(c.Name, "/ \t\n") {
		errs = append(errs, config.Bad("name", "give it a name without spaces and slashes"))
	}
	if _, ok := page.WebURL(c.URL); !ok {
		errs = append(errs, config.Bad("url", "write it as https://zabbix.example.org/zabbix"))
	}
	if c.TokenFile == "" {
		errs = append(errs, config.Bad("token_file", "name the file that holds the API token"))
	}
	return errors.Join(errs...)
}

// Zabbix asks a Zabbix server by its JSON-RPC API, as documented for 6.0 to 7.4
// (https://www.zabbix.com/documentation/current/en/manual/api).
type Zabbix struct {
	url    string
	token  config.Secret
	legacy bool
	remote *remote.Client
}

var _ Maintenance = (*Zabbix)(nil)

// maxZabbix bounds an answer, in bytes.
const maxZabbix = 1 << 20

// NewZabbix returns the client of one server. It does not reach out.
func NewZabbix(c ZabbixConfig, transport http.RoundTripper) (*Zabbix, error) {
	token, err := c.TokenFile.Read()
	if err != nil {
		return nil, config.Bad("token_file", "%v", err)
	}
	u := strings.TrimRight(c.URL, "/")
	if !strings.HasSuffix(u, "/api_jsonrpc.php") {
		u += "/api_jsonrpc.php"
	}
	client := remote.New(transport, maxZabbix)
	// a redirected POST becomes a GET, and the answer one to another question
	client.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Zabbix{url: u, token: token, legacy: c.Legacy, remote: client}, nil
}

// zabbixHost is a host as host.get has it. Numbers come as strings.
type zabbixHost struct {
	ID          string `json:"hostid"`
	Host        string `json:"host"`
	Status      string `json:"status"`             // 0: monitored
	Maintenance string `json:"maintenance_status"` // 1: in effect
}

// Maintained looks for the one host of exactly this technical name, and whether a
// maintenance is in effect for it. Zabbix itself puts one into effect, and out of
// it, up to a minute late.
func (z *Zabbix) Maintained(ctx context.Context, host string) (string, error) {
	var hosts []zabbixHost
	err := z.call(ctx, "host.get", map[string]any{
		"output": []string{"hostid", "host", "status", "maintenance_status"},
		"filter": map[string]any{"host": []string{host}},
		"limit":  2,
	}, &hosts)
	switch {
	case err != nil:
		return "", err
	case len(hosts) != 1 || !strings.EqualFold(hosts[0].Host, host):
		return "", fmt.Errorf("host.get: %d hosts have that name, or the token may not see it", len(hosts))
	case hosts[0].Maintenance == "1":
		return "it is in maintenance", nil
	case hosts[0].Maintenance != "0":
		return "", errors.New("host.get: the maintenance status is not known")
	case hosts[0].Status != "0":
		return "it is not monitored", nil
	}
	return "", nil
}

// call makes one request of JSON-RPC 2.0.
func (z *Zabbix) call(ctx context.Context, method string, params, into any) error {
	body := map[string]any{"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
	if z.legacy {
		body["auth"] = z.token.Reveal()
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return &remote.Error{Op: method, Class: remote.Content, Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, z.url, bytes.NewReader(raw))
	if err != nil {
		return &remote.Error{Op: method, Class: remote.Config, Err: remote.Redact(err)}
	}
	req.Header.Set("Content-Type", "application/json-rpc")
	if !z.legacy {
		req.Header.Set("Authorization", "Bearer "+z.token.Reveal())
	}
	res, err := z.remote.Do(req, method)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK {
		return &remote.Error{Op: method, Class: remote.Config, Status: res.Status}
	}
	var answer struct {
		Version string          `json:"jsonrpc"`
		ID      int             `json:"id"`
		Result  json.RawMessage `json:"result"`
		Error   *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Data    string `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(res.Body, &answer); err != nil {
		return &remote.Error{Op: method, Class: remote.Unknown, Status: res.Status, Reason: "the answer is no JSON"}
	}
	if e := answer.Error; e != nil {
		return &remote.Error{Op: method, Class: remote.Config, Status: res.Status, Reason: shown(fmt.Sprintf("error %d: %s %s", e.Code, e.Message, e.Data))}
	}
	if answer.Version != "2.0" || answer.ID != 1 || len(answer.Result) == 0 {
		return &remote.Error{Op: method, Class: remote.Unknown, Status: res.Status, Reason: "the answer is none of JSON-RPC"}
	}
	if err := json.Unmarshal(answer.Result, into); err != nil {
		return &remote.Error{Op: method, Class: remote.Unknown, Status: res.Status, Reason: "the result is not what was asked for"}
	}
	return nil
}
