package remediate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

// The end of a job's output is told, however long it is, and the line has room for it.
func TestTheTailOfEvidenceIsItsEnd(t *testing.T) {
	recap := "PLAY RECAP *********\nweb-3                      : ok=5    changed=0    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0   \n"
	e := &Evidence{
		Hosts: []HostResult{{Host: "web-3", OK: 5}},
		Tail:  "PLAY [Inspect a host] " + strings.Repeat("*", 60) + strings.Repeat("\nok: [web-3]", 200) + "\n" + recap,
	}
	words := e.words()
	require.Equal(t, page.OneLine(words), words, "a line cuts nothing off")
	require.Contains(t, words, "web-3: 5 ok, 0 changed, 0 failed, 0 unreachable; output ends: …")
	require.True(t, strings.HasSuffix(words, "web-3 : ok=5 changed=0 unreachable=0 failed=0 skipped=1 rescued=0 ignored=0"), words)
	require.NotContains(t, words, "**", "rulers take the room of words")
	require.NotContains(t, words, "PLAY [Inspect")
	require.Less(t, len([]rune(words)), 200)
	require.Equal(t, "output ends: short", (&Evidence{Tail: " short\n"}).words())
}
