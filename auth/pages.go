package auth

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed pages/login.js
var loginScript []byte

//go:embed pages/passkey.js
var passkeyScript []byte

// scriptText is the one script of the pages: templates of an operator's name one.
var scriptText = append(append([]byte{}, loginScript...), passkeyScript...)

// scriptURL is the address of it. A new text has a new
// one, as the stylesheet does.
var scriptURL = func() string {
	sum := sha256.Sum256(scriptText)
	return own("login.js", "v", hex.EncodeToString(sum[:6]))
}()

func script(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "login.js", time.Time{}, bytes.NewReader(scriptText))
	return nil
}

// Script is what serves one of the scripts of the pages, or nil.
func Script(path string) web.Handler {
	return map[string]web.Handler{own("login.js"): script, own("session.js"): sessionJS}[path]
}

// ParsePages parses all pages, by name.
func ParsePages() (map[string]*web.Pages, error) {
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
		if name, ok := strings.CutSuffix(f.Name(), ".html"); ok {
			texts[name] = string(text)
		}
	}
	return web.NewPages(texts)
}

// loginView is what the sign-in page shows.
type loginView struct {
	Host, Path string      // where the person wants to go; Path is "" for the start page
	goal                   // as the page sends it back
	Kept       bool        // what was being sent is kept
	Why        web.Message // how the last session ended, or ""
	Alert      web.Text    // why the last attempt failed, or ""
	Invalid    bool        // it failed because of what was typed
	Lost       web.Message // why what was being sent is not kept, or ""
	User       string      // typed before
	Remember   bool
	Password   bool // people can sign in by password
	Passkey    bool // and by a passkey alone
	Providers  []straightView
	Further    *Login // who is signed in and has to sign in once more, or nil
}

// Account is who is signed in and is asked again, or nil.
func (v loginView) Account() any {
	if v.Further == nil {
		return nil
	}
	return accountName(v.Further)
}

// Asked is what the address asks for.
func (v loginView) Asked() web.Text { return v.Demand.inWords() }

// Hidden are the fields that bring the demand back, by name.
func (v loginView) Hidden() map[string]string {
	fields := map[string]string{}
	if v.To == "" {
		for pair := range slices.Chunk(v.Demand.params(), 2) {
			if pair[1] != "" {
				fields[pair[0]] = pair[1]
			}
		}
	}
	return fields
}

// straightView is a way to a provider.
type straightView struct{ Label, URL, RD string }

// provingView is the way once more to the page that it was shown for.
type provingView struct{ URL, RD string }

type landedView struct {
	Causes   []web.Text
	LoginURL string
}

type logoutView struct {
	User, Name, Host, RD, To, Back, Provider string
	Why                                      web.Message // in place of who: they have to sign in again
}

type signedOutView struct{ User, Host, Still, LoginURL string }

type framedView struct {
	Again    bool // somebody is signed in, and has to sign in once more
	LoginURL string
}

type resendView struct {
	User, Host, Path, ID, RD string
	Action                   template.HTMLAttr
	Size                     web.Text
}
