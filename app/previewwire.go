package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
)

// wire writes what would go over the wire to a kind of target: slack, pagerduty,
// or slack-blocks, which is what Slack's Block Kit Builder takes. No target needs
// to be configured for it: the one that renders has a secret of no use.
func wire(out io.Writer, output string, v page.Page, owners notify.Owners) (err error) {
	dir, err := os.MkdirTemp("", "tocsin-preview-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	secret := config.SecretFile(filepath.Join(dir, "secret"))
	if err := os.WriteFile(string(secret), []byte(strings.Repeat("0", 32)), 0o600); err != nil {
		return err
	}
	kind := slack.Kind(drawPNG)
	if output == "pagerduty" {
		kind = pagerduty.Kind()
	}
	section := kind.Config()
	switch c := section.(type) {
	case *slack.Config:
		c.TokenFile, c.Channel = secret, "C0PREVIEW"
	case *pagerduty.Config:
		c.RoutingKeyFile = secret
	}
	n, err := kind.New(section, notify.Deps{Name: "preview", Transport: newTransport(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	r, ok := n.(notify.Renderer)
	if !ok {
		return fmt.Errorf("%s cannot show what it would send", kind.Name)
	}
	raw, err := r.Render(openMessage(v, notify.Target{Kind: kind.Name, Name: "preview", Notifier: n}, owners))
	if err == nil && output == "slack-blocks" {
		raw, err = blocks(raw)
	}
	if err != nil {
		return fmt.Errorf("render for %s: %w", output, err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, raw, "", "  "); err != nil {
		return fmt.Errorf("render for %s: %w", output, err)
	}
	pretty.WriteByte('\n')
	_, err = pretty.WriteTo(out)
	return err
}

// blocks leaves of a message what the builder knows.
func blocks(raw []byte) ([]byte, error) {
	var m struct {
		Blocks      json.RawMessage `json:"blocks,omitempty"`
		Attachments json.RawMessage `json:"attachments,omitempty"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}
