// Package qr draws QR codes (ISO/IEC 18004) for pages, as the outline of an SVG: nothing is fetched,
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
	// Path is the dark part, as the attribute "d" of a path.
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
		for x := 0; x < side; x++ {
			from := x
			for x < side && dark(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	return Code{side + 2*quiet, path.String()}, nil
}
