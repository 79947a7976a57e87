package webhook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/webhook"
)

func TestAuthentication(t *testing.T) {
	basic := func(user string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":whatever"))
	}
	clusters := []webhook.Cluster{
		{Name: "dc1", Tokens: []config.Secret{"one-old", "one-new"}, Users: []string{"am1", "unchecked"}},
		{Name: "dc2", Tokens: []config.Secret{"two", ""}, Users: []string{"am2"}},
		{Name: "empty"},
	}
	for name, tc := range map[string]struct{ header, anonymous, actor string }{
		"first token":              {"Bearer one-old", "", "dc1"},
		"token while it rotates":   {"Bearer one-new", "", "dc1"},
		"token of another":         {"bearer two", "", "dc2"},
		"wrong token":              {"Bearer three", "", ""},
		"prefix of a token":        {"Bearer one", "", ""},
		"empty token":              {"Bearer ", "", ""},
		"nothing of a scheme":      {"Bearer", "", ""},
		"user":                     {basic("am2"), "", "dc2"},
		"user whom nobody checked": {basic("unchecked"), "", ""},
		"unknown user":             {basic("am3"), "", ""},
		"user of no cluster":       {basic("prometheus"), "", ""},
		"no user":                  {basic(""), "", ""},
		"unknown scheme":           {"Digest two", "", ""},
		"nothing":                  {"", "", ""},
		"nothing where allowed":    {"", "dc1", "dc1"},
		"wrong although allowed":   {"Bearer three", "dc1", ""},
		"other although allowed":   {"Bearer two", "dc1", "dc2"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *bolt.Store) {
				h := newHandler(s)
				h.Clusters, h.Anonymous = clusters, tc.anonymous
				h.Users = []string{"am1", "am2", "prometheus"}
				r := request(sent(t, "0.31-firing"))
				r.Header.Del("Authorization")
				if tc.header != "" {
					r.Header.Set("Authorization", tc.header)
				}
				w, _ := serve(t, h, r)
				if tc.actor == "" {
					require.Equal(t, http.StatusUnauthorized, w.Code)
					require.Empty(t, waiting(t, s))
					return
				}
				require.Equal(t, http.StatusAccepted, w.Code)
				require.Equal(t, "alertmanager/"+tc.actor, waiting(t, s)[0].Actor)
			})
		})
	}
}

// authority signs client certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: "ca"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{cert, key}
}

func (a authority) issue(t *testing.T, c x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c.SerialNumber = big.NewInt(2)
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, &c, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestClientCertificates(t *testing.T) {
	s := openStore(t)
	defer func() { require.NoError(t, s.Close()) }()
	h := newHandler(s)
	h.Clusters = []webhook.Cluster{
		{Name: "dns", Certs: []string{"am.example.org"}},
		{Name: "cn", Certs: []string{"am-cn"}},
		{Name: "uri", Certs: []string{"spiffe://example.org/am"}},
		{Name: "ip", Certs: []string{"192.0.2.7"}},
	}
	ours, theirs := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS13}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	spiffe, err := url.Parse("spiffe://example.org/am")
	require.NoError(t, err)
	post := func(cert tls.Certificate) (int, error) {
		client := srv.Client()
		client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{cert}
		defer client.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, request(sent(t, "0.31-firing")).Body)
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		res, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}
	for want, c := range map[string]x509.Certificate{
		"dns": {DNSNames: []string{"other.example.org", "am.example.org"}, Subject: pkix.Name{CommonName: "x"}},
		"cn":  {Subject: pkix.Name{CommonName: "am-cn"}},
		"uri": {URIs: []*url.URL{spiffe}},
		"ip":  {IPAddresses: []net.IP{net.IPv4(192, 0, 2, 7)}},
	} {
		code, err := post(ours.issue(t, c))
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, code, want)
		require.Equal(t, "alertmanager/"+want, waiting(t, s)[0].Actor)
	}
	code, err := post(ours.issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}}))
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, code)
	code, err = post(theirs.issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "am-cn"}}))
	if err == nil { // the client sends no certificate that this server would not accept
		require.Equal(t, http.StatusUnauthorized, code)
	}
	require.Empty(t, waiting(t, s))
}
