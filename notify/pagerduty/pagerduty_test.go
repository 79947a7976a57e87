package pagerduty_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/remote"
)

func secretFile(t *testing.T, secret string) config.SecretFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	return config.SecretFile(path)
}

func section(t *testing.T, url, key string) *pagerduty.Config {
	c := pagerduty.Kind().Config().(*pagerduty.Config)
	c.EventsURL, c.RoutingKeyFile = url, secretFile(t, key)
	require.NoError(t, c.Validate())
	return c
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Suite{
		Kind: pagerduty.Kind(),
		Start: func(t *testing.T) notifytest.Service {
			fake := fakepagerduty.New(fakepagerduty.Options{NoRateLimits: true})
			srv := httptest.NewServer(fake)
			t.Cleanup(srv.Close)
			t.Cleanup(fake.Faults.Clear)
			return notifytest.Service{
				Config: section(t, srv.URL, fakepagerduty.DefaultKey),
				Wrong:  section(t, srv.URL, strings.Repeat("f", 32)),
				Down:   section(t, "http://127.0.0.1:1", fakepagerduty.DefaultKey),
				Secret: fakepagerduty.DefaultKey, Faults: fake.Faults,
				Shown: func() []notifytest.Shown { return shown(fake) },
			}
		},
		Class: func(status int) remote.Class {
			switch {
			case status == 429:
				return remote.NotSent
			case status == 400 || status == 413:
				return remote.Content
			case status == 408 || status >= 500:
				return remote.Unknown
			default:
				return remote.Config
			}
		},
	})
}

func shown(fake *fakepagerduty.Fake) []notifytest.Shown {
	var out []notifytest.Shown
	for _, in := range fake.Ledger().Incidents {
		s := notifytest.Shown{
			Delivery: in.DedupKey, Resolved: in.Status == "resolved", Pages: in.Notified,
			Text: fmt.Sprint(in.Title, "\n", string(in.Details)),
		}
		for _, l := range in.Links {
			s.Links = append(s.Links, l.Href)
		}
		out = append(out, s)
	}
	return out
}
