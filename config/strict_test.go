package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
)

type kitchen struct {
	Listen string                     `yaml:"listen"`
	Wait   config.Duration            `yaml:"wait"`
	Size   int                        `yaml:"size"`
	Token  config.SecretFile          `yaml:"token_file"`
	Rooms  []room                     `yaml:"rooms"`
	Roles  map[string][]string        `yaml:"roles"`
	Deep   map[string]config.Duration `yaml:"deep"`
}

type room struct {
	Name string         `yaml:"name"`
	With config.Section `yaml:"with"`
}

func (k *kitchen) Validate() error {
	var errs []error
	for i, r := range k.Rooms {
		if r.Name == "" {
			errs = append(errs, config.Under("rooms", config.Bad("["+string(rune('0'+i))+"].name", "give it a name")))
		}
	}
	return errors.Join(errs...)
}

func decode(text string) (kitchen, error) {
	k := kitchen{Size: 3}
	s, err := config.Parse("kitchen.yml", []byte(text))
	if err != nil {
		return k, err
	}
	return k, s.Decode(&k)
}

func TestMistakesCarryTheirLineAndTheCure(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"a mistyped key":       {"listen: x\nlisen: y\n", `kitchen.yml:2: unknown key "lisen"; write "listen"`},
		"a key of nowhere":     {"zzz: y\n", `kitchen.yml:1: unknown key "zzz"; known here: deep, listen, roles, rooms, size, token_file, wait`},
		"a key in a list":      {"rooms:\n  - name: a\n  - nme: b\n", `kitchen.yml:3: unknown key "nme"; write "name"`},
		"no duration":          {"\nwait: soon\n", `kitchen.yml:2: "soon" is not a duration: write it as 500ms, 30s, 5m or 1h30m`},
		"no number":            {"size: many\n", `kitchen.yml:1: "many" stands where there must be a whole number`},
		"no list":              {"rooms: {a: b}\n", `kitchen.yml:1: a section stands where there must be a list: begin each item with ` + "`- `"},
		"no section":           {"rooms:\n  - 7\n", `kitchen.yml:2: "7" stands where there must be a section: ` + "`key: value` lines, indented"},
		"a validation":         {"rooms:\n  - name: a\n  - name: ''\n", `kitchen.yml:3: rooms[1].name: give it a name`},
		"a field that is gone": {"rooms:\n  - name: a\n  - with: {}\n", `kitchen.yml:3: rooms[1].name: give it a name`},
		"a key twice":          {"size: 1\nsize: 2\n", `kitchen.yml:2: mapping key "size" already defined at line 1`},
		"broken YAML":          {"a: [1\nb: 2\n", `kitchen.yml:`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(tc.text)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), tc.want), "got  %s\nwant %s", err, tc.want)
			_, ok := errors.AsType[*config.Mistake](err)
			require.True(t, ok)
		})
	}
}

func TestAllMistakesAtOnceInOrder(t *testing.T) {
	_, err := decode("sise: 1\nwait: soon\nrooms:\n  - nane: x\n")
	require.Len(t, strings.Split(err.Error(), "\n"), 3)
	require.Regexp(t, `(?s)yml:1: .*yml:2: .*yml:4: `, err.Error())
}

func TestDefaultsStayAndSectionsKeepTheirPlace(t *testing.T) {
	k, err := decode("listen: x\nwait: 1m30s\ntoken_file: sub/token\nrooms:\n  - name: a\n    with:\n      size: 1\n      lsten: y\n")
	require.NoError(t, err)
	require.Equal(t, 3, k.Size)
	require.Equal(t, 90*time.Second, k.Wait.D())
	require.Equal(t, config.SecretFile("sub/token"), k.Token, "relative to the config file's folder")
	require.EqualError(t, k.Rooms[0].With.Decode(&kitchen{}), `kitchen.yml:8: unknown key "lsten"; write "listen"`)
}

func TestSecretsStayHidden(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(path, []byte("  hunter2\n"), 0o600))
	s, err := config.SecretFile(path).Read()
	require.NoError(t, err)
	require.Equal(t, "hunter2", s.Reveal())
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q"} {
		require.NotContains(t, fmt.Sprintf(verb, s), "hunter2")
		require.NotContains(t, fmt.Sprintf(verb, struct{ S config.Secret }{s}), "hunter2")
	}
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = config.SecretFile(path).Read()
	require.ErrorContains(t, err, "write the secret into it")
}

func FuzzConfigFile(f *testing.F) {
	for _, seed := range []string{
		"listen: x\n", "rooms:\n  - {name: a, with: {b: c}}\n", "a: &a [*a]\n", "wait: 1h", "? {a: b} : c", "<<: {listen: y}\n",
		"roles: {host: [a, b]}\ndeep: {a: 5m}\n", "rooms: &r\n - name: x\ndeep: *r\n", "\xff\xfe", "!!binary x", "- - - -",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		s, err := config.Parse("fuzz.yml", data)
		if err != nil {
			return
		}
		var k kitchen
		if err := s.Decode(&k); err != nil {
			_, ok := errors.AsType[*config.Mistake](err)
			require.True(t, ok, "%T %v", err, err)
		}
	})
}
