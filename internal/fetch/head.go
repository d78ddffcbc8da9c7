package fetch

import (
	"net/http"
	"sync"
)

// Takes reports whether a request can go by a Line: GET or HEAD, without a body, and with
// nothing about it that asks for more than an answer.
func Takes(req *http.Request) bool {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return false
	}
	if req.Body != nil && req.Body != http.NoBody || req.ContentLength != 0 || req.Close || len(req.Trailer) > 0 || len(req.TransferEncoding) > 0 {
		return false
	}
	h := req.Header
	return h["Connection"] == nil && h["Upgrade"] == nil && h["Expect"] == nil
}

// head is a request as it goes over the wire.
type head struct{ bytes []byte }

var heads = sync.Pool{New: func() any { return &head{make([]byte, 0, 2<<10)} }}

// largestHead is how much of a buffer is kept for the next request.
const largestHead = 16 << 10

func (h *head) free() {
	if cap(h.bytes) <= largestHead {
		h.bytes = h.bytes[:0]
		heads.Put(h)
	}
}

// write appends req as RFC 9112 section 3 wants it. It reports whether every part can be
// written as it is; where one cannot, nothing of h is to be sent.
func (h *head) write(req *http.Request) bool {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	uri := req.URL.RequestURI()
	if host == "" || uri == "" || uri[0] != '/' || !isHost(host) || !isTarget(uri) {
		return false
	}
	b := append(h.bytes, req.Method...)
	b = append(b, ' ')
	b = append(b, uri...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\n"...)
	agent, named := req.Header["User-Agent"]
	switch {
	case !named, len(agent) > 1: // net/http has ways of its own with these
		return false
	case len(agent) == 1 && agent[0] != "":
		if !isValue(agent[0]) {
			return false
		}
		b = appendLine(b, "User-Agent", agent[0])
	}
	for name, values := range req.Header {
		switch name {
		case "Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer":
			continue // what these say follows from the request itself
		}
		if !isName(name) {
			return false
		}
		for _, v := range values {
			if !isValue(v) {
				return false
			}
			b = appendLine(b, name, v)
		}
	}
	h.bytes = append(b, "\r\n"...)
	return true
}

func appendLine(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// Of each byte: where it may stand.
const (
	inName   = 1 << iota // a token (RFC 9110 section 5.6.2)
	inHost               // a host and its port, IPv6 without a zone included
	inTarget             // origin-form (RFC 9112 section 3.2.1)
)

var bytesOf = func() (table [256]byte) {
	const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for set, mark := range map[string]byte{
		alphanumeric: inName | inHost, "!#$%&'*+-.^_`|~": inName, "-._:[]": inHost,
	} {
		for i := range len(set) {
			table[set[i]] |= mark
		}
	}
	for c := 0x21; c < 0x7f; c++ {
		table[c] |= inTarget
	}
	return table
}()

func all(s string, mark byte) bool {
	for i := range len(s) {
		if bytesOf[s[i]]&mark == 0 {
			return false
		}
	}
	return true
}

func isName(s string) bool   { return s != "" && all(s, inName) }
func isHost(s string) bool   { return all(s, inHost) }
func isTarget(s string) bool { return all(s, inTarget) }

// isValue reports whether a header value has no control character but tabs, and no space at
// its ends (RFC 9110 section 5.5).
func isValue(s string) bool {
	if s == "" {
		return true
	}
	if first, last := s[0], s[len(s)-1]; first <= ' ' || last <= ' ' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
