package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/remote"
)

// ShadowOptions choose what `tocsin shadow report` asks, and whom.
type ShadowOptions struct {
	ConfigFile string
	URL        string            // of the operators' listener; "": as the config says
	TokenFile  config.SecretFile // "": without URL the first token of the config that can be read
	JSON       bool
}

// ShadowReport asks the gateway that runs what it would have sent for the
// receivers that are in shadow, and prints it, oldest first.
func ShadowReport(ctx context.Context, w io.Writer, o ShadowOptions) error {
	base, token, err := o.operators()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, connectFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/shadow", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", base, err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	const limit = 16 << 20
	res, err := remote.New(newTransport(), limit).Do(req, "ask "+base)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK {
		return fmt.Errorf("ask %s: status %d: %s", base, res.Status, notify.Clean(string(res.Body), 300))
	}
	var found []Unsent
	if err := json.Unmarshal(res.Body, &found); err != nil {
		return fmt.Errorf("ask %s: read answer: %w", base, err)
	}
	if o.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(found)
	}
	return writeUnsent(w, found)
}

// operators finds the listener and a token for it. The config is read only when
// no address is given.
func (o ShadowOptions) operators() (base string, token config.Secret, err error) {
	if o.TokenFile != "" {
		if token, err = o.TokenFile.Read(); err != nil {
			return "", "", fmt.Errorf("read token: %w", err)
		}
	}
	if o.URL != "" {
		return strings.TrimRight(o.URL, "/"), token, nil
	}
	p, err := load(o.ConfigFile)
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
		token, err = t.TokenFile.Read()
	}
	if token == "" && err != nil {
		return "", "", fmt.Errorf("read an operator's token: %w", err)
	}
	return u.String(), token, nil
}

func writeUnsent(w io.Writer, found []Unsent) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "nothing would have been sent: no receiver in shadow was told of a problem yet")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WHEN\tAFTER\tWHERE\tSTATE\tFIRST LINE\tTITLE\tPAGE")
	for _, u := range found {
		where := strings.TrimSpace(u.Target + " " + u.Channel)
		line := u.Line
		if u.Error != "" {
			line = "could not be rendered: " + u.Error
		}
		fmt.Fprintf(tw, "%s\t%.1f s\t%s\t%s\t%s\t%s\t%s\n", u.At.UTC().Format(time.RFC3339), u.Delay, where,
			cmp.Or(string(u.State), "unknown"), notify.Clean(line, 200), notify.Clean(u.Title, 100), u.Problem[:min(len(u.Problem), 12)])
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
