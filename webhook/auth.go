package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/config"
)

// Cluster is one cluster of Alertmanagers, and by what its webhooks are known.
// The body has no say in it.
type Cluster struct {
	Name   string
	Tokens []config.Secret // bearer tokens; two while one is rotated
	Users  []string        // basic auth users; the listener checks their passwords
	Certs  []string        // DNS names, URIs, addresses or common names in client certificates that the listener has verified
}

// authenticate returns the name of the cluster that a request comes from.
// Credentials that are given must be right, also where none are needed.
func (h *Handler) authenticate(r *http.Request) (string, bool) {
	header := r.Header.Get("Authorization")
	switch scheme, rest, _ := strings.Cut(header, " "); {
	case header == "":
	case strings.EqualFold(scheme, "Bearer"):
		return h.byToken(strings.TrimSpace(rest))
	default:
		user, _, ok := r.BasicAuth()
		if !ok || !slices.Contains(h.Users, user) {
			return "", false
		}
		return h.by(func(c Cluster) bool { return slices.Contains(c.Users, user) })
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		names := certNames(r.TLS.VerifiedChains[0][0])
		return h.by(func(c Cluster) bool {
			return slices.ContainsFunc(c.Certs, func(name string) bool { return slices.Contains(names, name) })
		})
	}
	return h.Anonymous, h.Anonymous != ""
}

func (h *Handler) by(is func(Cluster) bool) (string, bool) {
	i := slices.IndexFunc(h.Clusters, is)
	if i < 0 {
		return "", false
	}
	return h.Clusters[i].Name, true
}

// byToken compares with every token there is, so that the time it takes tells
// nothing about which of them was near.
func (h *Handler) byToken(given string) (string, bool) {
	name, found := "", 0
	sum := sha256.Sum256([]byte(given))
	for _, c := range h.Clusters {
		for _, token := range c.Tokens {
			want := sha256.Sum256([]byte(token.Reveal()))
			if token != "" && subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
				name, found = c.Name, 1
			}
		}
	}
	return name, found == 1
}

// certNames are the names a certificate gives its holder.
func certNames(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	return names
}
