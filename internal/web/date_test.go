package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// TestDatesRunOneWay: in a line that is written from right to left the parts of a date would
// change places, and 2026-11-27 be shown as 27-11-2026.
func TestDatesRunOneWay(t *testing.T) {
	look, err := web.NewLook(web.LookConfig{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 27, 14, 52, 0, 0, time.UTC)
	e := &web.Error{Status: 403, Title: "You may not open this page", Detail: "You are signed in as {user}. This page needs {missing}.",
		Args: web.Args{"user": "alice", "missing": web.T("{date} at the latest", "date", at)}}
	for lang, want := range map[string]string{
		"en": "needs 27 November 2026, 14:52 UTC at the latest",
		"de": "2026-11-27 14:52 UTC",
		"ar": `<bdi dir="ltr">2026-11-27 14:52 UTC</bdi>`,
	} {
		if got := errorIn(t, look, e, lang).Body.String(); !strings.Contains(got, want) || strings.Contains(got, "<bdi dir") != (lang == "ar") {
			t.Errorf("%s: got\n%s\nwant in it %s", lang, got, want)
		}
	}
}
