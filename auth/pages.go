package auth

import (
	"embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

//go:embed pages/*.html
var pageFiles embed.FS

// parsePages parses all pages, by name.
func parsePages() (map[string]*web.Pages, error) {
	files, err := pageFiles.ReadDir("pages")
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	texts := map[string]string{}
	for _, f := range files {
		text, err := pageFiles.ReadFile("pages/" + f.Name())
		if err != nil {
			return nil, fmt.Errorf("read the pages: %w", err)
		}
		texts[strings.TrimSuffix(f.Name(), ".html")] = string(text)
	}
	return web.NewPages(texts)
}

// loginView is what the sign-in page shows.
type loginView struct {
	Host, Path string // where the person wants to go; Path is "" for the start page
	RD, Form   string // return target and kept form, as the page sends them back
	Why        string // how the last session ended, or ""
	Alert      string // why the last attempt failed, or ""
	Invalid    bool   // it failed because of what was typed
	Lost       string // why what was being sent is not kept, or ""
	User       string // typed before
	Remember   bool
	Password   bool // there is a way to sign in
}

// next is where a person goes who is signed in: on, or to send the kept form.
func (v *loginView) next() string {
	if v.Form != "" {
		return own("resend", "form", v.Form, "rd", v.RD)
	}
	return v.RD
}

type landedView struct {
	Causes   []string
	LoginURL string
}

type logoutView struct{ User, Name, Host, RD string }

type signedOutView struct{ User, Host, LoginURL string }

type framedView struct{ LoginURL string }

type resendView struct {
	User, Host, Path, ID, RD string
	Action                   template.HTMLAttr
	Bytes                    int
}
