package chart

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
)

// maxRunes is how much of a text from outside is looked at.
const maxRunes = 200

// clean makes a line of text of what came from outside: no controls, nothing that
// turns the direction of what follows, no piles of accents.
func clean(s string) string {
	if len(s) > maxRunes*utf8.UTFMax {
		s = s[:maxRunes*utf8.UTFMax]
	}
	var b strings.Builder
	kept, piled := 0, 0
	for _, r := range s {
		switch {
		case kept == maxRunes:
			return b.String()
		case r == utf8.RuneError:
			r = '?'
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r):
			continue
		}
		if unicode.In(r, unicode.M) {
			if piled++; piled > 2 {
				continue
			}
		} else {
			piled = 0
		}
		b.WriteRune(r)
		kept++
	}
	return strings.TrimSpace(b.String())
}

// fonts measure text, and draw it where the reader has none of their own.
type fonts struct{ regular, bold *opentype.Font }

func loadFonts() (f fonts, err error) {
	if f.regular, err = opentype.Parse(liberationsansregular.TTF); err == nil {
		f.bold, err = opentype.Parse(liberationsansbold.TTF)
	}
	if err != nil {
		return f, fmt.Errorf("read font: %w", err)
	}
	return f, nil
}

func (f fonts) face(size float64, bold bool) font.Face {
	face := font.Face{Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: font.Length(size)}, Face: f.regular}
	if bold {
		face.Face = f.bold
	}
	return face
}

func (f fonts) width(s string, size float64, bold bool) float64 {
	face := f.face(size, bold)
	return float64(face.Width(s))
}

// cut shortens a text to a width.
func (f fonts) cut(s string, l look, room float64) string {
	return f.fit(s, l, room, func(rs []rune, n int) string { return strings.TrimSpace(string(rs[:n])) + "…" })
}

// squeeze shortens a name to a width, in its middle: names differ at their ends.
func (f fonts) squeeze(s string, l look, room float64) string {
	return f.fit(s, l, room, func(rs []rune, n int) string { return string(rs[:n-n/2]) + "…" + string(rs[len(rs)-n/2:]) })
}

func (f fonts) fit(s string, l look, room float64, keep func(rs []rune, n int) string) string {
	fits := func(s string) bool { return f.width(s, l.size, l.bold) <= room }
	if fits(s) {
		return s
	}
	rs := []rune(s)
	low, high := 0, len(rs) // the first fits, or nothing does; the second does not
	for low+1 < high {
		if n := (low + high) / 2; fits(keep(rs, n)) {
			low = n
		} else {
			high = n
		}
	}
	if low == 0 {
		return ""
	}
	return keep(rs, low)
}
