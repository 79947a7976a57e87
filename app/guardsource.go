package app

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// GuardSource is a server with Prometheus' API that guards ask.
type GuardSource struct {
	Name            string            `yaml:"name" need:"true" doc:"Name by which policies call it."`
	URL             string            `yaml:"url" need:"true" doc:"Its address: http://thanos-query:10902. Partial answers are asked not to be given, and deny."`
	BearerTokenFile config.SecretFile `yaml:"bearer_token_file" doc:"File with a token that is sent with each request; read anew each time, for tokens rotate."`
	Basic           *GuardLogin       `yaml:"basic_auth" doc:"User name and password that are sent with each request."`
}

// GuardLogin is HTTP basic authentication.
type GuardLogin struct {
	Username     string            `yaml:"username" need:"true" doc:"User name."`
	PasswordFile config.SecretFile `yaml:"password_file" need:"true" doc:"File with the password."`
}

func (s GuardSource) validate() error {
	var errs []error
	if !webURL(s.URL) {
		errs = append(errs, config.Bad("url", "write it as http://thanos-query:10902"))
	}
	if s.Basic != nil && s.BearerTokenFile != "" {
		errs = append(errs, config.Bad("basic_auth", "stands beside bearer_token_file: write one of them"))
	}
	if s.Basic != nil && (s.Basic.Username == "" || s.Basic.PasswordFile == "") {
		errs = append(errs, config.Bad("basic_auth", "needs both username and password_file"))
	}
	return errors.Join(errs...)
}

// client asks for whole answers only.
func (s GuardSource) client(t http.RoundTripper) (*prometheus.Client, error) {
	if _, err := s.secret(); err != nil { // better said now than by a guard at night
		return nil, err
	}
	c, err := prometheus.New(prometheus.Options{
		URL: s.URL, Transport: t, Authorize: s.authorize, Params: url.Values{"partial_response": {"false"}, "dedup": {"true"}},
	})
	return c, config.Under("url", err)
}

// secret is the token or password, "" where there is none.
func (s GuardSource) secret() (config.Secret, error) {
	switch {
	case s.BearerTokenFile != "":
		token, err := s.BearerTokenFile.Read()
		return token, config.Under("bearer_token_file", err)
	case s.Basic != nil:
		password, err := s.Basic.PasswordFile.Read()
		return password, config.Under("basic_auth.password_file", err)
	}
	return "", nil
}

// authorize adds the credentials.
func (s GuardSource) authorize(r *http.Request) error {
	secret, err := s.secret()
	switch {
	case err != nil:
		return err
	case s.Basic != nil:
		r.SetBasicAuth(s.Basic.Username, secret.Reveal())
	case secret != "":
		r.Header.Set("Authorization", "Bearer "+secret.Reveal())
	}
	return nil
}
