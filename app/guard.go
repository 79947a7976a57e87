package app

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/tocsin/tocsin/config"
)

// operator is one token that may use the operators' API.
type operator struct {
	name string
	acts bool
	hash [sha256.Size]byte
}

func readOperators(tokens []Operator) ([]operator, error) {
	var out []operator
	var errs []error
	for i, t := range tokens {
		secret, err := t.TokenFile.Read()
		errs = append(errs, config.Under(index("operators.tokens", i)+".token_file", err))
		out = append(out, operator{t.Name, t.Role == "operator", sha256.Sum256([]byte(secret.Reveal()))})
	}
	return out, errors.Join(errs...)
}

// guard lets requests with an operator's token pass; acts says that the request
// changes something. Without tokens whoever is on this machine is an operator.
func guard(ops []operator, acts bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(ops) == 0 {
			if !fromLoopback(r) {
				writeJSON(w, http.StatusForbidden, map[string]string{"error": "without operators.tokens this is for 127.0.0.1 only"})
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		sum := sha256.Sum256([]byte(token))
		for _, o := range ops {
			if subtle.ConstantTimeCompare(sum[:], o.hash[:]) != 1 {
				continue
			}
			if acts && !o.acts {
				writeJSON(w, http.StatusForbidden, map[string]string{"error": o.name + " may look, not act: give it role: operator"})
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", "Bearer")
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "send an operator's token: Authorization: Bearer …"})
	})
}

func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
