package totp

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"unicode"

	"github.com/evergate/evergate/auth/credential"
)

const (
	// recoveryCodes is how many are made at once.
	recoveryCodes = 10
	// recoveryBytes are drawn for each: 80 bits, which nobody guesses, so that a digest without a
	// salt keeps them, and they need no wait (NIST SP 800-63B-4 section 3.1.2.2 asks for 64).
	recoveryBytes = 10
	// recoveryLength is how many letters that gives.
	recoveryLength = 16
)

// letters are those of recovery codes: none looks like another, in no hand.
var letters = base32.NewEncoding("23456789ABCDEFGHJKLMNPQRSTUVWXYZ").WithPadding(base32.NoPadding)

// draw makes recovery codes, as they are shown and as they are kept.
func draw() (shown []string, kept []credential.Recovery) {
	for range recoveryCodes {
		b := make([]byte, recoveryBytes)
		_, _ = rand.Read(b) // never fails (crypto/rand)
		code := letters.EncodeToString(b)
		var groups []string
		for group := range slices.Chunk([]byte(code), 4) {
			groups = append(groups, string(group))
		}
		shown = append(shown, strings.Join(groups, "-"))
		kept = append(kept, credential.Recovery{Digest: digest(code)})
	}
	return shown, kept
}

func digest(code string) []byte {
	sum := sha256.Sum256([]byte(code))
	return sum[:]
}

// find is where code is among those that are kept, or -1. What is compared are digests: how long
// it takes tells nothing of a code.
func find(kept []credential.Recovery, code string) int {
	sum := digest(code)
	return slices.IndexFunc(kept, func(r credential.Recovery) bool { return bytes.Equal(r.Digest, sum) })
}

// plain is a code as it is kept, of what somebody typed: in groups, in small letters, by a keyboard
// with digits of its own.
func plain(typed string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '٠' && r <= '٩': // Arabic
			return '0' + r - '٠'
		case r >= '۰' && r <= '۹': // Persian and Urdu
			return '0' + r - '۰'
		case r >= '\uff10' && r <= '\uff19': // full width
			return '0' + r - '\uff10'
		case unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return unicode.ToUpper(r)
	}, typed)
}
