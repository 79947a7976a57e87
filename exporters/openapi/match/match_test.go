package match_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/match"
)

// table makes a table of "METHOD /template" lines; {path*} may hold slashes.
func table(strict bool, lines ...string) (*match.Table, []match.Conflict) {
	var routes []match.Route
	for i, line := range lines {
		method, path, _ := strings.Cut(line, " ")
		r := match.Route{Method: method, Path: strings.ReplaceAll(path, "*}", "}"), Operation: i}
		if r.Path != path {
			r.Rest = path[strings.LastIndexByte(path, '{')+1 : len(path)-2]
		}
		routes = append(routes, r)
	}
	return match.New(routes, strict)
}

func petstore() []string {
	return []string{
		"GET /pets", "POST /pets", "GET /pets/mine", "GET /pets/{id}", "DELETE /pets/{id}", "GET /pets/{id}.json",
		"GET /pets/{from}-{to}", "POST /pets/{id}:feed", "POST /pets:batch", "GET /pets/{id}/photos/", "GET /pets/mine/{x}/y",
		"GET /files/{path*}", "PUT /files/{path*}", "GET /a/{x}/c", "GET /a/b/{y}", "POST /a/b/{y}", "HEAD /a/{x}/c", "PURGE /pets",
		"GET /caf%C3%A9/{x}", "GET /v{major}.{minor}/x", "GET /", "GET /q/{a}{b}",
	}
}

func TestFind(t *testing.T) {
	lines := petstore()
	tab, conflicts := table(false, lines...)
	require.Empty(t, conflicts)
	for request, want := range map[string]string{
		"GET /pets": "GET /pets", "GET /pets/": "GET /pets", "HEAD /pets": "GET /pets", "PURGE /pets": "PURGE /pets",
		"GET /": "GET /", "GET //": "GET /", "GET ": "path", "GET pets": "path", "GET /pet": "path", "GET /pets//": "path",
		"GET /pets/mine": "GET /pets/mine", "DELETE /pets/mine": "DELETE /pets/{id}", // literal first, but it must lead somewhere
		"GET /pets/7": "GET /pets/{id}", "GET /pets/7.json": "GET /pets/{id}.json", "GET /pets/.json": "GET /pets/{id}",
		"DELETE /pets/7.json": "DELETE /pets/{id}", "GET /pets/a-b": "GET /pets/{from}-{to}", "GET /pets/a-": "GET /pets/{id}", "GET /pets/--": "GET /pets/{id}", "GET /pets/---": "GET /pets/{from}-{to}",
		"GET /pets/a-b.json": "GET /pets/{id}.json", // more of it is literal
		"POST /pets/7:feed":  "POST /pets/{id}:feed", "POST /pets:batch": "POST /pets:batch", "POST /pets%3Abatch": "POST /pets:batch",
		"POST /pets/7": "method", "OPTIONS /pets/7": "options", "OPTIONS /none": "path", "BREW /pets": "method",
		"GET /pets/7/photos": "GET /pets/{id}/photos/", "GET /pets/7/photos/": "GET /pets/{id}/photos/",
		"GET /pets/mine/photos": "GET /pets/{id}/photos/", // back out of the literal
		"GET /files/a/b/c":      "GET /files/{path*}", "PUT /files/a": "PUT /files/{path*}", "GET /files/": "path", "DELETE /files/a/b": "method",
		"GET /a/b/c": "GET /a/b/{y}", "POST /a/b/c": "POST /a/b/{y}", "GET /a/x/c": "GET /a/{x}/c", "HEAD /a/x/c": "HEAD /a/{x}/c",
		"GET /pets/%6Dine": "GET /pets/mine", "GET /pets/a%2Fb": "GET /pets/{id}", "GET /pets/%zz": "GET /pets/{id}", "GET /pets/%7": "GET /pets/{id}",
		"GET /caf%c3%a9/x": "GET /caf%C3%A9/{x}", "GET /café/x": "GET /caf%C3%A9/{x}",
		"GET /pets/7%2Ejson": "GET /pets/{id}.json", "GET /pets/a%2Db": "GET /pets/{from}-{to}",
		"GET /v1.2/x": "GET /v{major}.{minor}/x", "GET /v1./x": "path", "GET /v.2/x": "path",
		"GET /q/x": "GET /q/{a}{b}",
		"GET /pets/" + strings.Repeat("%41", 500): "GET /pets/{id}",
	} {
		method, path, _ := strings.Cut(request, " ")
		n, reason := tab.Find(method, path)
		if reason != match.Found {
			require.Equal(t, -1, n)
			require.Equal(t, want, reason.String(), request)
			continue
		}
		require.Equal(t, want, lines[n], request)
	}
}

func TestStrictSlashes(t *testing.T) {
	tab, _ := table(true, "GET /pets", "GET /pets/{id}/")
	for path, want := range map[string]match.Reason{"/pets": match.Found, "/pets/": match.NoPath, "/pets/1": match.NoPath, "/pets/1/": match.Found} {
		_, reason := tab.Find("GET", path)
		require.Equal(t, want, reason, path)
	}
}

func TestAConflictIsToldAndTheFirstOneKept(t *testing.T) {
	tab, conflicts := table(false, "GET /pets/{id}", "GET /pets/{name}", "PUT /pets/{name}", "GET /x/{a}-{b}", "GET /x/{c}-{d}")
	require.Len(t, conflicts, 2)
	require.Equal(t, "/pets/{id}", conflicts[0].Kept.Path)
	require.Equal(t, "/pets/{name}", conflicts[0].Lost.Path)
	n, _ := tab.Find("GET", "/pets/1")
	require.Equal(t, 0, n)
	n, _ = tab.Find("PUT", "/pets/1")
	require.Equal(t, 2, n)
}

func TestAURLIsFoundAsItsEscapedPath(t *testing.T) {
	lines := petstore()
	tab, _ := table(false, lines...)
	for _, path := range []string{"/pets/mine", "/pets/a%2Fb", "/pets/a%20b", "/caf%C3%A9/x", "/pets/100%25", "/pets/%6Dine", "/pets/a%2Db.json"} {
		u, err := url.Parse("https://anything.example" + path + "?x=1")
		require.NoError(t, err)
		n, reason := tab.FindURL("GET", u)
		m, why := tab.Find("GET", path)
		require.Equal(t, m, n, path)
		require.Equal(t, why, reason, path)
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	tab, _ := table(false, petstore()...)
	for _, path := range []string{"/pets/7", "/pets/%6Dine", "/nothing/here", "/files/a/b/c/d", "/pets/7/photos", "/v1.2/x", "/pets/" + strings.Repeat("%41", 500)} {
		require.Zero(t, testing.AllocsPerRun(100, func() { tab.Find("GET", path) }), path)
	}
}

// FuzzPaths compares the trie with the plainest matcher there is, one template
// after the other.
func FuzzPaths(f *testing.F) {
	lines := petstore()
	tab, _ := table(false, lines...)
	for _, path := range []string{"/pets/mine", "/pets/a-b.json", "/files//", "/%2f/%", "/a/b/c", "/pets/%6D%69ne:feed", "//", "/v1..2/x"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "BREW"} {
			f.Add(method, path)
		}
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		n, reason := tab.Find(method, path)
		fits := fitting(lines, method, path)
		if reason == match.Found != (len(fits) > 0) {
			t.Fatalf("%s %q: %v, but it fits %v", method, path, reason, fits)
		}
		if n >= 0 && !slices.Contains(fits, lines[n]) {
			t.Fatalf("%s %q: %s is not among %v", method, path, lines[n], fits)
		}
	})
}

func fitting(lines []string, method, path string) (fits []string) {
	if !strings.HasPrefix(path, "/") {
		return nil
	}
	for _, p := range []string{path, strings.TrimSuffix(path, "/"), path + "/"} {
		if p != path && path == "/" || !strings.HasPrefix(p, "/") {
			continue
		}
		for _, line := range lines {
			m, template, _ := strings.Cut(line, " ")
			if (m == method || m == "GET" && method == "HEAD") && fitsPath(strings.Split(template[1:], "/"), strings.Split(p[1:], "/")) {
				fits = append(fits, line)
			}
		}
		if len(fits) > 0 || strings.HasSuffix(path, "/") && p != path {
			return fits
		}
	}
	return fits
}

func fitsPath(template, path []string) bool {
	if strings.HasSuffix(template[len(template)-1], "*}") && len(path) > len(template) && path[len(template)-1] != "" {
		path = path[:len(template)]
	}
	return slices.EqualFunc(template, path, func(t, p string) bool {
		if u, err := url.PathUnescape(p); err == nil && len(u) <= 128 {
			p = u
		}
		t, _ = url.PathUnescape(t)
		return fitsSegment(t, p)
	})
}

// fitsSegment tries every way to share a segment among its parameters.
func fitsSegment(template, s string) bool {
	open := strings.IndexByte(template, '{')
	if open < 0 {
		return template == s
	}
	if !strings.HasPrefix(s, template[:open]) {
		return false
	}
	rest := strings.TrimPrefix(template[strings.IndexByte(template, '}')+1:], "{b}")
	for i := open + 1; i <= len(s); i++ {
		if fitsSegment(rest, s[i:]) {
			return true
		}
	}
	return false
}
