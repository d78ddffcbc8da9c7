package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// page is a Markdown file of the repository.
type page struct {
	name   string // from the root of the repository
	text   string
	prose  string          // without what stands in fences and code
	blocks []block         // what stands in fences
	inline []string        // code amid the text
	anchor map[string]bool // where a link may lead
}

// block is a fenced example.
type block struct {
	kind, text string
	line       int
}

var (
	fence      = regexp.MustCompile("^ *```([a-z]*)$")
	inlineCode = regexp.MustCompile("`([^`\n]+)`")
	heading    = regexp.MustCompile(`^#{1,6} (.+)$`)
	anchored   = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// pages are all Markdown files of the repository.
func pages(t *testing.T) (all []page) {
	t.Helper()
	eachFile(t, func(name, path string) {
		if strings.HasSuffix(name, ".md") {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, readPage(name, string(b)))
		}
	})
	if len(all) < 40 {
		t.Fatalf("got %d pages, want 40", len(all))
	}
	return all
}

// eachFile visits the files of the repository, and not what tools keep there.
func eachFile(t *testing.T, visit func(name, path string)) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel("../..", path)
		if err != nil {
			return err
		}
		if base := e.Name(); e.IsDir() && name != "." && (base == "node_modules" || base == "testdata" || strings.HasPrefix(base, ".")) {
			return filepath.SkipDir
		}
		if e.Type().IsRegular() {
			visit(filepath.ToSlash(name), path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readPage(name, text string) page {
	p := page{name: name, text: text, anchor: map[string]bool{}}
	var prose strings.Builder
	var open *block
	seen := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		if m := fence.FindStringSubmatch(line); m != nil && open == nil {
			open = &block{kind: m[1], line: i + 1}
		} else if m != nil {
			p.blocks = append(p.blocks, *open)
			open = nil
		} else if open != nil {
			open.text += line + "\n"
		} else {
			prose.WriteString(line + "\n")
			if h := heading.FindStringSubmatch(line); h != nil {
				slug := slugOf(linkText.ReplaceAllString(h[1], "$1"))
				if n := seen[slug]; n > 0 {
					p.anchor[slug+"-"+strconv.Itoa(n)] = true
				} else {
					p.anchor[slug] = true
				}
				seen[slug]++
			}
			for _, a := range anchored.FindAllStringSubmatch(line, -1) {
				p.anchor[a[1]] = true
			}
		}
	}
	p.prose = inlineCode.ReplaceAllStringFunc(prose.String(), func(code string) string {
		p.inline = append(p.inline, strings.Trim(code, "`"))
		return "code"
	})
	return p
}

// pageOf reads one page.
func pageOf(t *testing.T, name string) page {
	t.Helper()
	b, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return readPage(name, string(b))
}
