package proxy

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

// A WebSocket is opened by a request that holds a key, and an answer that holds what only
// somebody who knows WebSockets makes of the key (RFC 6455 sections 4.1 and 4.2). Both are looked at
// here, for behind them the gateway carries bytes: an app that gives back the headers that it
// got, and goes on to read requests, would take what a client says then for requests that
// nobody judged.

const (
	keyHeader        = "Sec-Websocket-Key"
	versionHeader    = "Sec-Websocket-Version"
	acceptHeader     = "Sec-Websocket-Accept"
	protocolHeader   = "Sec-Websocket-Protocol"
	extensionsHeader = "Sec-Websocket-Extensions"

	// socketVersion is that of RFC 6455. There is no other: those before it were drafts, some
	// of which an app may know still and whose frames the gateway would take for others.
	socketVersion = "13"
	// acceptSuffix is put behind a key before it is hashed (RFC 6455 section 1.3).
	acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// checkHandshake returns what is wrong with the header of a request that opens a WebSocket:
// 426 for a version that is not carried, 400 otherwise, or nil.
func checkHandshake(h http.Header) *web.Error {
	switch versions := h[versionHeader]; {
	case len(versions) > 1:
		return badHandshake(fmt.Errorf("%d lines of Sec-WebSocket-Version, want one", len(versions)))
	case len(versions) == 0 || versions[0] != socketVersion:
		return &web.Error{Status: http.StatusUpgradeRequired, Code: "bad_upgrade",
			Detail: "WebSockets are carried in version 13 (RFC 6455) alone. Send Sec-WebSocket-Version: 13.",
			Header: http.Header{versionHeader: {socketVersion}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}}, // RFC 9110 section 15.5.22
			Err:    fmt.Errorf("the version of a WebSocket is %.40q, want 13", versions)}
	}
	switch keys := h[keyHeader]; {
	case len(keys) != 1:
		return badHandshake(fmt.Errorf("%d lines of Sec-WebSocket-Key, want one", len(keys)))
	case !isSocketKey(keys[0]):
		return badHandshake(fmt.Errorf("the Sec-WebSocket-Key %.40q is not 16 bytes in base64", keys[0]))
	}
	return nil
}

func badHandshake(err error) *web.Error {
	return &web.Error{Status: http.StatusBadRequest, Code: "bad_upgrade",
		Detail: "A WebSocket is opened with one Sec-WebSocket-Key, 16 bytes in base64, and one Sec-WebSocket-Version.", Err: err}
}

// isSocketKey reports whether s is 16 bytes in base64.
func isSocketKey(s string) bool {
	var key [18]byte // what 24 characters can hold
	if len(s) != base64.StdEncoding.EncodedLen(16) {
		return false
	}
	n, err := base64.StdEncoding.Decode(key[:], []byte(s))
	return err == nil && n == 16
}

// acceptOf is the Sec-WebSocket-Accept that answers a key.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + acceptSuffix)) // by the RFC; it proves understanding, and no secret hangs on it
	return base64.StdEncoding.EncodeToString(sum[:])
}

// checkSwitch returns what is wrong with an answer of 101 to a request that opened a WebSocket,
// by the headers of both, or nil. Asked has passed checkHandshake.
func checkSwitch(asked, answered http.Header) error {
	if want, got := acceptOf(asked[keyHeader][0]), answered[acceptHeader]; len(got) != 1 || got[0] != want {
		return fmt.Errorf("upstream answered 101 with Sec-WebSocket-Accept %.100q, want %q: it gives back headers, or does not know WebSockets", got, want)
	}
	if got := answered[protocolHeader]; len(got) > 1 || len(got) == 1 && !slices.Contains(listed(asked[protocolHeader]), got[0]) {
		return fmt.Errorf("upstream chose the WebSocket subprotocol %.100q, want one of %.200q", got, asked[protocolHeader])
	}
	offered := listed(asked[extensionsHeader])
	for _, name := range listed(answered[extensionsHeader]) {
		if !slices.Contains(offered, name) {
			return fmt.Errorf("upstream uses the WebSocket extension %.100q, want one of %.200q", name, asked[extensionsHeader])
		}
	}
	return nil
}

// listed are the names in the lines of a list, without their parameters.
func listed(lines []string) (names []string) {
	for _, line := range lines {
		for _, item := range splitQuoted(line) {
			name, _, _ := strings.Cut(item, ";")
			if name = strings.Trim(name, " \t"); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}
