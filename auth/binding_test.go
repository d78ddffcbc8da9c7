package auth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
)

// TestComingFromElsewhereWithoutAProof: browsers prove no key for what a page of another origin
// leads to, so that a page of this one asks first; and once.
func TestComingFromElsewhereWithoutAProof(t *testing.T) {
	h := open(t)
	b := h.browser()
	h.sessions.fault = &auth.Absent{Reason: auth.OtherDevice}
	const at = "/.evergate/login?rd=%2Fx&why=device"
	page := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site"}
	for from, asks := range map[string]bool{"cross-site": true, "same-site": true, "same-origin": false, "none": false} {
		got := b.get(at, append(page, from)...)
		if refresh := got.Header.Get("Refresh"); asks != (refresh == "1; url="+at) || got.StatusCode != http.StatusOK {
			t.Errorf("from %s: got %d, Refresh %q, want to be asked first: %t", from, got.StatusCode, refresh, asks)
		}
		if asks != strings.Contains(got.body, `href="/.evergate/login?rd=%2Fx&amp;why=device" data-rd="/x" data-go`) {
			t.Errorf("from %s: got %s", from, got.body)
		}
	}
	if got := b.get(at); got.StatusCode != http.StatusOK {
		t.Errorf("a browser that says nothing: got %d, want the sign-in page", got.StatusCode)
	}
	h.sessions.fault = &auth.Absent{Reason: auth.Ended}
	if got := b.get(at, append(page, "cross-site")...); got.StatusCode != http.StatusOK {
		t.Errorf("a session that is over: got %d, want the sign-in page", got.StatusCode)
	}
}
