package probe

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTargetsThatAreAllowed(t *testing.T) {
	all := []prefix{}
	for _, text := range []string{"http://shop:8000", "https://api.example.org/shop", "https://*.eu.example.org", "http://[::1]:80/"} {
		p, err := parsePrefix(text)
		require.NoError(t, err)
		all = append(all, p)
	}
	for target, want := range map[string]bool{
		"http://shop:8000":                      true,
		"http://SHOP:8000/":                     true,
		"http://shop.:8000/any/where":           true,
		"https://api.example.org/shop":          true,
		"https://api.example.org:443/shop/v2":   true,
		"https://a.b.eu.example.org":            true,
		"http://[0:0::1]":                       false, // another way to write it: not the one of the config
		"http://[::1]":                          true,
		"http://shop":                           false,
		"https://shop:8000":                     false,
		"http://shop:8001":                      false,
		"http://shop:8000@evil":                 false,
		"http://evil/#http://shop:8000":         false,
		"http://evil?http://shop:8000":          false,
		"http://shop:8000.evil":                 false,
		"https://api.example.org":               false,
		"https://api.example.org/shopping":      false,
		"https://api.example.org/shop/../admin": false,
		"https://api.example.org/shop/%2e%2e/x": false,
		"https://api.example.org/shop//x":       false,
		"https://eu.example.org":                false,
		"https://evileu.example.org":            false,
		"https://*.eu.example.org":              false,
		"file:///etc/passwd":                    false,
		"gopher://shop:8000":                    false,
		"shop:8000":                             false,
		"//shop:8000":                           false,
		"http://":                               false,
		"http://shop:8000\r\nHost: evil":        false,
		"":                                      false,
	} {
		require.Equal(t, want, allowed(all, target) == nil, target)
	}
}

func TestAddressesThatAreNotAsked(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "fe80::1": true, "fe80::1%eth0": true, "fd00:ec2::254": true, "64:ff9b::a9fe:a9fe": true,
		"2002:a9fe:a9fe::1": true, "100.100.100.200": true, "0.0.0.0": true, "::": true, "224.0.0.1": true, "ff02::1": true, "255.255.255.255": true,
		"127.0.0.1": false, "10.0.0.1": false, "192.0.2.1": false, "2001:db8::1": false, "64:ff9b::a00:1": false, "fd00::1": false,
	} {
		require.Equal(t, want, hidden(netip.MustParseAddr(address)), address)
	}
	require.Error(t, control("tcp", "nonsense", nil))
	require.Error(t, control("tcp", "169.254.0.1:80", nil))
	require.NoError(t, control("tcp", "127.0.0.1:80", nil))
}

func TestAWildcardIsOfWholeLabels(t *testing.T) {
	for _, text := range []string{"http://*", "http://a.*.b", "http://a*", "http://*.*.b"} {
		require.ErrorContains(t, CheckTarget(text), "the first labels", text)
	}
}

// Whatever a target is, one that is allowed leads to the host that is.
func FuzzTargets(f *testing.F) {
	for _, seed := range []string{"http://shop:8000", "http://shop:8000@evil", "http://shop:8000/a/../b", "http://x.example.org:80", "http://shop:8000\\@evil", "http://ſhop:8000"} {
		f.Add(seed)
	}
	var all []prefix
	for _, text := range []string{"http://shop:8000/a", "http://*.example.org"} {
		p, err := parsePrefix(text)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, p)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if allowed(all, target) != nil {
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatalf("%q is allowed, and no request: %v", target, err)
		}
		host := strings.TrimSuffix(strings.ToLower(req.URL.Host), "/")
		shop := (host == "shop:8000" || host == "shop.:8000") && (req.URL.Path + "/")[:3] == "/a/"
		wild := strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":"), "."), ".example.org")
		if !shop && !wild || req.URL.User != nil || strings.Contains((&url.URL{Path: req.URL.Path}).String(), "/../") {
			t.Errorf("%q is allowed, and leads to %s", target, req.URL)
		}
	})
}
