package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrorPages are an operator's own templates for what goes wrong: error.html, or
// one for a status (error-404.html) or a class of them (error-5xx.html), which comes
// first. They are whole documents. Files whose names begin with _ are pieces that
// all of them may include. The zero value has none.
type ErrorPages struct {
	pages map[string]*template.Template // by what stands behind "error"
	style []byte
	hash  string
}

// ErrorView is what such a template knows.
type ErrorView struct {
	// Status is the HTTP status, and StatusText its name: 404, "Not Found".
	Status     int
	StatusText string
	// Title says what happened in a few words, Detail what it means and what to do.
	Title, Detail string
	// Code is a stable name of what happened, such as "no_route"; it may be "".
	Code string
	// RequestID finds the request in the log.
	RequestID string
	// Host is where the browser believes to be.
	Host string
	// Links are what to do next, the main thing first. There may be none.
	Links []ErrorLink
	// RetryAfter is in how many seconds to try again; 0 says nothing.
	RetryAfter int
	// Stylesheet is the address of style.css in the folder of the templates, or of the
	// gateway's own where there is none.
	Stylesheet string
	// Lang is the language that Title, Detail and Links are in, such as "de", and Dir is
	// which way it is written: "ltr" or "rtl".
	Lang, Dir string
}

// ErrorLink is something to do next.
type ErrorLink struct{ Text, URL string }

// maxPage bounds a file of the templates, and what one of them makes.
const maxPage = 1 << 20

// StylesheetPath is where Stylesheet is served.
const StylesheetPath = "/.evergate/pages.css"

var errorFile = regexp.MustCompile(`^error(-[45](?:\d\d|xx))?\.html$`)

// LoadErrorPages reads the templates of a folder, and has each of them make a page of
// every error that it is for. What it returns as an error names file and line.
func LoadErrorPages(dir string) (*ErrorPages, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	p := &ErrorPages{pages: map[string]*template.Template{}}
	base := template.New("")
	texts := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		page, style := strings.HasSuffix(name, ".html"), name == "style.css"
		if !page && !style {
			continue
		}
		text, err := readPage(filepath.Join(dir, name))
		switch {
		case err != nil:
			return nil, err
		case style:
			sum := sha256.Sum256(text)
			p.style, p.hash = text, hex.EncodeToString(sum[:6])
		case strings.HasPrefix(name, "_"):
			if _, err := base.New(name).Parse(string(text)); err != nil {
				return nil, templateError(err)
			}
		case errorFile.MatchString(name):
			texts[name] = string(text)
		default:
			return nil, fmt.Errorf("%s: no page has this name: want error.html, error-404.html or error-5xx.html, or a _ in front of a piece that these include", name)
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("there is no error.html in %s", dir)
	}
	for name, text := range texts {
		t, err := base.Clone()
		if err == nil {
			t, err = t.New(name).Parse(text)
		}
		if err != nil {
			return nil, templateError(err)
		}
		p.pages[errorFile.FindStringSubmatch(name)[1]] = t
	}
	return p, p.try()
}

func readPage(name string) ([]byte, error) {
	if fi, err := os.Stat(name); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() || fi.Size() > maxPage {
		return nil, fmt.Errorf("%s: want a file of 1 MiB at most", filepath.Base(name))
	}
	return os.ReadFile(name)
}

// try makes every page once: with all there is to say, and with as little as there
// may be.
func (p *ErrorPages) try() error {
	for status := 400; status < 600; status++ {
		t := p.of(status)
		if t == nil || http.StatusText(status) == "" {
			continue
		}
		for _, e := range []*Error{
			{Status: status},
			{Status: status, Code: "sample", Title: Verbatim("Something is amiss"), Detail: Verbatim("This is a sample."), RetryAfter: time.Second,
				Links: []Link{{"Try again", "/page?a=b"}, {"Use another account", "/.evergate/logout"}}},
		} {
			if _, err := p.render(t, e, english, "SAMPLE", "apps.example.com"); err != nil {
				return err
			}
		}
	}
	return nil
}

// of is the template for a status, or nil.
func (p *ErrorPages) of(status int) *template.Template {
	if p == nil {
		return nil
	}
	for _, name := range []string{"-" + strconv.Itoa(status), "-" + strconv.Itoa(status/100) + "xx", ""} {
		if t := p.pages[name]; t != nil {
			return t
		}
	}
	return nil
}

func (p *ErrorPages) render(t *template.Template, e *Error, in *tongue, id, host string) ([]byte, error) {
	view := ErrorView{Status: e.status(), StatusText: http.StatusText(e.status()), Title: in.plain(Text{e.title(), e.Args}),
		Detail: in.plain(Text{e.Detail, e.Args}), Code: e.Code, RequestID: id, Host: host, RetryAfter: max(0, seconds(e.RetryAfter)),
		Stylesheet: p.stylesheet(), Lang: in.tag.String(), Dir: in.dir()}
	for _, l := range e.Links {
		view.Links = append(view.Links, ErrorLink{in.plain(Text{l.Text, e.Args}), l.URL})
	}
	body := bounded{most: maxPage}
	switch err := t.Execute(&body, view); {
	case errors.Is(err, errLongPage):
		return nil, fmt.Errorf("%s: %w", t.Name(), err)
	case err != nil:
		return nil, templateError(err)
	}
	return body.Bytes(), nil
}

func (p *ErrorPages) stylesheet() string {
	if p.style == nil {
		return stylesheet()
	}
	return StylesheetPath + "?v=" + p.hash
}

// Stylesheet serves style.css of the folder; nil where there is none.
func (p *ErrorPages) Stylesheet() http.Handler {
	if p == nil || p.style == nil {
		return nil
	}
	return serveStyle(p.style, p.hash)
}

// templateError leaves the name of the file, line and column at the beginning of
// what the parser says.
func templateError(err error) error {
	s := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "html/"), "template:")
	return errors.New(strings.TrimSpace(s))
}

var errLongPage = errors.New("the page that it makes is longer than 1 MiB")

// bounded is a buffer that a template cannot fill without end.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, errLongPage
	}
	return b.Buffer.Write(p)
}
