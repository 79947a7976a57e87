package slack_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/remote"
)

func secretFile(t testing.TB, secret string) config.SecretFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	return config.SecretFile(path)
}

func section(t testing.TB, url, token string) *slack.Config {
	c := slack.Kind(nil).Config().(*slack.Config)
	c.APIURL, c.Channel, c.TokenFile = url+"/api/", "C0PAGES", secretFile(t, token)
	require.NoError(t, c.Validate())
	return c
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Suite{
		Kind: slack.Kind(dot),
		Start: func(t *testing.T) notifytest.Service {
			fake := fakeslack.New(fakeslack.Options{NoRateLimits: true})
			srv := httptest.NewServer(fake)
			t.Cleanup(srv.Close)
			t.Cleanup(fake.Faults.Clear)
			return notifytest.Service{
				Config: section(t, srv.URL, fakeslack.DefaultToken),
				Wrong:  section(t, srv.URL, "xoxb-wrong"),
				Down:   section(t, "http://127.0.0.1:1", fakeslack.DefaultToken),
				Secret: fakeslack.DefaultToken, Faults: fake.Faults, HasUpdate: true,
				Shown: func() []notifytest.Shown { return shown(fake) },
			}
		},
		Class: func(status int) remote.Class {
			switch {
			case status == 429:
				return remote.NotSent
			case status == 413:
				return remote.Content
			case status == 408 || status >= 500:
				return remote.Unknown
			default:
				return remote.Config
			}
		},
	})
}

func shown(fake *fakeslack.Fake) []notifytest.Shown {
	l := fake.Ledger()
	var out []notifytest.Shown
	for _, m := range l.Roots() {
		s := notifytest.Shown{
			Delivery: m.Delivery, Text: m.Current.Visible, Pages: 1,
			Resolved: strings.Contains(m.Current.Visible, "resolved"),
		}
		for _, r := range l.Replies(m.TS) {
			s.Beside = append(s.Beside, r.Current.Visible)
			s.Charts += len(r.Files)
			s.Mentions, s.Links = append(s.Mentions, r.Current.Mentions...), append(s.Links, r.Current.Links...)
			if r.Broadcast {
				s.Pages++
			}
		}
		for _, v := range m.Versions {
			s.Mentions = append(s.Mentions, v.Mentions...)
			s.Links = append(s.Links, v.Links...)
		}
		out = append(out, s)
	}
	return out
}

func tokenIn(t *testing.T, dir string) config.SecretFile {
	t.Helper()
	path := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(path, []byte(fakeslack.DefaultToken), 0o600))
	return config.SecretFile(path)
}
