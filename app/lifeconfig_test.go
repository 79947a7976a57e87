package app

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
)

// docs/problems.md names these defaults.
func TestTheDefaultsOfTheDocument(t *testing.T) {
	raw, err := os.ReadFile("../docs/problems.md")
	require.NoError(t, err)
	text := string(raw)
	c := DefaultConfig()
	require.Equal(t, Storms{Problems: 20, Within: config.Duration(time.Minute), Calm: config.Duration(2 * time.Minute)}, c.Storms)
	require.Contains(t, text, "More than 20 new problems of one receiver within a minute (`storms`)")
	require.Contains(t, text, "After 2 minutes without a new one")
	require.Equal(t, Flapping{Openings: 3, Within: config.Duration(time.Hour), Quiet: config.Duration(15 * time.Minute)}, c.Flapping)
	require.Contains(t, text, "opens for the 3rd time within an hour (`flapping`)")
	require.Contains(t, text, "waits for 15 minutes of quiet")
	require.Equal(t, 24*time.Hour, c.Silences.Max.D())
	require.Contains(t, text, "At most 24 h (`silences.max`)")
}

func TestNumbersNoProblemCouldLiveBy(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"":             func(*Config) {},
		"storms":       func(c *Config) { c.Storms.Calm = 0 },
		"flapping":     func(c *Config) { c.Flapping.Openings = 1 },
		"silences.max": func(c *Config) { c.Silences.Max = 0 },
	} {
		c := DefaultConfig()
		change(c)
		errs := c.validateLife()
		if want == "" {
			require.Empty(t, errs)
			continue
		}
		require.Len(t, errs, 1)
		require.ErrorContains(t, errs[0], want)
	}
	off := DefaultConfig()
	off.Storms, off.Flapping = Storms{}, Flapping{}
	require.Empty(t, off.validateLife(), "both may be turned off")
}
