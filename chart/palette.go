package chart

// palette is the colours of a picture: what fails is warm, what is healthy grey.
type palette struct {
	ground, ink, muted, grid, band, middle colour
	failing                                [maxLines]colour
	change, onset, fired                   colour
}

// colours have a contrast of 4.5 or more against their ground where they are text,
// of 3 where they are lines (WCAG 2.1).
func colours(dark bool) palette {
	if dark {
		return palette{
			ground: 0x1a1d21, ink: 0xeceef0, muted: 0xb0b6bd, grid: 0x343940, band: 0x454c55, middle: 0xaab3bd,
			failing: [maxLines]colour{0xff5d6c, 0xffa04d, 0xff86d3, 0xe8c15c, 0xff8a75},
			change:  0x74baff, onset: 0xc9a8ff, fired: 0xeceef0,
		}
	}
	return palette{
		ground: 0xffffff, ink: 0x1d1c1d, muted: 0x565b61, grid: 0xe3e5e9, band: 0xd3d8de, middle: 0x767e88,
		failing: [maxLines]colour{0xcf0f2e, 0xb84a00, 0xa4136f, 0x7d5600, 0x9c2a10},
		change:  0x0f5fa8, onset: 0x6a35b5, fired: 0x1d1c1d,
	}
}

// colour is 0xrrggbb.
type colour uint32

// RGBA makes it a colour of package image.
func (c colour) RGBA() (r, g, b, a uint32) {
	const whole = 0x101 // of 8 bits to 16
	return uint32(c>>16&0xff) * whole, uint32(c>>8&0xff) * whole, uint32(c&0xff) * whole, 0xffff
}
