package main

import (
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	inPage    = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)`)
	reference = regexp.MustCompile(`(?m)^\[[^\]]+\]: (\S+)`)
	inHTML    = regexp.MustCompile(`(?:src|srcset|href)="([^"]+)"`)
)

// TestLinks: every link of every page leads somewhere: to a file that is there, to a heading
// that it has. Links to the outside are looked at for how they are written, and not asked for.
func TestLinks(t *testing.T) {
	all := pages(t)
	byName := map[string]*page{}
	for i := range all {
		byName[all[i].name] = &all[i]
	}
	links, outside, anchors := 0, 0, 0
	for _, p := range all {
		var to []string
		for _, pattern := range []*regexp.Regexp{inPage, reference, inHTML} {
			for _, m := range pattern.FindAllStringSubmatch(p.prose, -1) {
				to = append(to, m[1])
			}
		}
		for _, link := range to {
			links++
			u, err := url.Parse(link)
			if err != nil {
				t.Errorf("%s: %q is no link: %v", p.name, link, err)
				continue
			}
			if u.Scheme != "" || u.Host != "" {
				outside++
				if u.Scheme != "https" && u.Scheme != "mailto" || u.Scheme == "https" && !strings.Contains(u.Host, ".") {
					t.Errorf("%s: the link %q is not https to a host", p.name, link)
				}
				continue
			}
			if strings.HasPrefix(u.Path, "/") {
				t.Errorf("%s: the link %q begins at a root that the repository does not have; write it from the folder of the page", p.name, link)
				continue
			}
			name := p.name
			if u.Path != "" {
				name = path.Join(path.Dir(p.name), u.Path)
			}
			if _, err := os.Stat("../../" + name); err != nil {
				t.Errorf("%s: the link %q leads nowhere: %v", p.name, link, err)
				continue
			}
			if u.Fragment != "" {
				anchors++
				if there := byName[name]; there == nil || !there.anchor[u.Fragment] {
					t.Errorf("%s: the link %q leads to no heading of %s", p.name, link, name)
				}
			}
		}
	}
	t.Logf("%d links, %d of them to headings, %d to the outside", links, anchors, outside)
	if links < 200 || anchors < 40 {
		t.Errorf("got %d links and %d to headings: the test reads less than there is", links, anchors)
	}
}

// TestLinkCheckerSees what it is for: a link to nowhere is told from one that is well.
func TestLinkCheckerSees(t *testing.T) {
	p := readPage("docs/x.md", "# One `two`: three's\n\n## Same\n\n## Same\n\n[a](#b) `[c](#d)`\n\n```sh\n[e](#f)\n```\n<a id=\"g\"></a>\n![img](h.png)\n")
	for _, anchor := range []string{"one-two-threes", "same", "same-1", "g"} {
		if !p.anchor[anchor] {
			t.Errorf("the anchor %s is missing in %v", anchor, p.anchor)
		}
	}
	var got []string
	for _, m := range inPage.FindAllStringSubmatch(p.prose, -1) {
		got = append(got, m[1])
	}
	if strings.Join(got, " ") != "#b h.png" {
		t.Errorf("got the links %q, want #b and h.png: what stands in code is none", got)
	}
}

// TestNamedPages: a page that the program, a config or a comment names is there.
func TestNamedPages(t *testing.T) {
	names := regexp.MustCompile(`\bdocs/[A-Za-z0-9_/-]+\.(?:md|svg|png)\b`)
	found := 0
	eachFile(t, func(name, file string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".md") || strings.ContainsRune(string(b[:min(len(b), 512)]), 0) {
			return // TestLinks reads pages; the other is no text
		}
		for _, m := range names.FindAllString(string(b), -1) {
			found++
			if _, err := os.Stat("../../" + m); err != nil && m != "docs/x.md" {
				t.Errorf("%s names %s, which is not there", name, m)
			}
		}
	})
	if found < 20 {
		t.Errorf("got %d pages named, want 20", found)
	}
}
