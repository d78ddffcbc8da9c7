package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Where a Look is served.
const (
	stylePath    = "/.evergate/style.css"
	iconPath     = "/.evergate/icon.svg"
	colorsPath   = "/.evergate/colors.css"
	logoPath     = "/.evergate/logo"
	logoDarkPath = "/.evergate/logo-dark"
)

// IsAsset reports whether path is what the pages look like. It is the same on every host,
// known or not: one that is not has a page too, which says so.
func IsAsset(path string) bool {
	switch path {
	case stylePath, iconPath, StylesheetPath, colorsPath, logoPath, logoDarkPath:
		return true
	}
	return false
}

// asset is a file of the pages' own. A new text has a new address, so that no browser
// shows a new page in old clothes.
type asset struct {
	kind, hash, policy string
	text               []byte
}

func newAsset(kind string, text []byte) *asset {
	sum := sha256.Sum256(text)
	return &asset{kind: kind, text: text, hash: hex.EncodeToString(sum[:6])}
}

// at is the address of a under path, or "" where there is none.
func (a *asset) at(path string) string {
	if a == nil {
		return ""
	}
	return path + "?v=" + a.hash
}

// ServeHTTP implements http.Handler.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("ETag", `"`+a.hash+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if a.policy != "" {
		h.Set("Content-Security-Policy", a.policy)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.text))
}

// Assets are what k serves, by path: they are for everybody, on every host.
func (k *Look) Assets() map[string]http.Handler {
	all := map[string]http.Handler{}
	for path, a := range map[string]*asset{colorsPath: k.tint, logoPath: k.logo, logoDarkPath: k.dark, StylesheetPath: k.cfg.Templates.sheet()} {
		if a != nil {
			all[path] = a
		}
	}
	return all
}

// MaxLogo bounds a logo: it is on every page.
const MaxLogo = 256 << 10

// logoPolicy lets a logo that somebody opens by itself do nothing: an SVG is a document
// then, with scripts if it has any. Its own styles are part of the picture.
const logoPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

// readLogo tells what kind of picture it is, by what it holds.
func readLogo(text []byte) (*asset, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if len(text) > MaxLogo {
		return nil, fmt.Errorf("it has %s, and is on every page: want %s at most", Size(int64(len(text))), Size(MaxLogo))
	}
	var a *asset
	switch {
	case bytes.HasPrefix(text, []byte("\x89PNG\r\n\x1a\n")):
		a = newAsset("image/png", text)
	case isSVG(text):
		a = newAsset("image/svg+xml", text)
	default:
		return nil, errors.New("it is neither an SVG nor a PNG: want one of the two")
	}
	a.policy = logoPolicy
	return a, nil
}

// isSVG reports whether text is well-formed XML whose root is svg.
func isSVG(text []byte) bool {
	d, root := xml.NewDecoder(bytes.NewReader(text)), ""
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for {
		token, err := d.Token()
		if err == io.EOF {
			return strings.EqualFold(root, "svg")
		}
		if err != nil {
			return false
		}
		if e, ok := token.(xml.StartElement); ok && root == "" {
			root = e.Name.Local
		}
	}
}
