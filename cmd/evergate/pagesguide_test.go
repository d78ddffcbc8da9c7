package main

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// TestPagesGuide: its template is one, its messages are some, and it names every page that
// can be an operator's own with everything that it knows.
func TestPagesGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/pages.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	block := func(kind string) string {
		m := regexp.MustCompile("(?s)```" + kind + "\n(.*?)```").FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no %s", kind)
		}
		return m[1]
	}
	samples := auth.PageSamples()
	own, err := web.LoadTemplates(folder(t, map[string]string{"login.html": block("html")}), samples)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := web.NewLook(web.LookConfig{Templates: own, Messages: map[string][]byte{"fr.json": []byte(block("json"))}}); err != nil {
		t.Error(err)
	}
	for name, all := range samples {
		if !strings.Contains(text, "| `"+name+".html` |") {
			t.Errorf("the guide does not name %s.html", name)
		}
		for field := range reflect.TypeOf(all[0].Page.Data).Fields() {
			if field.IsExported() && !strings.Contains(text, "`."+field.Name+"`") {
				t.Errorf("the guide does not name .%s of %s.html", field.Name, name)
			}
		}
	}
}
