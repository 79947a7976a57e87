package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify"
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
	var found []Unsent
	err := Gateway{ConfigFile: o.ConfigFile, URL: o.URL, TokenFile: o.TokenFile}.ask(ctx, http.MethodGet, "/api/v1/shadow", nil, &found)
	if err != nil {
		return err
	}
	if o.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(found)
	}
	return writeUnsent(w, found)
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
