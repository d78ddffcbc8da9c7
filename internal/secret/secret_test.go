package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/secret"
)

func TestNoPathShowsTheText(t *testing.T) {
	const word = "correct-horse"
	s := secret.New(word)
	holder := struct{ Password secret.Text }{s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", s, holder, &holder)
	}
	fmt.Fprintln(&out, fmt.Errorf("login: %v", s), errors.New(fmt.Sprint(s)))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "s", s, "h", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "s", s, "h", holder)
	j, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	if strings.Contains(out.String(), word) || strings.Contains(out.String(), fmt.Sprintf("%x", word)) {
		t.Errorf("the secret shows in:\n%s", &out)
	}
	if !strings.Contains(out.String(), secret.Mask) {
		t.Errorf("got no %q in:\n%s", secret.Mask, &out)
	}
	if s.Reveal() != word {
		t.Errorf("Reveal: got %q, want %q", s.Reveal(), word)
	}
}
