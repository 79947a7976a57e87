package alertmanager_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/alertmanager"
	"github.com/tocsin/tocsin/notify/notifytest"
)

func TestNeutralLeavesPlainTextAlone(t *testing.T) {
	for _, text := range []string{
		"CPU < 5 % & rising", "a@b.example", "[::1]:9100", "https://wiki.example.org/x?a=b", "x | 5", "rate(x[5m]) > 3", "f(x) [y] (z)", "größe@höhe.example",
	} {
		for _, kind := range []string{"discord", "msteamsv2", "jira", "webhook", "email"} {
			require.Equal(t, text, alertmanager.Neutral(kind)(text))
		}
	}
	require.Equal(t, "&lt;!here&gt; &amp;", alertmanager.Neutral("slack")("<!here> &"))
	require.Equal(t, "<!here>", alertmanager.Neutral("webhook")("<!here>"), "a machine gets it as it is")
}

// Whatever a label holds, no chat service finds a mention or a disguised link
// in it.
func FuzzNeutral(f *testing.F) {
	for _, s := range notifytest.Hostile() {
		f.Add(s[:min(len(s), 200)])
	}
	f.Add("@@@here <<!@here>> ]]((x)) [[~a]] ||http://x")
	neutral, slack := alertmanager.Neutral("discord"), alertmanager.Neutral("slack")
	mention := regexp.MustCompile(`<[!@#~^/\pL]|(^|[^\pL\pN_])@[\pL\pN_{]|\]\(|\[[~^@]|\|\s*[\pL/]`)
	f.Fuzz(func(t *testing.T, s string) {
		s = notify.CleanLines(s, 4096)
		require.NotRegexp(t, mention, neutral(s))
		require.False(t, strings.ContainsAny(slack(s), "<>"))
	})
}
