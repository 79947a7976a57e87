package apps_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/apps"
	"github.com/tocsin/tocsin/config"
)

const compiled = `label: app
classes:
  - apps: [cart, search]
    others: true
    settings:
      - {policy: restart-web, field: mode, value: observe, at: "layers/global.yaml:4"}
      - {field: deadline.critical, value: 3s, at: "layers/global.yaml:6"}
  - apps: [checkout]
    settings: []
`

func TestAFileIsReadStrictly(t *testing.T) {
	f, err := apps.Parse("apps.conf", []byte(compiled))
	require.NoError(t, err)
	class := f.Index()
	require.Equal(t, []int{0, 1, 0, 0}, []int{class("cart"), class("checkout"), class("stranger"), class("")})
	require.Equal(t, "mode observe (layers/global.yaml:4)", f.Classes[0].Settings[0].String())
	data, err := f.Marshal("# header")
	require.NoError(t, err)
	again, err := apps.Parse("apps.conf", data)
	require.NoError(t, err)
	require.Equal(t, f.Classes[0], again.Classes[0])
	require.ErrorContains(t, f.Mistakes(config.Bad(apps.At(0, 1)+".value", "no")), "apps.conf:7: ")

	for text, want := range map[string]string{
		"classes: []":                                           "label",
		"label: app\nclass: []":                                 "unknown key",
		"label: app\nclasses: [{}]":                             "apps.conf:2: ",
		"label: app\nclasses: [{apps: [a]}, {apps: [a]}]":       "stands in two classes",
		"label: app\nclasses: [{others: true}, {others: true}]": "two classes",
		"label: app\nclasses: [{others: true, settings: [{field: mode, value: x, at: y}]}]":                                                          "layers set no field \"mode\" of context",
		"label: app\nclasses: [{others: true, settings: [{policy: p, field: mod, value: x, at: y}]}]":                                                "write \"mode\"",
		"label: app\nclasses: [{others: true, settings: [{policy: p, field: mode, value: x, at: y}]}]":                                               "\"x\" is no mode",
		"label: app\nclasses: [{others: true, settings: [{policy: p, field: mode, value: auto}]}]":                                                   "which line",
		"label: app\nclasses: [{others: true, settings: [{field: deadline.other, value: 2m, at: y}]}]":                                               "at most 1m",
		"label: app\nclasses: [{apps: [a], settings: [{policy: p, field: stable, value: 1m, at: y}, {policy: p, field: stable, value: 1m, at: y}]}]": "stands twice",
	} {
		_, err := apps.Parse("apps.conf", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestValuesAndWhichIsTheMoreCareful(t *testing.T) {
	for _, c := range []struct {
		kind          apps.Kind
		a, b, careful string
	}{
		{apps.Mode, "auto", "observe", "observe"},
		{apps.Mode, "off", "check", "off"},
		{apps.Longer, "3m", "90s", "3m"},
		{apps.Longer, "1m", "60s", "1m"},
		{apps.Sooner, "3m", "90s", "1m30s"},
		{apps.Fewer, "3", "2", "2"},
		{apps.Fewer, "9", "10", "9"},
		{apps.Rate, "1/1h", "3/24h", "1/1d"},
		{apps.Rate, "1/1h", "1/60m", "1/1h"},
		{apps.Roles, "dba, operator", "operator", "operator"},
		{apps.Roles, "dba", "operator", ""},
		{apps.Wait, "2s", "500ms", "500ms"},
	} {
		a, err := c.kind.Read(c.a)
		require.NoError(t, err)
		b, err := c.kind.Read(c.b)
		require.NoError(t, err)
		require.Equal(t, c.careful, c.kind.Careful(a, b), "%+v", c)
		require.Equal(t, c.careful, c.kind.Careful(b, a), "%+v", c)
		require.Equal(t, a, c.kind.Careful(a, a))
	}
	for kind, bad := range map[apps.Kind][]string{
		apps.Mode: {"", "manual"}, apps.Longer: {"", "0s", "25h", "5"}, apps.Sooner: {"-1s"}, apps.Fewer: {"0", "-1", "x", "99999999"},
		apps.Rate: {"", "1", "0/1h", "1/0s", "1/25h", "1/1h/1h"}, apps.Roles: {"", " , ", "a b"}, apps.Wait: {"2m", "0s"},
	} {
		for _, text := range bad {
			_, err := kind.Read(text)
			require.Error(t, err, "%d %q", kind, text)
		}
	}
}

// FuzzParse reads anything as a compiled file: what is wrong is a mistake with
// its file, what is right is the same when it is written and read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", compiled, "label: app\n", "label: app\nclasses: [{apps: [a, \"\\x01\"], settings: [{policy: \"p q\", field: approval.roles, value: \"a, b\", at: x}]}]\n",
		"label: &a x\nclasses: *a\n", "- 1", "label: {}", "\xff", "label: app\nclasses: [{others: true, settings: [{policy: p, field: guards.rate.target, value: 1/1h, at: x}]}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := apps.Parse("x", data)
		if err != nil {
			_, ok := errors.AsType[*config.Mistake](err)
			require.True(t, ok, "%T %v", err, err)
			return
		}
		text, err := file.Marshal("# header")
		require.NoError(t, err)
		again, err := apps.Parse("x", text)
		require.NoError(t, err, "%s", text)
		second, err := again.Marshal("# header")
		require.NoError(t, err)
		require.Equal(t, string(text), string(second))
		for i, c := range file.Classes {
			for _, name := range c.Apps {
				require.Equal(t, i, again.Index()(name))
			}
		}
	})
}
