package app

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/web"
)

func readOperators(tokens []Operator) ([]web.Operator, error) {
	var out []web.Operator
	var errs []error
	for i, t := range tokens {
		secret, err := t.TokenFile.Read()
		errs = append(errs, config.Under(index("operators.tokens", i)+".token_file", err))
		out = append(out, web.Operator{Name: t.Name, Acts: t.Role == "operator", Hash: sha256.Sum256([]byte(secret.Reveal()))})
	}
	return out, errors.Join(errs...)
}

// guard lets requests with an operator's token pass; acts says that the request
// changes something. Without tokens whoever is on this machine is an operator.
func guard(who web.Operators, acts bool, next func(http.ResponseWriter, *http.Request, web.Operator)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, text string) { writeJSON(w, status, map[string]string{"error": text}) }
		if who.Open() {
			if err := who.Near(r); err != nil {
				refuse(http.StatusForbidden, err.Error())
				return
			}
			next(w, r, web.Anyone())
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		o, ok := who.ByToken(token)
		switch {
		case !ok:
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(http.StatusUnauthorized, "send an operator's token: Authorization: Bearer …")
		case acts && !o.Acts:
			refuse(http.StatusForbidden, o.Name+" may look, not act: give it role: operator")
		default:
			next(w, r, o)
		}
	})
}
