// Package fakesmtp is a mail server that speaks SMTP over real sockets, with
// STARTTLS, implicit TLS and AUTH PLAIN, keeps what it accepted, and misbehaves
// at any step on purpose.
package fakesmtp

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// Options of a server.
type Options struct {
	Username, Password string      // AUTH is offered, and demanded, when set
	TLS                *tls.Config // STARTTLS is offered when set
	Implicit           bool        // TLS from the first byte
}

// Fault is what the server does at a step in place of going on.
type Fault struct {
	Code  int           // answer it: 450, 550
	Drop  bool          // close the connection
	Hang  bool          // say nothing until the faults are cleared or the client leaves
	Delay time.Duration // wait, then go on
	Times int           // how often; 0: always
}

// End is the step after the last line of a mail; the others are called as
// their commands are: EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, QUIT. Connect is
// before the greeting.
const (
	Connect = "CONNECT"
	End     = "."
)

// Mail is one that was accepted.
type Mail struct {
	From   string
	To     []string
	Header mail.Header
	Body   string // as it came, with its transfer encoding
	TLS    bool   // it came over TLS
	User   string // who had authenticated, "" for nobody
}

// Server is a mail server that listens on the loopback.
type Server struct {
	o        Options
	listener net.Listener
	done     sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	mails   []Mail
	faults  map[string]Fault
	cleared chan struct{}
	closed  bool
}

// New returns a server that listens.
func New(ctx context.Context, o Options) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, listener: l, conns: map[net.Conn]bool{}, faults: map[string]Fault{}, cleared: make(chan struct{})}
	s.done.Go(s.accept)
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Mails returns what was accepted, in order.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Open returns how many connections there are.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Set makes the server misbehave at a step.
func (s *Server) Set(step string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[step] = f
}

// Clear takes all faults back; what hangs goes on.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = map[string]Fault{}
	close(s.cleared)
	s.cleared = make(chan struct{})
}

// Close ends all connections and waits for them.
func (s *Server) Close() error {
	s.Clear()
	s.mu.Lock()
	s.closed = true
	err := s.listener.Close()
	for c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			conn.Close()
			return
		}
		s.conns[conn] = true
		s.mu.Unlock()
		s.done.Go(func() {
			s.session(conn)
			conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

// fault draws what is to happen at a step.
func (s *Server) fault(step string) (Fault, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.faults[step]
	if !ok {
		return Fault{}, s.cleared
	}
	if f.Times == 1 {
		delete(s.faults, step)
	} else if f.Times > 1 {
		s.faults[step] = Fault{f.Code, f.Drop, f.Hang, f.Delay, f.Times - 1}
	}
	return f, s.cleared
}

var errGone = errors.New("connection was dropped on purpose")

// session is one connection.
type session struct {
	*Server
	conn net.Conn
	text *textproto.Conn
	tls  bool
	user string
	mail Mail
}

func (s *Server) session(conn net.Conn) {
	c := &session{Server: s, conn: conn}
	if s.o.Implicit {
		c.secure()
	} else {
		c.text = textproto.NewConn(conn)
	}
	if refused, err := c.play(Connect); err != nil || refused {
		return
	}
	if c.say(220, "fake ESMTP") != nil {
		return
	}
	for {
		line, err := c.text.ReadLine()
		if err != nil || len(line) > 1000 {
			return
		}
		verb, arg, _ := strings.Cut(line, " ")
		if err := c.do(strings.ToUpper(verb), arg); err != nil {
			return
		}
	}
}

func (c *session) secure() {
	c.conn, c.tls = tls.Server(c.conn, c.o.TLS), true
	c.text = textproto.NewConn(c.conn)
}

func (c *session) say(code int, lines ...string) error {
	for i, l := range lines {
		sep := " "
		if i < len(lines)-1 {
			sep = "-"
		}
		if err := c.text.PrintfLine("%d%s%s", code, sep, l); err != nil {
			return err
		}
	}
	return nil
}

// play does the fault of a step. refused means that the step was answered.
func (c *session) play(step string) (refused bool, err error) {
	f, cleared := c.fault(step)
	switch {
	case f.Drop:
		return true, errGone
	case f.Hang:
		<-cleared
		return true, errGone
	case f.Delay > 0:
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-cleared:
		}
	case f.Code != 0:
		return true, c.say(f.Code, "no, on purpose")
	}
	return false, nil
}

func (c *session) do(verb, arg string) error {
	if refused, err := c.play(verb); refused || err != nil {
		return err
	}
	switch verb {
	case "EHLO", "HELO":
		return c.say(250, c.extensions()...)
	case "STARTTLS":
		if c.o.TLS == nil || c.tls {
			return c.say(502, "not here")
		}
		if err := c.say(220, "go ahead"); err != nil {
			return err
		}
		c.secure()
		return nil
	case "AUTH":
		return c.auth(arg)
	case "MAIL":
		if c.o.Username != "" && c.user == "" {
			return c.say(530, "authentication required")
		}
		c.mail = Mail{From: address(arg), TLS: c.tls, User: c.user}
		return c.say(250, "ok")
	case "RCPT":
		c.mail.To = append(c.mail.To, address(arg))
		return c.say(250, "ok")
	case "DATA":
		return c.data()
	case "QUIT":
		return cmp.Or(c.say(221, "bye"), io.EOF)
	case "RSET", "NOOP":
		return c.say(250, "ok")
	default:
		return c.say(500, "unknown command")
	}
}

func (c *session) extensions() []string {
	out := []string{"fake"}
	if c.o.TLS != nil && !c.tls {
		out = append(out, "STARTTLS")
	}
	if c.o.Username != "" {
		out = append(out, "AUTH PLAIN")
	}
	return out
}

func (c *session) auth(arg string) error {
	mechanism, initial, _ := strings.Cut(arg, " ")
	if mechanism != "PLAIN" {
		return c.say(504, "only PLAIN")
	}
	raw, err := base64.StdEncoding.DecodeString(initial)
	parts := strings.Split(string(raw), "\x00")
	if err != nil || len(parts) != 3 || parts[1] != c.o.Username || parts[2] != c.o.Password {
		return c.say(535, "credentials are wrong")
	}
	c.user = parts[1]
	return c.say(235, "welcome")
}

func (c *session) data() error {
	if len(c.mail.To) == 0 {
		return c.say(503, "RCPT first")
	}
	if err := c.say(354, "go ahead"); err != nil {
		return err
	}
	raw, err := c.text.ReadDotBytes()
	if err != nil {
		return err
	}
	if refused, err := c.play(End); refused && !errors.Is(err, errGone) {
		return err
	} else if err != nil {
		return cmp.Or(c.keep(raw), err) // accepted, and nobody is told
	}
	if err := c.keep(raw); err != nil {
		return c.say(554, err.Error())
	}
	return c.say(250, "accepted")
}

func (c *session) keep(raw []byte) error {
	m, err := mail.ReadMessage(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return fmt.Errorf("not a mail: %w", err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	c.mail.Header, c.mail.Body = m.Header, string(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mails = append(c.mails, c.mail)
	return nil
}

// address reads <a@b> out of FROM:<a@b> PARAMS.
func address(arg string) string {
	_, rest, _ := strings.Cut(arg, "<")
	a, _, _ := strings.Cut(rest, ">")
	return a
}
