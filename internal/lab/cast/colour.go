package cast

import (
	"fmt"

	"github.com/hinshun/vt10x"
)

const (
	background = "#16181d"
	foreground = "#d6d9e0"
)

// colour gives the CSS colour of c; false: it is the default of its layer. Reversed
// text has the other layer's default.
func colour(c, layer vt10x.Color) (string, bool) {
	palette := [16]string{
		"#2a2e37", "#f0616d", "#6fc276", "#e2b86b", "#6aa5f0", "#c58af0", "#56c1c9", "#b9bfca",
		"#7d8593", "#ff7a85", "#8fdc95", "#f2cf8c", "#8abdff", "#d9a8ff", "#7adbe2", "#ffffff",
	}
	switch {
	case c == layer:
		return "", false
	case c == vt10x.DefaultFG:
		return foreground, true
	case c == vt10x.DefaultBG:
		return background, true
	case c < 16:
		return palette[c], true
	case c < 232: // a cube of 6 x 6 x 6
		level := func(n vt10x.Color) vt10x.Color {
			if n == 0 {
				return 0
			}
			return 55 + 40*n
		}
		n := c - 16
		return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6)), true
	case c < 256: // greys
		grey := 8 + 10*(c-232)
		return fmt.Sprintf("#%02x%02x%02x", grey, grey, grey), true
	default:
		return fmt.Sprintf("#%06x", uint32(c)&0xffffff), true
	}
}
