package web

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// A request that an upstream sends back here, for an address is wrong somewhere, would go
// round until there are no connections left, and each round costs what a request costs. What goes
// the whole way with it is its X-Request-Id: of a request that brings one of a gateway's, the
// next one says behind a dash how many there were. It is a count and no more, so that nothing comes of
// making one up, and gateways that stand behind each other count together.
const (
	// maxRounds is more gateways than stand behind each other anywhere, and more than an app
	// needs that asks itself by the gateway and hands on the id.
	maxRounds = 16
	idSize    = 26
	idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // 5 bits each (RFC 4648 section 6)
)

// newID returns 130 random bits as text, and behind a dash how many gateways the request has
// passed if sent is an id of one. What else is in sent is not looked at: a log whose ids others choose
// proves nothing.
func newID(sent string) (id string, rounds int) {
	id = randomID()
	if rounds = roundsOf(sent); rounds > 0 {
		id += "-" + strconv.Itoa(rounds)
	}
	return id, rounds
}

// randomID is like rand.Text of crypto/rand, at a tenth of its cost: Go's own source is seeded by
// the system for each thread, and an id is told to everybody.
func randomID() string {
	var id [idSize]byte
	bits, left := uint64(0), 0
	for i := range id {
		if left == 0 {
			bits, left = rand.Uint64(), 12
		}
		id[i] = idLetters[bits%32]
		bits, left = bits/32, left-1
	}
	return string(id[:])
}

func roundsOf(sent string) int {
	if len(sent) < idSize || len(sent) > idSize+3 || strings.Trim(sent[:idSize], idLetters) != "" {
		return 0
	}
	if len(sent) == idSize {
		return 1
	}
	n, err := strconv.ParseUint(sent[idSize+1:], 10, 8)
	if err != nil || sent[idSize] != '-' {
		return 0
	}
	return int(n) + 1
}

func goesRound() *Error {
	return &Error{Status: http.StatusLoopDetected, Code: "loop", Detail: "This request has come back to the gateway again and again. An app behind it, or a proxy, has the gateway's own address in the place of another one."}
}
