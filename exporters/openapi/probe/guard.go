package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"syscall"
)

// What a probe may be refused for.
var (
	errTarget    = errors.New("the target is not allowed")
	errOperation = errors.New("the operation is not probed")
	errNotLoaded = errors.New("the document is not loaded")
	errAddress   = errors.New("link-local and metadata addresses are not asked")
	errRedirect  = errors.New("the redirect leads elsewhere")
	errTooLong   = errors.New("the answer is longer than max_body")
	errRequest   = errors.New("the request cannot be made")
)

// prefix is a set of targets: those at an origin, below a path.
type prefix struct {
	scheme, host, port, path string
	wild                     bool // hosts below host
}

// CheckTarget says what is wrong with a target, or with an entry of the allow
// list: an http or https URL with a host and no more than a path.
func CheckTarget(text string) error {
	_, err := parsePrefix(text)
	return err
}

func parsePrefix(text string) (prefix, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return prefix{}, fmt.Errorf("target %q: an http or https URL", text)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return prefix{}, fmt.Errorf("target %q: no user, query or fragment", u.Redacted())
	}
	if u.Path != "" && path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") && u.Path != "/" || u.RawPath != "" || strings.ContainsAny(u.Path, `\`) {
		return prefix{}, fmt.Errorf("target %q: the path has dots or escapes", text)
	}
	p := prefix{scheme: u.Scheme, host: strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), port: u.Port(), path: strings.TrimRight(u.Path, "/")}
	if p.port == "" {
		p.port = map[string]string{"http": "80", "https": "443"}[p.scheme]
	}
	p.host, p.wild = strings.CutPrefix(p.host, "*.")
	if p.host == "" || strings.Contains(p.host, "*") {
		return prefix{}, fmt.Errorf("target %q: * stands for the first labels of a host, as in *.example.org", text)
	}
	return p, nil
}

func (p prefix) covers(q prefix) bool {
	if p.scheme != q.scheme || p.port != q.port || q.wild {
		return false
	}
	if p.host != q.host && (!p.wild || !strings.HasSuffix(q.host, "."+p.host)) || p.wild && p.host == q.host {
		return false
	}
	return p.path == q.path || strings.HasPrefix(q.path, p.path+"/")
}

// allowed says whether some prefix covers a target.
func allowed(all []prefix, target string) error {
	q, err := parsePrefix(target)
	if err != nil {
		return fmt.Errorf("%w: %w", errTarget, err)
	}
	for _, p := range all {
		if p.covers(q) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is in neither targets nor allow of the config", errTarget, target)
}

// control refuses addresses once a name is resolved, so that no name leads to
// what an address may not.
func control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || hidden(at.Addr()) {
		return errAddress
	}
	return nil
}

// hidden says whether an address is one that only this machine, or its cloud,
// answers at.
func hidden(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if b := a.As16(); netip.MustParsePrefix("64:ff9b::/96").Contains(a) || netip.MustParsePrefix("2002::/16").Contains(a) { // NAT64 and 6to4 hold one of IPv4
		inner := [4]byte(b[12:])
		if b[0] == 0x20 {
			inner = [4]byte(b[2:6])
		}
		return hidden(netip.AddrFrom4(inner))
	}
	for _, metadata := range []string{"fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"} {
		if a == netip.MustParseAddr(metadata) {
			return true
		}
	}
	return a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
