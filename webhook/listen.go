package webhook

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// webConfig is what matters here of exporter-toolkit's web config.
type webConfig struct {
	RateLimit *yaml.Node           `yaml:"rate_limit"`
	Users     map[string]yaml.Node `yaml:"basic_auth_users"`
	TLS       struct {
		ClientAuth string `yaml:"client_auth_type"`
	} `yaml:"tls_server_config"`
}

func readWebConfig(path string) (webConfig, error) {
	var c webConfig
	if path == "" {
		return c, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := yaml.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

// CheckWebConfig refuses a web config file that exporter-toolkit would refuse,
// and one with a rate limit: what is beyond it is answered 429, and
// Alertmanager never sends that again.
func CheckWebConfig(path string) error {
	c, err := readWebConfig(path)
	if err != nil {
		return err
	}
	if c.RateLimit != nil {
		return errors.New("remove rate_limit: it answers 429, which Alertmanager takes for final, and the page is lost")
	}
	return web.Validate(path)
}

// WebUsers returns the users whose passwords a listener with this web config
// checks. They are the Users of a Handler behind it.
func WebUsers(path string) ([]string, error) {
	c, err := readWebConfig(path)
	return slices.Sorted(maps.Keys(c.Users)), err
}

// VerifiesClients reports whether a listener with this web config verifies
// client certificates: others name nobody.
func VerifiesClients(path string) (bool, error) {
	c, err := readWebConfig(path)
	return slices.Contains([]string{"RequireAndVerifyClientCert", "VerifyClientCertIfGiven"}, c.TLS.ClientAuth), err
}

// NeedsAuth refuses an address beyond loopback whose requests are not
// authenticated, unless that is allowed.
func NeedsAuth(listen string, authenticated, allow bool) error {
	if authenticated || allow {
		return nil
	}
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%q is not an address: write it as 127.0.0.1:9095", listen)
	}
	if addr, err := netip.ParseAddr(host); host == "localhost" || err == nil && addr.Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is open to others and webhooks carry no credentials: write inbound_token_files, listen on 127.0.0.1, or set allow_unauthenticated: true", listen)
}
