package web_test

import (
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/web"
)

// FuzzAcceptLanguage: whatever a client says it reads, there is a page, in a language of
// the gateway's and in time.
func FuzzAcceptLanguage(f *testing.F) {
	for _, s := range []string{"", "de", "ar-EG,ar;q=0.9,en;q=0.8", "en;q=0", "*", "de;q=x", ";;,,;q=", "i-klingon, zh-Hant-TW", "x-x-x", strings.Repeat("a-", 500), "de\x00", "ar;q=1e9"} {
		f.Add(s)
	}
	e := &web.Error{Status: 404}
	f.Fuzz(func(t *testing.T, accept string) {
		w := errorIn(t, nil, e, accept)
		switch lang := w.Header().Get("Content-Language"); lang {
		case "en", "de", "ar":
			if !strings.Contains(w.Body.String(), `<html lang="`+lang+`"`) {
				t.Errorf("got\n%s\nwant it in %s", w.Body, lang)
			}
		default:
			t.Errorf("got Content-Language %q", lang)
		}
	})
}
