package totp

import (
	"crypto/hmac"
	"crypto/sha1" // RFC 6238 section 1.2: what every app can do. HMAC is not what is broken of it.
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"time"
)

const (
	// Digits is how long a code is, and Period for how long one is shown.
	Digits = 6
	Period = 30 * time.Second
	// skew is how many steps a clock may be off, either way (RFC 6238 section 5.2).
	skew = 1
)

// Step is the time step of at (RFC 6238 section 4.2).
func Step(at time.Time) int64 { return at.Unix() / int64(Period/time.Second) }

// Code is what an app with a secret shows in a time step (RFC 4226 section 5.3).
func Code(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step))) // never fails (hash.Hash)
	sum := mac.Sum(nil)
	from := sum[len(sum)-1] & 0x0f
	n := binary.BigEndian.Uint32(sum[from:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", Digits, n%1_000_000)
}

// stepOf is the time step after the last one for which an app shows code, at about now.
func stepOf(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	for s := Step(now) - skew; s <= Step(now)+skew; s++ { // all of them, so that the time does not tell which
		if subtle.ConstantTimeCompare([]byte(Code(secret, s)), []byte(code)) == 1 && s > last && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}
