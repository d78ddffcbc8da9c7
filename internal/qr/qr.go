// Package qr draws QR codes (ISO/IEC 18004) for pages, as the lines of an SVG: nothing is fetched,
// and no style and no script is needed.
package qr

import (
	"fmt"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quiet is the white edge that readers need, in modules.
const quiet = 4

// Code is a drawing, in modules: what is dark on a white square.
type Code struct {
	// Size is how long a side of the square is.
	Size int
	// Path is the dark part, as the attribute "d" of a path with a stroke one module wide: a line
	// for each run of a row, which is half of what their outlines would take.
	Path string
}

// Draw draws text. The error is that of one that is too long.
func Draw(text string) (Code, error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode) // bytes, which any text is
	if err != nil {
		return Code{}, fmt.Errorf("draw a QR code of %d bytes: %w", len(text), err)
	}
	side := code.Bounds().Dx()
	dark := func(x, y int) bool {
		shade, _, _, _ := code.At(x, y).RGBA()
		return shade == 0
	}
	var path strings.Builder
	for y := range side {
		pen := -1 // where the last run of this row ended
		for x := 0; x < side; x++ {
			from := x
			for x < side && dark(x, y) {
				x++
			}
			switch {
			case x == from:
				continue
			case pen < 0:
				fmt.Fprintf(&path, "M%d %d.5", from+quiet, y+quiet)
			default:
				fmt.Fprintf(&path, "m%d 0", from-pen)
			}
			fmt.Fprintf(&path, "h%d", x-from)
			pen = x
		}
	}
	return Code{side + 2*quiet, path.String()}, nil
}
