package exporters_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/tocsin/tocsin/exporters"
)

func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}), 0o600))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// The server is up behind TLS and basic auth, lets a scrape under way finish
// when it is told to end, and takes none after that.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	roots := certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	require.NoError(t, err)
	conf := filepath.Join(dir, "web.yml")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {prometheus: %s}\n", hash), 0o600))
	began, release := make(chan struct{}), make(chan struct{})
	p := &probe{name: "one", expose: func(_ context.Context, out *exporters.Text) error {
		close(began)
		<-release
		out.Family(family("one")).Uint(nil, 1)
		return nil
	}}
	e, err := exporters.New(exporters.Options{Prefix: "probe", Exposers: []exporters.Exposer{p}, Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, exporters.WebFlags{ListenAddress: []string{addr}, ConfigFile: conf})
	}()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	get := func(path, password string) (int, string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+path, nil)
		require.NoError(t, err)
		r.SetBasicAuth("prometheus", password)
		resp, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(raw), err
	}
	require.Eventually(t, func() bool {
		code, _, err := get("/-/healthy", "secret")
		return err == nil && code == http.StatusOK
	}, 30*time.Second, 10*time.Millisecond)
	code, _, err := get("/-/healthy", "wrong")
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, code)

	scraped := make(chan string, 1)
	go func() {
		_, body, _ := get("/metrics", "secret")
		scraped <- body
	}()
	<-began
	stop()
	require.Eventually(t, func() bool {
		_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		return err != nil
	}, 30*time.Second, 10*time.Millisecond, "no new connections")
	close(release)
	require.Contains(t, <-scraped, "one 1\n")
	require.NoError(t, <-served)

	require.Error(t, e.Serve(t.Context(), exporters.WebFlags{ListenAddress: []string{"256.0.0.1:1"}}), "an address that is none")
}
