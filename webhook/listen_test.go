package webhook_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/webhook"
)

func TestCheckWebConfig(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"empty":                {"", ""},
		"users":                {"basic_auth_users:\n  am1: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n", ""},
		"rate limit":           {"rate_limit:\n  interval: 1s\n  burst: 10\n", "remove rate_limit: it answers 429"},
		"rate limit as a flow": {"{rate_limit: {}}", "remove rate_limit"},
		"unknown key":          {"basic_users: {}\n", "basic_users"},
		"not YAML":             {"\t:", "yaml"},
		"bad password":         {"basic_auth_users: {am1: plain}\n", "bcrypt"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "web.yml")
			require.NoError(t, os.WriteFile(path, []byte(tc.text), 0o600))
			err := webhook.CheckWebConfig(path)
			if tc.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.says)
		})
	}
	require.NoError(t, webhook.CheckWebConfig(""))
	require.ErrorIs(t, webhook.CheckWebConfig(filepath.Join(t.TempDir(), "none.yml")), os.ErrNotExist)
}

func TestWebUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yml")
	require.NoError(t, os.WriteFile(path, []byte("basic_auth_users: {b: x, a: x}\n"), 0o600))
	users, err := webhook.WebUsers(path)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, users)
	users, err = webhook.WebUsers("")
	require.NoError(t, err)
	require.Empty(t, users)
}

func TestVerifiesClients(t *testing.T) {
	for auth, want := range map[string]bool{
		"RequireAndVerifyClientCert": true, "VerifyClientCertIfGiven": true,
		"NoClientCert": false, "RequestClientCert": false, "RequireAnyClientCert": false, "": false,
	} {
		path := filepath.Join(t.TempDir(), "web.yml")
		require.NoError(t, os.WriteFile(path, []byte("tls_server_config: {client_auth_type: \""+auth+"\"}\n"), 0o600))
		verifies, err := webhook.VerifiesClients(path)
		require.NoError(t, err)
		require.Equal(t, want, verifies, auth)
	}
}

func TestNeedsAuth(t *testing.T) {
	for listen, open := range map[string]bool{
		":9095": true, "0.0.0.0:9095": true, "[::]:9095": true, "192.0.2.1:9095": true, "gateway:9095": true, "[fe80::1%eth0]:9095": true,
		"127.0.0.1:9095": false, "127.8.8.8:9095": false, "[::1]:9095": false, "[::ffff:127.0.0.1]:9095": false, "localhost:9095": false,
	} {
		err := webhook.NeedsAuth(listen, false, false)
		require.Equal(t, open, err != nil, "%s: %v", listen, err)
		require.NoError(t, webhook.NeedsAuth(listen, true, false), listen)
		require.NoError(t, webhook.NeedsAuth(listen, false, true), listen)
	}
	require.ErrorContains(t, webhook.NeedsAuth("9095", false, false), "127.0.0.1:9095")
	require.ErrorContains(t, webhook.NeedsAuth(":9095", false, false), "inbound_token_files")
}
