package app

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/web"
	"github.com/tocsin/tocsin/webhook"
)

// readClusters returns those who may send webhooks, with their secrets read.
func readClusters(ams []Alertmanager) ([]webhook.Cluster, error) {
	var out []webhook.Cluster
	var errs []error
	for i, am := range ams {
		c := webhook.Cluster{Name: am.Name, Users: am.InboundUsers, Certs: am.InboundCerts}
		for j, f := range am.InboundTokenFiles {
			token, err := f.Read()
			errs = append(errs, config.Under(index(index("alertmanagers", i)+".inbound_token_files", j), err))
			c.Tokens = append(c.Tokens, token)
		}
		out = append(out, c)
	}
	return out, errors.Join(errs...)
}

// readGitHub returns the secrets of webhooks at GitHub.
func readGitHub(files []config.SecretFile) ([]config.Secret, error) {
	var out []config.Secret
	var errs []error
	for i, f := range files {
		secret, err := f.Read()
		errs = append(errs, config.Under(index("changes.github_secret_files", i), err))
		out = append(out, secret)
	}
	return out, errors.Join(errs...)
}

// ambiguous refuses a credential that would name two: it is what tells clusters,
// and operators, apart.
func ambiguous(clusters []webhook.Cluster, ops []web.Operator) error {
	var errs []error
	owner := map[string]string{}
	claim := func(at, what, who string) {
		if first, taken := owner[what]; taken {
			errs = append(errs, config.Bad(at, "%s has the same: give each its own", first))
			return
		}
		owner[what] = who
	}
	for i, c := range clusters {
		at := index("alertmanagers", i)
		for j, token := range c.Tokens {
			sum := sha256.Sum256([]byte(token.Reveal()))
			claim(index(at+".inbound_token_files", j), "token "+string(sum[:]), "cluster "+c.Name)
		}
		for j, user := range c.Users {
			claim(index(at+".inbound_users", j), "user "+user, "cluster "+c.Name)
		}
		for j, name := range c.Certs {
			claim(index(at+".inbound_certs", j), "certificate "+name, "cluster "+c.Name)
		}
	}
	for i, o := range ops {
		claim(index("operators.tokens", i)+".token_file", "token "+string(o.Hash[:]), "operator "+o.Name)
	}
	return errors.Join(errs...)
}

// doorkeeper refuses a web config file that would turn away those whom the
// config lets in. It stands before both listeners, and a request has one
// Authorization header: where users are asked for, no token gets past.
func (p *plan) doorkeeper() error {
	if p.WebConfigFile == "" {
		return nil
	}
	path := string(p.WebConfigFile)
	if err := webhook.CheckWebConfig(path); err != nil {
		return config.Bad("web_config_file", "%s: %s", path, strings.Join(strings.Fields(err.Error()), " "))
	}
	users, err := webhook.WebUsers(path)
	verifies, err2 := webhook.VerifiesClients(path)
	errs := []error{err, err2}
	for i, am := range p.Alertmanagers {
		at := index("alertmanagers", i)
		if len(users) > 0 && len(am.InboundTokenFiles) > 0 {
			errs = append(errs, config.Bad(at+".inbound_token_files", "web_config_file asks every request for a user (basic_auth_users), which leaves no room for a token: write inbound_users"))
		}
		for j, user := range am.InboundUsers {
			if !slices.Contains(users, user) {
				errs = append(errs, config.Bad(index(at+".inbound_users", j), "%q is not among basic_auth_users of %s: add it there", user, path))
			}
		}
		if len(am.InboundCerts) > 0 && !verifies {
			errs = append(errs, config.Bad(at+".inbound_certs", "%s verifies no client certificates: write client_auth_type: RequireAndVerifyClientCert there", path))
		}
	}
	if len(users) > 0 && len(p.Operators.Tokens) > 0 {
		errs = append(errs, config.Bad("operators.tokens", "web_config_file asks every request for a user (basic_auth_users), which leaves no room for a token: let operators.listen be on 127.0.0.1 and write no tokens"))
	}
	return errors.Join(errs...)
}
