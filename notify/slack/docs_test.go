package slack_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/notify/slack"
)

func docs(t *testing.T) (text string, examples []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "slack.md"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		examples = append(examples, m[1])
	}
	require.Len(t, examples, 2)
	return string(b), examples
}

// The manifest asks for the scopes that the code names, no more and no less.
func TestTheManifestAsksForWhatTheCodeNeeds(t *testing.T) {
	text, examples := docs(t)
	var manifest struct {
		OAuth struct {
			Scopes struct{ Bot []string } `yaml:"scopes"`
		} `yaml:"oauth_config"`
		Settings struct {
			Interactivity struct {
				Enabled bool   `yaml:"is_enabled"`
				URL     string `yaml:"request_url"`
			} `yaml:"interactivity"`
		} `yaml:"settings"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(examples[0]), &manifest))
	var bot []string
	for _, s := range slack.Scopes() {
		if !s.OfApp {
			bot = append(bot, s.Name)
		}
		require.Regexp(t, "(?m)^\\| `"+s.Name+"` \\|.*"+regexp.QuoteMeta(s.Without)+" \\|$", text)
	}
	require.ElementsMatch(t, bot, manifest.OAuth.Scopes.Bot)
	require.True(t, manifest.Settings.Interactivity.Enabled)
	require.Contains(t, manifest.Settings.Interactivity.URL, "/callback/slack/")
}

// Every method that is called stands under a scope, and every scope is used.
func TestEveryMethodHasItsScope(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	called := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") || f == "scopes.go" {
			continue
		}
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`"((?:apps|chat|conversations|files|usergroups|users)\.[a-zA-Z.]+)"`).FindAllStringSubmatch(string(b), -1) {
			called[m[1]] = true
		}
	}
	for _, s := range slack.Scopes() {
		for _, m := range s.Methods {
			require.True(t, called[m], "%s is not called: %s is not needed", m, s.Name)
		}
	}
	for m := range called {
		require.True(t, slices.ContainsFunc(slack.Scopes(), func(s slack.Scope) bool { return slices.Contains(s.Methods, m) }), m)
	}
}

// The example of the docs is a section that is taken.
func TestTheExampleIsTaken(t *testing.T) {
	_, examples := docs(t)
	var example struct {
		Receivers []struct {
			Notify []struct {
				Kind string    `yaml:"kind"`
				With yaml.Node `yaml:"with"`
			} `yaml:"notify"`
		} `yaml:"receivers"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(examples[1]), &example))
	part := example.Receivers[0].Notify[0]
	require.Equal(t, "slack", part.Kind)
	cfg := slack.Kind(nil).Config().(*slack.Config)
	b, err := yaml.Marshal(&part.With)
	require.NoError(t, err)
	dec := yaml.NewDecoder(strings.NewReader(string(b)))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(cfg))
	require.NoError(t, cfg.Validate())
	require.Equal(t, []config.SecretFile{"/run/secrets/slack-signing"}, cfg.SigningSecretFiles)
	require.Equal(t, "Europe/Berlin", cfg.TimeZone)
}
