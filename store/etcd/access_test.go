package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/store"
)

// TestUser: a user who may read and write the prefix, and nothing else, is enough.
func TestUser(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	client := raw(t, c)
	for _, user := range []string{"root", "tocsin"} {
		_, err := client.RoleAdd(t.Context(), user)
		require.NoError(t, err)
		_, err = client.UserAdd(t.Context(), user, "secret of "+user)
		require.NoError(t, err)
		_, err = client.UserGrantRole(t.Context(), user, user)
		require.NoError(t, err)
	}
	_, err := client.RoleGrantPermission(t.Context(), "tocsin", "/x/", clientv3.GetPrefixRangeEnd("/x/"), clientv3.PermissionType(clientv3.PermReadWrite))
	require.NoError(t, err)
	_, err = client.AuthEnable(t.Context())
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "password")
	cfg := Config{Endpoints: c.Endpoints(), Prefix: "/x", Username: "tocsin", PasswordFile: config.SecretFile(file)}
	try := func(password string) (*Store, error) {
		require.NoError(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
		return Open(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now, nil)
	}
	_, err = try("wrong")
	require.ErrorContains(t, err, "authentication failed")
	require.NotContains(t, err.Error(), "wrong")
	s, err := try("secret of tocsin")
	require.NoError(t, err)
	work1(t, s)
	require.NoError(t, s.Close())
	cfg.Prefix = "/y"
	_, err = try("secret of tocsin")
	require.ErrorContains(t, err, "permission denied")
}

// work1 does a bit of everything.
func work1(t *testing.T, s *Store) {
	t.Helper()
	require.NoError(t, s.Apply(t.Context(), store.Create("k", noise(1, 1<<20)), store.Enqueue(store.Item{Lane: "l", ID: "i"})))
	l, err := s.Take(t.Context(), "l", time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.Apply(t.Context(), store.Done(l), store.Delete("k")))
}

// TestTLS: members that ask for a certificate get ours, and must show one of theirs.
func TestTLS(t *testing.T) {
	c := run(t, etcdcluster.Options{})
	dir := t.TempDir()
	ours, theirs := newAuthority(t, dir, "ours"), newAuthority(t, dir, "theirs")
	endpoint := behindTLS(t, strings.TrimPrefix(c.Endpoints()[0], "http://"), theirs.issue(t, dir, "server"), ours.pool)
	ours.issue(t, dir, "client")
	path := func(name string) config.SecretFile { return config.SecretFile(filepath.Join(dir, name)) }
	full := TLS{CAFile: path("theirs.pem"), CertFile: path("client.pem"), KeyFile: path("client.key")}
	try := func(tls TLS) error {
		s, err := Open(t.Context(), Config{Endpoints: []string{endpoint}, Prefix: "/x", TLS: tls}, slog.New(slog.DiscardHandler), time.Now, nil)
		if err == nil {
			work1(t, s)
			require.NoError(t, s.Close())
		}
		return err
	}
	require.NoError(t, try(full))
	none := full
	none.CAFile = path("gone.pem")
	require.ErrorContains(t, try(none), "read ca_file")
	none = full
	none.KeyFile = path("theirs.pem")
	require.ErrorContains(t, try(none), "read cert_file and key_file")
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	pair := a.issue(t, dir, name)
	var err error
	a.cert, err = x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)
	a.key = pair.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate and writes it to files; an authority without one
// makes its own.
func (a *authority) issue(t *testing.T, dir, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.cert == nil,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".pem"), certPEM, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".key"), keyPEM, 0o600))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	return pair
}

// behindTLS puts TLS, with certificates on both sides, before an address.
func behindTLS(t *testing.T, addr string, cert tls.Certificate, clients *x509.CertPool) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return "https://" + l.Addr().String()
}
