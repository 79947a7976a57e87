package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/scenario"
)

type faultCmd struct {
	Kind    string `arg:"" name:"fault" help:"bad-deploy, bad-host, noisy-user, slow-dc, target-down, everything-bad; or heal."`
	ID      string `arg:"" optional:"" help:"With heal: which one; all without."`
	URL     string `required:"" help:"Where the fleet is served, as \"up\" and \"demo\" print it."`
	Service string `help:"Where it strikes; default: the fleet's first service."`
	For     string `placeholder:"2m" help:"Heals by itself after that long."`
}

// Help shows examples under the flags.
func (faultCmd) Help() string {
	return `  tocsin-lab fault bad-deploy --service cart --for 3m --url http://127.0.0.1:34567
  tocsin-lab fault heal --url http://127.0.0.1:34567`
}

// Run is the command.
func (c *faultCmd) Run(ctx context.Context, out *screen) error {
	base := strings.TrimRight(c.URL, "/") + "/fault"
	if c.Kind == "heal" {
		if c.ID != "" {
			base += "/" + c.ID
		}
		_, err := call(ctx, http.MethodDelete, base, nil)
		return err
	}
	body, err := json.Marshal(scenario.Request{Fault: scenario.Kind(c.Kind), Service: c.Service, For: c.For})
	if err != nil {
		return err
	}
	answer, err := call(ctx, http.MethodPost, base, body)
	if err != nil {
		return err
	}
	var f scenario.Fault
	if err := json.Unmarshal(answer, &f); err != nil {
		return fmt.Errorf("read the fleet's answer: %w", err)
	}
	out.line("%s at %s: %s", f.ID, f.At.Format("15:04:05.000"), f.Summary)
	out.line("expect %s to page with: %s", f.Alert, f.Expected())
	return nil
}

func call(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("reach the fleet (is a world up?): %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		var refusal struct{ Error string }
		if json.Unmarshal(answer, &refusal) == nil && refusal.Error != "" {
			return nil, errors.New(refusal.Error)
		}
		return nil, fmt.Errorf("the fleet answered %s", res.Status)
	}
	return answer, nil
}

type fakeCmd struct {
	Service   string `arg:"" enum:"slack,pagerduty,awx" help:"${enum}"`
	Listen    string `default:"127.0.0.1:0" help:"Address to serve on."`
	World     string `placeholder:"FILE" help:"awx: its users, inventories and templates, as YAML."`
	Playbooks string `placeholder:"FOLDER" help:"awx: playbooks that ansible-playbook runs, if it is installed."`
}

// Help shows examples under the flags.
func (fakeCmd) Help() string {
	return `GET / shows what people would see, GET /_ledger the same as JSON, POST /_fault makes it misbehave.

  tocsin-lab fake slack --listen 127.0.0.1:9100
  tocsin-lab fake awx --world lab/fakeawx/playbooks/world.yml --playbooks lab/fakeawx/playbooks`
}

// Run is the command.
func (c *fakeCmd) Run(ctx context.Context, out *screen) error {
	var handler http.Handler
	var how string
	switch c.Service {
	case "slack":
		handler = fakeslack.New(fakeslack.Options{})
		how = "api_url http://%[2]s/api/, channel C0PAGES, token " + fakeslack.DefaultToken
	case "awx":
		o := fakeawx.Options{Playbooks: c.Playbooks}
		if c.World != "" {
			w, err := fakeawx.ReadWorld(c.World)
			if err != nil {
				return err
			}
			o.World = w
		}
		f := fakeawx.New(o)
		go f.Run(ctx)
		handler = f
		how = "url http://%[2]s, token " + fakeawx.DefaultToken
	default:
		handler = fakepagerduty.New(fakepagerduty.Options{})
		how = "events_url http://%[2]s, routing key " + fakepagerduty.DefaultKey
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	out.line("fake %[1]s at http://%[2]s/; "+how, c.Service, l.Addr())
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
