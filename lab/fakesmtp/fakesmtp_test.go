package fakesmtp_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/smtp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakesmtp"
)

// The standard library's client is the judge of what is SMTP.
func TestAMailOverTLSWithCredentials(t *testing.T) {
	conf, ca, err := fakesmtp.Certificate()
	require.NoError(t, err)
	s, err := fakesmtp.New(t.Context(), fakesmtp.Options{Username: "u", Password: "p", TLS: conf})
	require.NoError(t, err)
	defer s.Close()
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))

	send := func(password string) error {
		c, err := smtp.Dial(s.Addr())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.StartTLS(&tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}))
		if err := c.Auth(smtp.PlainAuth("", "u", password, "127.0.0.1")); err != nil {
			return err
		}
		require.NoError(t, c.Mail("a@b.example"))
		require.NoError(t, c.Rcpt("c@d.example"))
		w, err := c.Data()
		require.NoError(t, err)
		_, err = w.Write([]byte("Subject: hello\r\n\r\n.dot\r\nline\r\n"))
		require.NoError(t, err)
		if err := w.Close(); err != nil {
			return err
		}
		return c.Quit()
	}
	require.ErrorContains(t, send("wrong"), "535")
	require.NoError(t, send("p"))
	s.Set(fakesmtp.End, fakesmtp.Fault{Code: 451, Times: 1})
	require.ErrorContains(t, send("p"), "451")
	s.Set(fakesmtp.End, fakesmtp.Fault{Drop: true, Times: 1})
	require.Error(t, send("p"))

	mails := s.Mails()
	require.Len(t, mails, 2, "the second answer was lost, the mail was not")
	require.Equal(t, "hello", mails[0].Header.Get("Subject"))
	require.True(t, strings.HasPrefix(mails[0].Body, ".dot"), "%q", mails[0].Body)
	require.True(t, mails[0].TLS)
	require.Equal(t, []string{"c@d.example"}, mails[0].To)
}
