package fakeslack

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// args are the arguments of a call by name: strings as they are, all else as JSON text.
type args map[string]string

func readArgs(w http.ResponseWriter, r *http.Request) (args, reply) {
	a := args{}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err != nil {
		return a, fail("request_timeout")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method == http.MethodGet:
		a.form(r.URL.Query())
	case kind == "application/x-www-form-urlencoded":
		v, err := url.ParseQuery(string(body))
		if err != nil {
			return a, fail("invalid_form_data")
		}
		a.form(v)
	case kind == "application/json":
		var in map[string]json.RawMessage
		if json.Unmarshal(body, &in) != nil {
			return a, fail("invalid_json")
		}
		for name, raw := range in {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				s = string(raw)
			}
			a[name] = s
		}
	case kind == "" && len(body) > 0:
		return a, fail("missing_post_type")
	case len(body) > 0:
		return a, fail("invalid_post_type")
	}
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		a["token"] = t
	}
	return a, nil
}

func (a args) form(v url.Values) {
	for name := range v {
		a[name] = v.Get(name)
	}
}

func (a args) flag(name string) bool { return a[name] == "true" || a[name] == "1" }

// seconds rounds up to the whole seconds of a Retry-After header.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// A ts is "seconds.microseconds"; inside the fake it is microseconds.
func formatTS(us int64) string { return fmt.Sprintf("%d.%06d", us/1e6, us%1e6) }

func parseTS(s string) int64 {
	sec, frac, _ := strings.Cut(s, ".")
	whole, err := strconv.ParseInt(sec, 10, 64)
	if err != nil || whole < 0 || whole > math.MaxInt64/2_000_000 {
		return 0
	}
	us, err := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	if err != nil {
		return 0
	}
	return whole*1e6 + us
}
