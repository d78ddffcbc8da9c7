package tracing

import (
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// place is where a span stands (W3C Trace Context section 3.2).
type place struct {
	trace [16]byte
	span  [8]byte
	flags byte
	state string // tracestate, as it came
}

const (
	flagSampled = 0x01
	// flagRandom says that the trace id is random (W3C Trace Context Level 2). It is
	// handed on as it came.
	flagRandom = 0x02
)

func (p *place) String() string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, p.trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, p.span[:])
	return string(append(b, '-', digits[p.flags>>4], digits[p.flags&15]))
}

// parentOf reads where the sender of a header stands. What is not as it has to be counts
// as not there; a bad tracestate does so alone.
func parentOf(h http.Header) (p place, ok bool) {
	lines := h["Traceparent"]
	if len(lines) != 1 {
		return p, false
	}
	s := lines[0]
	// A version that nobody knows yet begins as this one, and may go on (section 3.2.4).
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" || s[:2] == "00" && len(s) != 55 || len(s) > 55 && s[55] != '-' {
		return p, false
	}
	var version, flags [1]byte
	for _, part := range []struct {
		into []byte
		text string
	}{{version[:], s[:2]}, {p.trace[:], s[3:35]}, {p.span[:], s[36:52]}, {flags[:], s[53:55]}} {
		if strings.ToLower(part.text) != part.text {
			return place{}, false
		}
		if _, err := hex.Decode(part.into, []byte(part.text)); err != nil {
			return place{}, false
		}
	}
	if p.trace == [16]byte{} || p.span == [8]byte{} {
		return place{}, false
	}
	p.flags = flags[0] & (flagSampled | flagRandom)
	p.state = stateOf(h["Tracestate"])
	return p, true
}

const (
	maxMembers = 32
	maxState   = 2 << 10 // the standard asks for 512 bytes at least
)

// member is compiled for the first that comes: with its counts it takes 0.4 MB, and most
// gateways never see one.
var member = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:[a-z0-9][-a-z0-9_*/]{0,255}|[a-z0-9][-a-z0-9_*/]{0,240}@[a-z][-a-z0-9_*/]{0,13})=[ -+\--<>-~]{0,255}[!-+\--<>-~]$`)
})

// stateOf makes one list of the lines of tracestate, or "" where it is not as it has to be
// (section 3.3).
func stateOf(lines []string) string {
	var members []string
	seen, length := map[string]bool{}, 0
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.Trim(one, " \t"); one == "" {
				continue
			}
			name, _, _ := strings.Cut(one, "=")
			if length += len(one) + 1; length > maxState || len(members) == maxMembers || seen[name] || !member().MatchString(one) {
				return ""
			}
			seen[name] = true
			members = append(members, one)
		}
	}
	return strings.Join(members, ",")
}
