package thanos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/tocsin/tocsin/page"
)

// load reads the files of the section; nil stays nil.
func (t *TLS) load() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CAFile != "" {
		pem, err := os.ReadFile(string(t.CAFile))
		if err != nil {
			return nil, err
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(string(t.CertFile), string(t.KeyFile))
		if err != nil {
			return nil, err
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// authorize adds credentials; files are read each time, for tokens rotate.
func (c *Config) authorize(r *http.Request) error {
	switch {
	case c.BearerTokenFile != "":
		token, err := c.BearerTokenFile.Read()
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
	case c.Basic != nil:
		password, err := c.Basic.PasswordFile.Read()
		if err != nil {
			return err
		}
		r.SetBasicAuth(c.Basic.Username, password.Reveal())
	}
	return nil
}

// bearer sends the token with each gRPC call, over TLS only.
type bearer struct{ c *Config }

// GetRequestMetadata reads the token anew: it rotates.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := b.c.BearerTokenFile.Read()
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token.Reveal()}, nil
}

// RequireTransportSecurity keeps the token out of plain text.
func (b bearer) RequireTransportSecurity() bool { return true }

// fitting counts the static labels of a rule that an alert has; a label that is
// a template may say anything. An alert with another value is another rule's.
func fitting(rule, alert page.Labels) (int, bool) {
	n := 0
	for name, v := range rule {
		switch have, ok := alert[name]; {
		case strings.Contains(v, "{{"):
		case ok && have == v:
			n++
		case ok:
			return 0, false
		}
	}
	return n, true
}
