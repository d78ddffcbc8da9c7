package web

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

// LookConfig is what an operator says of the pages. The zero value is the gateway's own.
type LookConfig struct {
	// Name is who runs the gateway: on every page, and in the title of the window.
	Name string
	// Logo is an SVG or a PNG in place of the name, and LogoDark the one on a dark ground.
	Logo, LogoDark []byte
	// Colors are those of the pages.
	Colors Colors
	// Links are at the foot of every page.
	Links []FooterLink
	// Help is where to ask for help or for access: https, mailto or a path. {request} in it
	// becomes the request id.
	Help string
	// Messages are files of messages by name: LANG.json adds a language or changes texts.
	Messages map[string][]byte
	// Templates are the operator's own pages, or nil.
	Templates *Templates
}

// FooterLink is a link at the foot of every page.
type FooterLink struct {
	// Text is what it says, by language; "" is for all the others.
	Text map[string]string
	URL  string
}

// Look is how the pages look and which languages they speak.
type Look struct {
	cfg              LookConfig
	speaks           *languages
	logo, dark, tint *asset
	made             sync.Map // *template.Template by made
}

// made is a page in a language.
type made struct {
	page *template.Template
	in   *tongue
}

// LookError says which key of LookConfig is wrong, such as "colors.accent".
type LookError struct {
	Key string
	Err error
}

func (e *LookError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *LookError) Unwrap() error { return e.Err }

var ownLook = &Look{speaks: spoken}

// NewLook returns a Look, or a *LookError.
func NewLook(cfg LookConfig) (*Look, error) {
	k := &Look{cfg: cfg}
	for i := range cfg.Links {
		if err := checkLink(cfg.Links[i].URL); err != nil {
			return nil, &LookError{fmt.Sprintf("links[%d].url", i), err}
		}
		for lang := range cfg.Links[i].Text {
			if _, err := language.Parse(lang); lang != "" && err != nil {
				return nil, &LookError{fmt.Sprintf("links[%d].text", i), fmt.Errorf("%q is no language (BCP 47), such as fr or pt-BR", lang)}
			}
		}
	}
	if cfg.Help != "" {
		if err := checkLink(strings.ReplaceAll(cfg.Help, helpRequest, "")); err != nil {
			return nil, &LookError{"help", err}
		}
	}
	var err error
	if k.logo, err = readLogo(cfg.Logo); err != nil {
		return nil, &LookError{"logo_file", err}
	}
	if k.dark, err = readLogo(cfg.LogoDark); err != nil {
		return nil, &LookError{"logo_dark_file", err}
	}
	if k.tint, err = cfg.Colors.sheet(); err != nil {
		return nil, err
	}
	if k.speaks, err = spoken.with(cfg.Messages); err != nil {
		return nil, &LookError{"messages", err}
	}
	return k, cfg.Templates.try(k)
}

const helpRequest = "{request}"

// checkLink lets pass what is safe to link to.
func checkLink(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no URL", s)
	case u.Scheme == "https" && u.Host != "", u.Scheme == "mailto" && u.Opaque != "",
		u.Scheme == "" && u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.ContainsAny(s, "\\\t\r\n"):
		return nil
	}
	return fmt.Errorf("%q is no link for a page: want https://…, mailto:… or a path such as /imprint", s)
}

// Languages are those that the pages speak.
func (k *Look) Languages() []string {
	all := make([]string, len(k.speaks.all))
	for i, l := range k.speaks.all {
		all[i] = l.tag.String()
	}
	return all
}

// tongue is the language for whoever sent r.
func (k *Look) tongue(r *http.Request) *tongue { return k.speaks.of(r.Header) }

// template is t in a language, ready to be executed. It is made when it is first needed,
// and lasts as long as the look.
func (k *Look) template(t *template.Template, in *tongue) (*template.Template, error) {
	key := made{t, in}
	if t, ok := k.made.Load(key); ok {
		return t.(*template.Template), nil
	}
	clone, err := t.Clone()
	if err != nil {
		return nil, fmt.Errorf("clone a page: %w", err)
	}
	got, _ := k.made.LoadOrStore(key, clone.Funcs(in.funcs()))
	return got.(*template.Template), nil
}

// framed is what the frame of a page is made of.
type framed struct {
	Page
	in   *tongue
	look *Look
}

// Lang is the language, for the element html.
func (f framed) Lang() string { return f.in.tag.String() }

// Dir is which way the language is written.
func (f framed) Dir() string { return f.in.dir() }

// Name is the title in the language, without markup.
func (f framed) Name() string { return f.in.plain(Text{f.Title, f.Args}) }

// Operator is who runs the gateway, or "".
func (f framed) Operator() string { return f.look.cfg.Name }

// Site is where the person is: at somebody's, or at a host.
func (f framed) Site() string {
	if f.look.cfg.Name != "" {
		return f.look.cfg.Name
	}
	return f.Host
}

// Colors is the address of the operator's colours, or "".
func (f framed) Colors() string { return f.look.tint.at(colorsPath) }

// Logo is the address of the logo, or "".
func (f framed) Logo() string { return f.look.logo.at(logoPath) }

// LogoDark is the address of the logo for a dark ground, or "".
func (f framed) LogoDark() string { return f.look.dark.at(logoDarkPath) }

// Help is where to ask, or "".
func (f framed) Help() string {
	return strings.ReplaceAll(f.look.cfg.Help, helpRequest, url.QueryEscape(f.RequestID))
}

// Footer are the links of the foot, in the language.
func (f framed) Footer() (links []ErrorLink) {
	base, _ := f.in.tag.Base()
	for _, l := range f.look.cfg.Links {
		text := l.Text[f.in.tag.String()]
		for _, lang := range []string{base.String(), "", "en"} {
			if text == "" {
				text = l.Text[lang]
			}
		}
		for _, other := range l.Text {
			if text == "" {
				text = other
			}
		}
		links = append(links, ErrorLink{text, l.URL})
	}
	return links
}
