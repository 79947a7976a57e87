package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
)

// Operator is one token that may use the operators' listener.
type Operator struct {
	Name string
	Acts bool // role operator; else it only looks
	Hash [sha256.Size]byte
}

// Operators are those of the config that serves now.
type Operators struct {
	Tokens []Operator
	Host   string // of public_url; "" where it is not set
}

// Anyone is who acts where no tokens are configured.
func Anyone() Operator { return Operator{Name: "local", Acts: true} }

// Open reports whether there are no tokens: then whoever is on this machine is
// an operator.
func (o Operators) Open() bool { return len(o.Tokens) == 0 }

// ByToken returns whose token it is, in a time that does not tell how much of
// it is right.
func (o Operators) ByToken(token string) (Operator, bool) {
	sum := sha256.Sum256([]byte(token))
	for _, op := range o.Tokens {
		if subtle.ConstantTimeCompare(sum[:], op.Hash[:]) == 1 {
			return op, true
		}
	}
	return Operator{}, false
}

// byName returns the token of that name.
func (o Operators) byName(name string) (Operator, bool) {
	for _, op := range o.Tokens {
		if op.Name == name {
			return op, true
		}
	}
	return Operator{}, false
}

// Near refuses requests that are not from this machine, and those that a
// browser sends under another name: a site whose name leads to 127.0.0.1 would
// else read with its visitor's eyes (DNS rebinding).
func (o Operators) Near(r *http.Request) error {
	if !loopback(r.RemoteAddr) {
		return errors.New("without operators.tokens this is for 127.0.0.1 only")
	}
	if r.Host != o.Host && !loopback(r.Host) {
		return errors.New("without operators.tokens this is for 127.0.0.1 and the name in public_url only")
	}
	return nil
}

// loopback reports whether an address, with a port or without, is this machine's.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.Trim(addr, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
