package totp

import (
	"regexp"
	"slices"
	"testing"
	"time"
)

// TestCodesOfTheRFC: RFC 6238 appendix B, of which apps show the last six digits.
func TestCodesOfTheRFC(t *testing.T) {
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got := Code(secret, Step(time.Unix(at, 0))); got != want {
			t.Errorf("at %d got %s, want %s", at, got, want)
		}
	}
}

func TestStepOf(t *testing.T) {
	secret, now := []byte("12345678901234567890"), time.Unix(2000000000, 0)
	here := Step(now)
	for _, c := range []struct {
		off, last int64
		want      bool
	}{
		{-2, 0, false}, {-1, 0, true}, {0, 0, true}, {1, 0, true}, {2, 0, false},
		{0, here, false}, {-1, here, false}, {1, here, true}, {0, here - 1, true}, {1, here + 1, false},
	} {
		step, ok := stepOf(secret, Code(secret, here+c.off), now, c.last)
		if ok != c.want || ok && step != here+c.off {
			t.Errorf("a code %d steps off, after one %d steps off: got %d, %t, want %t", c.off, c.last-here, step-here, ok, c.want)
		}
	}
}

func TestRecoveryCodes(t *testing.T) {
	shape := regexp.MustCompile(`^[2-9A-HJ-NP-Z]{4}(-[2-9A-HJ-NP-Z]{4}){3}$`)
	shown, kept := draw()
	if len(shown) != 10 || len(kept) != 10 || len(slices.Compact(slices.Sorted(slices.Values(shown)))) != 10 {
		t.Fatalf("got %d codes and %d that are kept, want ten of each, all different", len(shown), len(kept))
	}
	for i, code := range shown {
		if !shape.MatchString(code) {
			t.Errorf("got %q, want four groups of letters that look like no other", code)
		}
		if at := find(kept, plain(code)); at != i {
			t.Errorf("%s is found at %d, want %d", code, at, i)
		}
	}
	if at := find(kept, "AAAAAAAAAAAAAAAA"); at != -1 {
		t.Errorf("a code that was not drawn is found at %d", at)
	}
}

func TestPlain(t *testing.T) {
	for typed, want := range map[string]string{
		" 123 456 ": "123456", "abcd-efgh": "ABCDEFGH", "ABCD\u2013EFGH\u2011JKLM": "ABCDEFGHJKLM", "\u0661\u0662\u0663\u0664\u0665\u0666": "123456",
		"\u06f1\u06f2\u06f3": "123", "\uff11\uff12": "12", "\u200f12\u200e3\u00a04": "1234", "12.34": "12.34", "": "",
	} {
		if got := plain(typed); got != want {
			t.Errorf("of %+q got %q, want %q", typed, got, want)
		}
	}
}
