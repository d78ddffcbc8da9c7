package qr

import (
	"strings"
	"testing"
)

// TestDraw: there is a square with its white edge, and its path stays within. Whether a phone can read
// it, an end-to-end test says, of the pixels.
func TestDraw(t *testing.T) {
	c, err := Draw("otpauth://totp/apps.example.com:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=apps.example.com&algorithm=SHA1&digits=6&period=30")
	if err != nil {
		t.Fatal(err)
	}
	// The corner of the finder pattern: seven modules in a row, behind the edge.
	if (c.Size-2*quiet-17)%4 != 0 || !strings.HasPrefix(c.Path, "M4 4.5h7m") || strings.Trim(c.Path, "Mmh .0123456789") != "" {
		t.Errorf("got a side of %d and the path %.60s…", c.Size, c.Path)
	}
	if _, err := Draw(strings.Repeat("x", 3000)); err == nil {
		t.Error("got a code of 3000 bytes, want an error")
	}
}
