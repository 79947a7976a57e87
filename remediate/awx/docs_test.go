package awx_test

import (
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remediate/awx"
)

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

// What docs/awx.md says is so.
func TestTheDocument(t *testing.T) {
	doc := read(t, "../../docs/awx.md")
	t.Run("keys", func(t *testing.T) {
		for f := range reflect.TypeFor[awx.Config]().Fields() {
			require.Contains(t, doc, "`"+f.Tag.Get("yaml")+"`")
			require.NotEmpty(t, f.Tag.Get("doc"))
		}
		c := awx.Kind().Config().(*awx.Config)
		require.Contains(t, doc, "default "+c.Timeout.String())
		require.Contains(t, doc, "default "+c.Settle.String())
	})
	t.Run("variables of the role", func(t *testing.T) {
		var defaults map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(read(t, "../../deploy/ansible/roles/tocsin_guard/defaults/main.yml")), &defaults))
		require.NotEmpty(t, defaults)
		for name := range defaults {
			require.Contains(t, doc, "`"+name+"`")
		}
	})
	t.Run("certain refusals", func(t *testing.T) {
		listed := regexp.MustCompile(`(?m)^\| ([0-9, ]+); no connection was had`).FindStringSubmatch(doc)
		require.Len(t, listed, 2)
		for status := 200; status < 600; status++ {
			if http.StatusText(status) == "" || status == http.StatusNoContent || status == http.StatusNotModified {
				continue
			}
			b, _ := answering(t, status, map[string]any{"detail": "no"})
			_, err := b.Launch(t.Context(), order())
			_, rejected := err.(*remediate.Rejected) //nolint:errorlint // it is not wrapped
			require.Equal(t, strings.Contains(listed[1], fmt.Sprint(status)), rejected, "%d: %v", status, err)
		}
	})
	t.Run("roles of the account", func(t *testing.T) {
		w := fakeawx.DefaultWorld()
		require.Empty(t, w.Users[0].Use)
		require.False(t, w.Users[0].Superuser)
		w.Users[0].Inventory = nil
		_, url := serve(t, fakeawx.Options{World: w})
		_, err := open(t, plain(t, url, fakeawx.DefaultToken)).Host(t.Context(), "prod", "web01")
		require.ErrorIs(t, err, remediate.ErrNoHost, "it must see the inventory")
	})
	t.Run("variables of a playbook", func(t *testing.T) {
		f, url := serve(t, fakeawx.Options{})
		l := order()
		l.Claim = remediate.Claim{URL: "https://tocsin.example.org", Token: "t"}
		_, err := open(t, plain(t, url, fakeawx.DefaultToken)).Launch(t.Context(), l)
		require.NoError(t, err)
		for name := range f.Ledger().Jobs[0].Vars["tocsin"].(map[string]any) {
			require.Contains(t, doc, "`tocsin."+name+"`")
		}
	})
}
