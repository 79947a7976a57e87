package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Credentials are sent with every request. Files are read anew for each round.
type Credentials struct {
	BearerFile   string
	User         string // of basic auth
	PasswordFile string
	HeaderFiles  map[string]string // by name of the header
}

const maxSecret = 64 << 10 // bytes

// Check says whether the files can be read.
func (c Credentials) Check() error {
	_, err := c.read()
	return err
}

func (c Credentials) read() (http.Header, error) {
	h := http.Header{}
	secret := func(file string) (string, error) {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("credentials: %w", err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxSecret))
		return strings.TrimSpace(string(data)), err
	}
	if c.BearerFile != "" {
		token, err := secret(c.BearerFile)
		if err != nil {
			return nil, err
		}
		h.Set("Authorization", "Bearer "+token)
	}
	if c.User != "" {
		password, err := secret(c.PasswordFile)
		if err != nil {
			return nil, err
		}
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.User+":"+password)))
	}
	for name, file := range c.HeaderFiles {
		value, err := secret(file)
		if err != nil {
			return nil, err
		}
		h.Set(name, value)
	}
	return h, nil
}

// client makes the connections of a service's probes.
type client struct {
	tls    *tls.Config
	dialer *net.Dialer
	most   int
}

func newClient(o Options) (*client, error) {
	c := &client{tls: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}, dialer: &net.Dialer{Timeout: o.Timeout}, most: o.Concurrency}
	if !o.LinkLocal {
		c.dialer.Control = control
	}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no certificate", o.CAFile)
		}
	}
	return c, nil
}

// session has connections of its own, so that every round measures some. It
// takes no proxy from the environment: that would choose the address.
func (c *client) session() *http.Transport {
	return &http.Transport{
		DialContext: c.dialer.DialContext, TLSClientConfig: c.tls.Clone(), ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: c.most, MaxConnsPerHost: c.most, MaxResponseHeaderBytes: 256 << 10, IdleConnTimeout: time.Minute,
	}
}

// phase is a part of the time that an answer takes.
type phase int

// The phases, as blackbox_exporter has them.
const (
	resolve phase = iota
	connect
	tlsHandshake
	processing
	transfer
	phases
)

func phaseNames() [phases]string {
	return [phases]string{"resolve", "connect", "tls", "processing", "transfer"}
}

// exchange is one call under way.
type exchange struct {
	call    *call
	base    *url.URL
	secrets http.Header
	allow   []prefix
	limit   int64

	asked  string
	status int
	header http.Header
	body   []byte
	expiry time.Time

	mu    sync.Mutex
	began [phases]time.Time
	took  [phases]time.Duration
}

func (x *exchange) begin(p phase) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.began[p] = time.Now()
}

// end adds what a phase took; a redirect has them all again.
func (x *exchange) end(p phase) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.began[p].IsZero() {
		x.took[p] += time.Since(x.began[p])
		x.began[p] = time.Time{}
	}
}

func (x *exchange) phases() [phases]time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.took
}

func (x *exchange) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { x.begin(resolve) }, DNSDone: func(httptrace.DNSDoneInfo) { x.end(resolve) },
		ConnectStart: func(string, string) { x.begin(connect) }, ConnectDone: func(string, string, error) { x.end(connect) },
		TLSHandshakeStart: func() { x.begin(tlsHandshake) }, TLSHandshakeDone: func(tls.ConnectionState, error) { x.end(tlsHandshake) },
		WroteRequest: func(httptrace.WroteRequestInfo) { x.begin(processing) },
		GotFirstResponseByte: func() {
			x.end(processing)
			x.begin(transfer)
		},
	})
}

// do makes the call. An answer of any status is no error.
func (x *exchange) do(ctx context.Context, session *http.Transport) error {
	req, err := x.call.request(x.trace(ctx), x.base)
	if err != nil {
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	x.asked = req.Method + " " + (&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path, RawPath: req.URL.RawPath}).String()
	maps.Copy(req.Header, x.secrets)
	c := http.Client{Transport: session, CheckRedirect: x.redirect}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	x.status, x.header = resp.StatusCode, resp.Header
	if resp.TLS != nil {
		for _, cert := range resp.TLS.PeerCertificates {
			if x.expiry.IsZero() || cert.NotAfter.Before(x.expiry) {
				x.expiry = cert.NotAfter
			}
		}
	}
	var body bytes.Buffer
	_, err = body.ReadFrom(io.LimitReader(resp.Body, x.limit+1))
	x.end(transfer)
	if err != nil {
		return err
	}
	if int64(body.Len()) > x.limit {
		return errTooLong
	}
	x.body = body.Bytes()
	return nil
}

const maxRedirects = 5

// redirect follows what stays at the origin and is allowed. What the document
// declares is the answer, and an unsafe request is made once.
func (x *exchange) redirect(req *http.Request, via []*http.Request) error {
	op := x.call.op
	if declared := op.Declared(req.Response.StatusCode); declared != "" && declared != "default" || !safe(op.Method) {
		return http.ErrUseLastResponse
	}
	at := prefixOf(req.URL)
	if from := prefixOf(via[0].URL); at.scheme != from.scheme || at.host != from.host || at.port != from.port {
		return fmt.Errorf("%w: to another origin", errRedirect)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: after %d others", errRedirect, maxRedirects)
	}
	for _, p := range x.allow {
		if p.covers(at) {
			return nil
		}
	}
	return fmt.Errorf("%w: to a path that is not allowed", errRedirect)
}

// prefixOf is where a request goes.
func prefixOf(u *url.URL) prefix {
	p, err := parsePrefix((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
	if err != nil { // a path with escapes is judged by its origin alone, and covered by an origin alone
		p, err = parsePrefix((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
	}
	if err != nil {
		return prefix{wild: true} // which nothing covers
	}
	return p
}

// Reasons are why a probe can fail.
func Reasons() []string {
	return []string{"address", "body", "connect", "contract", "credentials", "dns", "http", "redirect", "request", "status", "timeout", "tls"}
}

func reason(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{{errAddress, "address"}, {errRedirect, "redirect"}, {errTooLong, "body"}, {errRequest, "request"}} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "dns"
	}
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	if verify || record || alert || errors.Is(err, http.ErrSchemeMismatch) {
		return "tls"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return "connect"
	}
	return "http"
}
