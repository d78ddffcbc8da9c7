package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// TestAccountGuide: the addresses, forms, bounds and events that it names are those of the
// code. What it says of them is tried in account_test.go and e2e/account_test.go.
func TestAccountGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/account.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	handler, forms := sources(t, "../../auth/*.go"), sources(t, "../../auth/pages/account*.html")
	addresses := regexp.MustCompile("(?m)^\\| `(account[a-z/]*)` \\|").FindAllStringSubmatch(text, -1)
	if len(addresses) != 3 {
		t.Errorf("got %d addresses in the guide, want 3", len(addresses))
	}
	for _, a := range addresses {
		if !strings.Contains(handler, `"`+a[1]+`"`) {
			t.Errorf("nothing answers at %s", a[1])
		}
	}
	for _, field := range []string{"which", "session", "current", "new", "again"} {
		if !strings.Contains(text, "`"+field+"`") || !strings.Contains(forms, `name="`+field+`"`) {
			t.Errorf("the field %s is not in both the guide and a form", field)
		}
	}
	for _, value := range []string{"one", "others", "all"} {
		if !strings.Contains(text, "`"+value+"`") || !strings.Contains(forms, `value="`+value+`"`) {
			t.Errorf("%s is not in both the guide and a form", value)
		}
	}
	for _, want := range []string{
		fmt.Sprintf("at least %d characters", auth.MinPassword), fmt.Sprintf("at most %d bytes", auth.MaxPassword),
		"`" + string(event.SessionRevoked) + "`", "`" + event.ByPerson + "`", "`" + event.NewPassword + "`", "`" + string(event.PasswordChanged) + "`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the guide does not say %s", want)
		}
	}
}
