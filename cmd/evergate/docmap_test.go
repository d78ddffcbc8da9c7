package main

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestMap: docs/README.md leads to every page of docs, once, and each page says under its title in
// which room it stands: the one under whose heading the map has it. The folder says it of
// those in docs/reference.
func TestMap(t *testing.T) {
	rooms := map[string]string{"Tutorial": "tutorial", "How-to guides": "how-to-guides", "Reference": "reference", "Explanation": "explanation"}
	at := map[string]string{} // the anchor of the room, by page
	room := ""
	for line := range strings.Lines(pageOf(t, "docs/README.md").text) {
		if h, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			if room = rooms[h]; room == "" {
				t.Errorf("the map has a room %q, want one of the four", h)
			}
		}
		for _, m := range inPage.FindAllStringSubmatch(line, -1) {
			name := path.Join("docs", m[1])
			if at[name] != "" {
				t.Errorf("the map leads to %s twice", name)
			}
			at[name] = room
		}
	}
	label := map[string]string{"tutorial": "Tutorial", "how-to-guides": "How-to guide", "explanation": "Explanation"}
	for _, p := range pages(t) {
		if !strings.HasPrefix(p.name, "docs/") || p.name == "docs/README.md" {
			continue
		}
		where := at[p.name]
		if where == "" {
			t.Errorf("%s: docs/README.md does not lead there; put it into one of the rooms", p.name)
			continue
		}
		if strings.HasPrefix(p.name, "docs/reference/") {
			if where != "reference" {
				t.Errorf("%s stands under %s in the map", p.name, where)
			}
			continue
		}
		up := strings.Repeat("../", strings.Count(p.name, "/")-1)
		want := "[" + label[where] + "](" + up + "README.md#" + where + ")"
		if !regexp.MustCompile(`^# [^\n]+\n\n` + regexp.QuoteMeta(want)).MatchString(p.text) {
			t.Errorf("%s: under its title there has to stand %s, since that is where the map has it", p.name, want)
		}
	}
}
