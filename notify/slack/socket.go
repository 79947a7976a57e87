package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/remote"
)

// Socket Mode is read here rather than by slack-go's socketmode: it is four
// kinds of message, and an envelope must be acknowledged only when what it
// tells is durable, by the same code and clients as a press over HTTP.

const (
	firstPause = 500 * time.Millisecond // after a connection that was lost
	lastPause  = 30 * time.Second
	silence    = time.Minute // Slack pings every few seconds
	atOnce     = 8           // presses taken at the same time
	sendTime   = 5 * time.Second
)

// lines lets the targets of one app share one connection: an app may hold ten,
// and each hears of the buttons of all.
type lines struct {
	mu    sync.Mutex
	taken map[string]chan struct{}
}

func (l *lines) of(token string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.taken = map[string]chan struct{}{}
	}
	if l.taken[token] == nil {
		l.taken[token] = make(chan struct{}, 1)
	}
	return l.taken[token]
}

// Listen hears of presses by a connection to Slack, which it opens anew as often
// as it is lost. It ends with an error when Slack refuses the app's token. Where
// another target listens for the same app, it waits to take over.
func (t *target) Listen(ctx context.Context, d notify.Desk) error {
	if t.app == nil {
		<-ctx.Done()
		return nil
	}
	line := t.lines.of(t.key.Reveal())
	select {
	case line <- struct{}{}:
		defer func() { <-line }()
	case <-ctx.Done():
		return nil
	}
	pause := firstPause
	for ctx.Err() == nil {
		greeted, err := t.session(ctx, d)
		switch {
		case ctx.Err() != nil:
			return nil
		case refused(err):
			return fmt.Errorf("listen to Slack: %w", err)
		case errors.Is(err, errRefresh):
			pause = firstPause
			continue // routine, every few hours
		case greeted:
			pause = firstPause
		}
		wait := max(remote.RetryAfter(err), pause/2+rand.N(pause/2))
		t.log.Warn("connection to Slack was lost", "err", err, "again_in", wait)
		pause = min(2*pause, lastPause)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return nil
}

var errRefresh = errors.New("connection is to be opened anew")

// refused reports whether Slack itself said no; a proxy's answer has no word.
func refused(err error) bool {
	e, ok := errors.AsType[*remote.Error](err)
	return ok && e.Class == remote.Config && e.Reason != ""
}

// envelope is what comes over the connection.
type envelope struct {
	Type    string          `json:"type"`
	ID      string          `json:"envelope_id"`
	Reason  string          `json:"reason"`
	Payload json.RawMessage `json:"payload"`
}

// session is the life of one connection; greeted says that it came to stand.
func (t *target) session(ctx context.Context, d notify.Desk) (greeted bool, err error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	conn.SetReadLimit(maxBody)
	alive := func() error { return conn.SetReadDeadline(time.Now().Add(silence)) }
	pong := conn.PingHandler()
	conn.SetPingHandler(func(s string) error {
		_ = alive()
		return pong(s)
	})
	l := &line{target: t, desk: d, conn: conn, free: make(chan struct{}, atOnce)}
	defer l.work.Wait()
	for {
		if err := alive(); err != nil {
			return greeted, err
		}
		_, raw, err := conn.ReadMessage()
		if err != nil {
			return greeted, remote.Redact(err)
		}
		var e envelope
		if json.Unmarshal(raw, &e) != nil {
			continue
		}
		switch {
		case e.Type == "hello":
			greeted = true
			t.log.Debug("connection to Slack stands")
		case e.Type == "disconnect" && e.Reason == "link_disabled":
			return greeted, &remote.Error{Op: "socket mode", Class: remote.Config, Reason: "it is switched off for this app"}
		case e.Type == "disconnect" && e.Reason == "warning": // it is closed in ten seconds
		case e.Type == "disconnect" && e.Reason == "refresh_requested":
			return greeted, errRefresh
		case e.Type == "disconnect":
			return greeted, fmt.Errorf("disconnected: %s", word(e.Reason))
		case e.ID != "":
			l.take(ctx, e)
		}
	}
}

func (t *target) dial(ctx context.Context) (*websocket.Conn, error) {
	a, err := t.app.call(ctx, "apps.connections.open", url.Values{})
	if err != nil {
		return nil, err
	}
	const op = "open connection"
	u, err := url.Parse(a.URL)
	if err != nil || !t.web.ours(asHTTP(u), ".slack.com") {
		return nil, &remote.Error{Op: op, Class: remote.NotSent, Reason: "the address is not Slack's"}
	}
	dialer := &websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: 10 * time.Second}
	if tr, ok := t.web.http.HTTP.Transport.(*http.Transport); ok {
		dialer.Proxy, dialer.NetDialContext = tr.Proxy, tr.DialContext
		if c := tr.TLSClientConfig.Clone(); c != nil {
			c.NextProtos = []string{"http/1.1"}
			dialer.TLSClientConfig = c
		}
	}
	conn, res, err := dialer.DialContext(ctx, u.String(), nil)
	if res != nil {
		_ = res.Body.Close()
	}
	if err != nil {
		return nil, &remote.Error{Op: op, Class: remote.NotSent, Err: remote.Redact(err)}
	}
	return conn, nil
}

// asHTTP is the address of the handshake.
func asHTTP(u *url.URL) *url.URL {
	h := *u
	switch u.Scheme {
	case "ws":
		h.Scheme = "http"
	case "wss":
		h.Scheme = "https"
	default:
		h.Scheme = ""
	}
	return &h
}

// line takes the envelopes of one connection.
type line struct {
	*target
	desk notify.Desk
	conn *websocket.Conn
	free chan struct{}
	work sync.WaitGroup
	send sync.Mutex
}

// take acknowledges an envelope once what it tells is durable. What is not
// acknowledged, Slack reports to the person who pressed.
func (l *line) take(ctx context.Context, e envelope) {
	l.free <- struct{}{}
	l.work.Go(func() {
		defer func() { <-l.free }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hurry)
		defer cancel()
		if e.Type == "interactive" {
			p, err := parse(e.Payload)
			if err != nil {
				l.log.Warn("interaction cannot be read", "err", err)
			}
			if err := l.target.take(ctx, l.desk, p); err != nil {
				l.log.Error("press could not be kept", "err", err)
				return
			}
		}
		l.send.Lock()
		defer l.send.Unlock()
		_ = l.conn.SetWriteDeadline(time.Now().Add(sendTime))
		if err := l.conn.WriteJSON(map[string]string{"envelope_id": e.ID}); err != nil {
			l.log.Warn("press could not be acknowledged", "err", err)
		}
	})
}
