package chart_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/chart"
)

// luminance of #rrggbb, as WCAG 2.1 has it.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	v, err := strconv.ParseUint(colour[1:], 16, 32)
	require.NoError(t, err)
	part := func(shift uint) float64 {
		c := float64(v>>shift&0xff) / 255
		if c <= .04045 {
			return c / 12.92
		}
		return math.Pow((c+.055)/1.055, 2.4)
	}
	return .2126*part(16) + .7152*part(8) + .0722*part(0)
}

// Text is read at 4.5:1 and better, lines at 3:1, light and dark (WCAG 2.1, AA).
func TestContrast(t *testing.T) {
	for _, dark := range []bool{false, true} {
		for name, c := range examples() {
			b, err := chart.SVG(c, chart.Options{Dark: dark})
			require.NoError(t, err)
			list := read(t, b)
			var ground float64
			for _, e := range list {
				if e.class == "ground" {
					ground = luminance(t, e.attr["fill"])
					break
				}
			}
			ratio := func(colour string) float64 {
				l := luminance(t, colour)
				return (max(l, ground) + .05) / (min(l, ground) + .05)
			}
			for _, e := range list {
				switch {
				case e.name == "text":
					require.GreaterOrEqual(t, ratio(e.attr["fill"]), 4.5, "%s, dark %t: %s", name, dark, e.text)
				case e.class == "failing" || e.class == "middle" || e.class == "mark" || e.class == "threshold":
					colour := e.attr["stroke"]
					if colour == "" {
						colour = e.attr["fill"]
					}
					require.GreaterOrEqual(t, ratio(colour), 3.0, "%s, dark %t: %s", name, dark, e.class)
				}
			}
		}
	}
}
