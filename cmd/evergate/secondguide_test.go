package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/session/memory"
)

// TestSecondFactorGuide: the addresses, events, classes and methods that it names are those of the code.
// What it says of them is tried in second_test.go, auth/totp and e2e/codes_test.go.
func TestSecondFactorGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/second-factor.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	h := newSecondHouse(t, "optional", memory.New(), newKeyFile(t))
	addresses := regexp.MustCompile("(?m)^\\| `((?:second|account/)[a-z/]*)` \\| (GET|POST)").FindAllStringSubmatch(text, -1)
	if len(addresses) < 4 {
		t.Errorf("got %d addresses in the guide, want 4", len(addresses))
	}
	for _, a := range addresses {
		if w := h.visitor().do(h.g, a[2], "/.evergate/"+a[1], nil); w.Code == 404 || w.Code == 405 {
			t.Errorf("%s %s: got %d", a[2], a[1], w.Code)
		}
	}
	for _, want := range []string{
		"`" + string(event.SecondFactorAdded) + "`", "`" + string(event.SecondFactorRemoved) + "`", "`" + string(event.RecoveryCodesMade) + "`", "`" + string(event.RecoveryCodeUsed) + "`",
		"`" + string(event.LoginFailed) + "`", "`" + event.BadSecondFactor + "`", "`" + auth.ACRMulti + "` | `pwd`, `otp`, `mfa` |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the guide does not say %s", want)
		}
	}
}
