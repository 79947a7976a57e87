package awx

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
)

const (
	maxAnswer   = 8 << 20 // a page of 200 jobs with their variables
	concurrency = 4       // more at once can overwhelm an AWX of the default size
	attempts    = 3       // of a read
	firstPause  = 250 * time.Millisecond
	longPause   = 5 * time.Second
)

// client asks one AWX. It follows no redirect: a POST would arrive as a GET.
type client struct {
	name    string
	base    *url.URL
	http    *remote.Client
	auth    func(*http.Request) error
	timeout time.Duration
	slots   chan struct{}
	watch   *remediate.Requests
	now     func() time.Time

	mu     sync.Mutex
	prefix string // where the API lies: /api/v2/; "" until it was found out
}

func newClient(c *Config, d remediate.Deps) (*client, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, config.Bad("url", "%v", err)
	}
	transport, err := trusting(d.Transport, c.CAFile)
	if err != nil {
		return nil, config.Bad("ca_file", "%v", err)
	}
	auth, err := credentials(c)
	if err != nil {
		return nil, err
	}
	round := remote.New(transport, maxAnswer)
	round.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{
		name: d.Name, base: base, http: round, auth: auth, timeout: c.Timeout.D(),
		slots: make(chan struct{}, concurrency), watch: d.Requests, now: d.Now,
	}, nil
}

// trusting is transport with another authority to trust.
func trusting(transport http.RoundTripper, caFile string) (http.RoundTripper, error) {
	if caFile == "" {
		return transport, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate: write those of the authority in PEM", caFile)
	}
	own, ok := transport.(*http.Transport)
	if !ok {
		return nil, errors.New("it cannot be used with this transport")
	}
	own = own.Clone()
	if own.TLSClientConfig == nil {
		own.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	own.TLSClientConfig.RootCAs = pool
	return own, nil
}

// credentials are read now, to say early what is wrong with them, and again for
// every request.
func credentials(c *Config) (func(*http.Request) error, error) {
	field, file := "token_file", c.TokenFile
	set := func(r *http.Request, s config.Secret) { r.Header.Set("Authorization", "Bearer "+s.Reveal()) }
	if file == "" {
		field, file = "password_file", c.PasswordFile
		set = func(r *http.Request, s config.Secret) { r.SetBasicAuth(c.Username, s.Reveal()) }
	}
	if _, err := file.Read(); err != nil {
		return nil, config.Bad(field, "%v", err)
	}
	return func(r *http.Request) error {
		s, err := file.Read()
		if err != nil {
			return err
		}
		set(r, s)
		return nil
	}, nil
}

// get reads what lies at a path below the API's prefix. A server that is
// passingly unable is asked again: nothing is changed by reading.
func (c *client) get(ctx context.Context, op, path string, q url.Values, into any) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := c.getOnce(ctx, op, path, q, into)
		if err == nil || n == attempts || !passing(err) {
			return err
		}
		wait := min(max(pause, remote.RetryAfter(err)), longPause)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		pause *= 2
	}
}

func (c *client) getOnce(ctx context.Context, op, path string, q url.Values, into any) error {
	prefix, err := c.discover(ctx)
	if err != nil {
		return err
	}
	return c.read(ctx, op, prefix+path, q, into)
}

// read asks once, for a path below the server's address.
func (c *client) read(ctx context.Context, op, path string, q url.Values, into any) error {
	res, err := c.do(ctx, op, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK {
		c.doubt(res.Status)
		return c.refused(res, op)
	}
	if err := decode(res, into); err != nil {
		return &remote.Error{Op: "read " + op, Class: remote.Unknown, Status: res.Status, Err: err}
	}
	return nil
}

// passing reports whether a read that came to err may well come through soon.
func passing(err error) bool {
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		return false
	}
	switch e.Status {
	case 0:
		return e.Class == remote.NotSent || e.Class == remote.Unknown
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// decode takes nothing for an answer but JSON that says it is.
func decode(res remote.Response, into any) error {
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return fmt.Errorf("answer is %q, not JSON: is this the address of AWX itself?", clean(res.Header.Get("Content-Type"), 60))
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// do makes one round trip, of at most so many at a time.
func (c *client) do(ctx context.Context, op, method, path string, q url.Values, body []byte) (remote.Response, error) {
	unsent := func(err error) (remote.Response, error) {
		return remote.Response{}, &remote.Error{Op: op, Class: remote.NotSent, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return unsent(ctx.Err())
	}
	u := c.base.JoinPath(path)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return unsent(remote.Redact(err))
	}
	if err := c.auth(req); err != nil {
		return unsent(err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	began := time.Now()
	res, err := c.http.Do(req, op)
	code := "none"
	if res.Status != 0 {
		code = strconv.Itoa(res.Status)
	}
	c.watch.Observe(kindName, c.name, op, code, time.Since(began))
	return res, err
}

// discover finds out where the API lies: AWX says so itself, the gateway of AAP
// says where its controller is, which says so.
func (c *client) discover(ctx context.Context) (string, error) {
	c.mu.Lock()
	prefix := c.prefix
	c.mu.Unlock()
	if prefix != "" {
		return prefix, nil
	}
	var root struct {
		Current string            `json:"current_version"`
		APIs    map[string]string `json:"apis"`
	}
	if err := c.read(ctx, "discover", "/api/", nil, &root); err != nil {
		return "", err
	}
	at := regexp.MustCompile(`^(/[a-z0-9_-]{1,40}){1,4}/$`)
	if controller := root.APIs["controller"]; controller != "" && at.MatchString(controller) {
		if err := c.read(ctx, "discover", controller, nil, &root); err != nil {
			return "", err
		}
	}
	if !at.MatchString(root.Current) {
		return "", &remote.Error{Op: "discover", Class: remote.Config, Err: errors.New("the server does not say where its API lies: is this the address of AWX?")}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prefix = root.Current
	return root.Current, nil
}

// doubt forgets where the API lies when nothing is there: the server may have
// been put behind a gateway.
func (c *client) doubt(status int) {
	if status == http.StatusNotFound || status/100 == 3 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.prefix = ""
	}
}

// refused sorts what is not a success.
func (c *client) refused(res remote.Response, op string) error {
	e := &remote.Error{Op: op, Status: res.Status, Reason: reason(res)}
	switch {
	case res.Status == http.StatusTooManyRequests:
		e.Class, e.RetryAfter = remote.NotSent, remote.ParseRetryAfter(res.Header, c.now())
	case res.Status == http.StatusNotFound:
		e.Class = remote.Gone
	case res.Status == http.StatusBadRequest:
		e.Class = remote.Content
	case res.Status/100 == 3:
		e.Class = remote.Unknown
		e.Reason = cmp.Or(e.Reason, "it sends to another address: it migrates its database, or the url is not its own")
	case res.Status >= 400 && res.Status < 500 && res.Status != http.StatusRequestTimeout:
		e.Class = remote.Config
	default:
		e.Class = remote.Unknown
	}
	return e
}
