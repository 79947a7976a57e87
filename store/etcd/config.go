package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/tocsin/tocsin/config"
)

// Config is the store's section for a cluster.
type Config struct {
	Endpoints    []string          `yaml:"endpoints" doc:"Client addresses of the cluster's members, e.g. https://etcd-1:2379: all of them, so that one may fail."`
	Prefix       string            `yaml:"prefix" doc:"Where in the cluster the state lies. All replicas of one Tocsin share it, and nothing else writes there."`
	Username     string            `yaml:"username" doc:"User of the cluster, if it asks for one. It needs read and write on the prefix."`
	PasswordFile config.SecretFile `yaml:"password_file" doc:"File with the user's password."`
	TLS          TLS               `yaml:"tls" doc:"For endpoints that begin with https."`
}

// TLS says whom to trust and who we are.
type TLS struct {
	CAFile   config.SecretFile `yaml:"ca_file" doc:"Certificates that the members' are signed with. Default: the system's."`
	CertFile config.SecretFile `yaml:"cert_file" doc:"Our certificate, if the members ask for one. It is read again for each connection, so it can be renewed."`
	KeyFile  config.SecretFile `yaml:"key_file" doc:"Its key."`
}

// DefaultPrefix is where the state lies if nothing else is said.
const DefaultPrefix = "/tocsin"

// Validate is config.Validator's.
func (c Config) Validate() error {
	var errs []error
	if len(c.Endpoints) == 0 {
		errs = append(errs, config.Bad("endpoints", "is empty: write the members' addresses, e.g. [https://etcd-1:2379, https://etcd-2:2379, https://etcd-3:2379]"))
	}
	secure := 0
	for i, e := range c.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil {
			errs = append(errs, config.Bad(fmt.Sprintf("endpoints[%d]", i), "%q is no member's address: write it as https://etcd-1:2379", e))
		} else if u.Scheme == "https" {
			secure++
		}
	}
	if secure != 0 && secure != len(c.Endpoints) {
		errs = append(errs, config.Bad("endpoints", "some begin with http and some with https: a password must not travel both ways"))
	}
	if !strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") {
		errs = append(errs, config.Bad("prefix", "%q must begin with a slash and not end with one: write /tocsin", c.Prefix))
	}
	if (c.Username == "") != (c.PasswordFile == "") {
		errs = append(errs, config.Bad("username", "username and password_file belong together: write both or none"))
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		errs = append(errs, config.Bad("tls.cert_file", "cert_file and key_file belong together: write both or none"))
	}
	if secure == 0 && c.TLS != (TLS{}) {
		errs = append(errs, config.Bad("tls", "is written, but the endpoints begin with http: write https"))
	}
	return errors.Join(errs...)
}

// client returns how to talk TLS, nil for endpoints without it.
func (c Config) client() (*tls.Config, error) {
	if !strings.HasPrefix(c.Endpoints[0], "https:") {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS.CAFile != "" {
		pem, err := os.ReadFile(string(c.TLS.CAFile))
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read ca_file: %s holds no certificate", c.TLS.CAFile)
		}
	}
	if c.TLS.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(string(c.TLS.CertFile), string(c.TLS.KeyFile))
			return &pair, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("read cert_file and key_file: %w", err)
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return out, nil
}
