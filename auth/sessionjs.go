package auth

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed pages/session.js
var sessionScriptSource []byte

// sessionScript is the script that an app may include, as it is served: without
// indentation and lines of comment. No text in it goes over several lines.
var sessionScript = func() []byte {
	var out []byte
	for line := range bytes.Lines(sessionScriptSource) {
		if line = bytes.TrimSpace(line); len(line) > 0 && !bytes.HasPrefix(line, []byte("//")) {
			out = append(append(out, line...), '\n')
		}
	}
	return out
}()

var sessionScriptTag = func() string {
	sum := sha256.Sum256(sessionScript)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}()

// sessionJS serves it, the same to everybody and on every host.
func sessionJS(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Etag", sessionScriptTag)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // it speaks of this origin's session alone
	http.ServeContent(w, r, "session.js", time.Time{}, bytes.NewReader(sessionScript))
	return nil
}
