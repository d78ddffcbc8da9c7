package web

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Templates are an operator's own pages. For what goes wrong there is error.html, or
// one for a status (error-404.html) or a class of them (error-5xx.html), which comes
// first. The others have the names of the gateway's own (login.html). They are whole
// documents. Files whose names begin with _ are pieces that all of them may include.
type Templates struct {
	errors  map[string]*template.Template // by what stands behind "error"
	whole   map[string]*template.Template // by the name of the page
	samples map[string][]Sample
	style   *asset
}

// Sample is what a page may have to show, for trying a template of it.
type Sample struct {
	Page Page
	// Must is what the page has to hold, or it does not work: the fields of its form.
	Must []string
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

// LoadTemplates reads the templates of a folder. What it returns as an error names file
// and line. Samples are the pages that there are, by name, but for those of errors;
// NewLook tries each template with them.
func LoadTemplates(dir string, samples map[string][]Sample) (*Templates, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	p := &Templates{errors: map[string]*template.Template{}, whole: map[string]*template.Template{}, samples: samples}
	base := template.New("").Funcs(english.funcs())
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
			p.style = newAsset("text/css; charset=utf-8", text)
		case strings.HasPrefix(name, "_"):
			if _, err := base.New(name).Parse(string(text)); err != nil {
				return nil, templateError(err)
			}
		case errorFile.MatchString(name) || samples[strings.TrimSuffix(name, ".html")] != nil:
			texts[name] = string(text)
		default:
			return nil, fmt.Errorf("%s: no page has this name: want error.html, error-404.html or error-5xx.html, %sor a _ in front of a piece that these include",
				name, otherPages(samples))
		}
	}
	if len(texts) == 0 && p.style == nil {
		return nil, fmt.Errorf("there is no error.html in %s, nor another page or style.css", dir)
	}
	for name, text := range texts {
		t, err := base.Clone()
		if err == nil {
			t, err = t.New(name).Parse(text)
		}
		if err != nil {
			return nil, templateError(err)
		}
		if m := errorFile.FindStringSubmatch(name); m != nil {
			p.errors[m[1]] = t
		} else {
			p.whole[strings.TrimSuffix(name, ".html")] = t
		}
	}
	return p, nil
}

func otherPages(samples map[string][]Sample) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		b.WriteString(name + ".html, ")
	}
	return b.String()
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
func (p *Templates) try(k *Look) error {
	if p == nil {
		return nil
	}
	in := k.speaks.all[0]
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
			if _, err := p.render(k, t, e, in, "SAMPLE", "apps.example.com"); err != nil {
				return &LookError{"templates", err}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.whole)) {
		for _, sample := range p.samples[name] {
			sample.Page.RequestID, sample.Page.Host = "SAMPLE", "apps.example.com"
			body, err := p.page(k, name, framed{sample.Page, in, k})
			if err != nil {
				return &LookError{"templates", err}
			}
			for _, must := range sample.Must {
				if !bytes.Contains(body, []byte(must)) {
					return &LookError{"templates", fmt.Errorf("%s.html: the page does not work without %s, and it is missing where the page is made with sample data", name, must)}
				}
			}
		}
	}
	return nil
}

// page makes a page of the operator's, or nothing where there is none.
func (p *Templates) page(k *Look, name string, f framed) ([]byte, error) {
	if p == nil || p.whole[name] == nil {
		return nil, nil
	}
	return p.make(k, p.whole[name], f.in, f)
}

// make executes t.
func (p *Templates) make(k *Look, t *template.Template, in *tongue, view any) ([]byte, error) {
	ready, err := k.template(t, in)
	if err != nil {
		return nil, err
	}
	body := bounded{most: maxPage}
	switch err := ready.Execute(&body, view); {
	case errors.Is(err, errLongPage):
		return nil, fmt.Errorf("%s: %w", t.Name(), err)
	case err != nil:
		return nil, templateError(err)
	}
	return body.Bytes(), nil
}

// of is the template for a status, or nil.
func (p *Templates) of(status int) *template.Template {
	if p == nil {
		return nil
	}
	for _, name := range []string{"-" + strconv.Itoa(status), "-" + strconv.Itoa(status/100) + "xx", ""} {
		if t := p.errors[name]; t != nil {
			return t
		}
	}
	return nil
}

func (p *Templates) render(k *Look, t *template.Template, e *Error, in *tongue, id, host string) ([]byte, error) {
	view := ErrorView{Status: e.status(), StatusText: http.StatusText(e.status()), Title: in.plain(Text{e.title(), e.Args}),
		Detail: in.plain(Text{e.Detail, e.Args}), Code: e.Code, RequestID: id, Host: host, RetryAfter: max(0, seconds(e.RetryAfter)),
		Stylesheet: p.stylesheet(), Lang: in.tag.String(), Dir: in.dir()}
	for _, l := range e.Links {
		view.Links = append(view.Links, ErrorLink{in.plain(Text{l.Text, e.Args}), l.URL})
	}
	return p.make(k, t, in, view)
}

// stylesheet is the address of style.css of the folder, or of the gateway's own.
func (p *Templates) stylesheet() string {
	if sheet := p.sheet(); sheet != nil {
		return sheet.at(StylesheetPath)
	}
	return stylesheet()
}

func (p *Templates) sheet() *asset {
	if p == nil {
		return nil
	}
	return p.style
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
