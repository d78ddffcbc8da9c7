package doctor

import (
	"fmt"
	"time"
)

const (
	// mostSkew is what every part forgives; beyond it tokens are refused for their times.
	mostSkew = time.Minute
	// someSkew is half of that: the clock drifts.
	someSkew = 30 * time.Second
)

// beyond is the least that a clock must be off, where skew may be wrong by within.
func beyond(skew, within time.Duration) time.Duration { return max(skew.Abs()-within, 0) }

// ahead says how far a clock is from ours.
func ahead(skew, within time.Duration) string {
	switch off := beyond(skew, within); {
	case off < time.Second:
		return "that of this machine"
	case skew > 0:
		return fmt.Sprintf("%s ahead of this machine's", round(off))
	default:
		return fmt.Sprintf("%s behind this machine's", round(off))
	}
}
