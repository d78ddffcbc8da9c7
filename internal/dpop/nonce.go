package dpop

import (
	"net/http"
	"sync"
)

const (
	// NonceHeader is where a server says what it wants in the next proof (RFC 9449 section
	// 8.1), in the spelling of net/http.
	NonceHeader = "Dpop-Nonce"
	// NonceWanted is the error code of a request that was not looked at for want of a nonce
	// of now (RFC 9449 sections 8 and 9).
	NonceWanted = "use_dpop_nonce"

	maxNonce   = 512 // bytes
	maxServers = 64
)

// NonceOf is the nonce that an answer brings for the next proof, or "". What cannot be
// one (RFC 9449 section 8.1) is none.
func NonceOf(h http.Header) string {
	lines := h[NonceHeader]
	if len(lines) != 1 || len(lines[0]) > maxNonce {
		return ""
	}
	for _, c := range []byte(lines[0]) {
		if c < '!' || c > '~' || c == '"' || c == '\\' {
			return ""
		}
	}
	return lines[0]
}

// Nonces remembers the last nonce of each server. The zero value is ready.
type Nonces struct {
	mu   sync.Mutex // guards last
	last map[string]string
}

// For is the nonce for the next proof to a server, or "".
func (n *Nonces) For(server string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[server]
}

// Learn takes the nonce that an answer of a server brings, whatever its status: the newest
// is the one that is wanted.
func (n *Nonces) Learn(server string, h http.Header) {
	nonce := NonceOf(h)
	if nonce == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil || len(n.last) >= maxServers && n.last[server] == "" {
		n.last = map[string]string{} // rather be asked again than grow
	}
	n.last[server] = nonce
}
