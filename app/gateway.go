package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// Gateway says which gateway that runs is asked, and with whose token.
type Gateway struct {
	ConfigFile string
	URL        string            // of the operators' listener; "": as the config says
	TokenFile  config.SecretFile // "": without URL the first token of the config that can be read
}

// maxAnswer is how much of an answer of the gateway is read.
const maxAnswer = 64 << 20

// ask sends a request to the operators' API and reads its answer into what into
// points to; nil reads nothing. body is sent as JSON unless it is nil.
func (g Gateway) ask(ctx context.Context, method, path string, body, into any) error {
	base, token, err := g.operators(method != http.MethodGet)
	if err != nil {
		return err
	}
	var raw []byte
	if body != nil {
		if raw, err = json.Marshal(body); err != nil {
			return fmt.Errorf("ask %s: %w", base, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connectFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("ask %s: %w", base, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	res, err := remote.New(newTransport(), maxAnswer).Do(req, "ask "+base)
	if err != nil {
		return err
	}
	if res.Status >= http.StatusMultipleChoices {
		return fmt.Errorf("ask %s: %w", base, &answerError{res.Status, said(res.Body)})
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return fmt.Errorf("ask %s: read answer: %w", base, err)
	}
	return nil
}

// answerError is an answer that is not what was asked for.
type answerError struct {
	status int
	text   string
}

// Error is the status and what the gateway said.
func (e *answerError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.text) }

// said is the error in an answer of the API, or the answer itself.
func said(body []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return notify.Clean(e.Error, 300)
	}
	return notify.Clean(string(body), 300)
}

// operators finds the listener and a token for it: one that may act, where
// something is to be changed. The config is read only when no address is given.
func (g Gateway) operators(acts bool) (base string, token config.Secret, err error) {
	if g.TokenFile != "" {
		if token, err = g.TokenFile.Read(); err != nil {
			return "", "", fmt.Errorf("read token: %w", err)
		}
	}
	if g.URL != "" {
		return strings.TrimRight(g.URL, "/"), token, nil
	}
	p, err := load(g.ConfigFile)
	if err != nil {
		return "", "", err
	}
	u := url.URL{Scheme: "http"}
	if p.WebConfigFile != "" {
		u.Scheme = "https"
	}
	host, port, err := net.SplitHostPort(p.Operators.Listen)
	if err != nil {
		return "", "", fmt.Errorf("operators.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	u.Host = net.JoinHostPort(host, port)
	for _, t := range p.Operators.Tokens {
		if token != "" {
			break
		}
		if acts && t.Role != page.RoleOperator {
			continue
		}
		token, err = t.TokenFile.Read()
	}
	if token == "" && err != nil {
		return "", "", fmt.Errorf("read an operator's token: %w", err)
	}
	return u.String(), token, nil
}
