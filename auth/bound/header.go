package bound

import (
	"net/http"
	"strings"
)

// The headers of the draft. Net/http has their names in this spelling.
const (
	registrationHeader = "Secure-Session-Registration" // to the browser: make a key
	challengeHeader    = "Secure-Session-Challenge"    // to the browser: sign this next
	responseHeader     = "Secure-Session-Response"     // from it: the proof
	idHeader           = "Sec-Secure-Session-Id"       // from it: which binding is to be proven
)

// offer is a list of one inner list with parameters (RFC 9651 section 3.1.1). Challenges and
// paths of ours hold nothing that a string would have to escape.
func offer(path, challenge string) string {
	return "(" + strings.Join(Algorithms, " ") + `);path="` + path + `";challenge="` + challenge + `"`
}

// challengeFor is a string with a parameter.
func challengeFor(id, challenge string) string { return `"` + challenge + `";id="` + id + `"` }

// only returns the value of a header that is there once, as Chromium and as the draft send it,
// or "".
func only(h http.Header, name string) string {
	if lines := h.Values(name); len(lines) == 1 {
		return unquote(lines[0])
	}
	return ""
}
