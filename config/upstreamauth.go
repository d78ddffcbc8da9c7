package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/inject"
)

// UpstreamAuth signs people in at an app that has users of its own. One of the three
// is set.
type UpstreamAuth struct {
	// Basic is HTTP Basic (RFC 7617).
	Basic *BasicAuth `yaml:"basic"`
	// APIKey is one key for everybody.
	APIKey *KeyAuth `yaml:"api_key"`
	// Form is the app's own login form, filled in by the gateway.
	Form *FormAuth `yaml:"form"`
}

// BasicAuth is HTTP Basic (RFC 7617).
type BasicAuth struct {
	// User may hold placeholders.
	User string `yaml:"user"`
	// PasswordFile holds the password.
	PasswordFile string `yaml:"password_file"`
}

// KeyAuth is one key for everybody.
type KeyAuth struct {
	// Header is what the key goes in.
	Header string `yaml:"header"`
	// Prefix stands in front of the key.
	Prefix string `yaml:"prefix"`
	// File holds the key.
	File string `yaml:"file"`
}

// FormAuth is the app's own login form, filled in by the gateway.
type FormAuth struct {
	// Login is the path of the page with the form, as the app knows it.
	Login string `yaml:"login"`
	// User may hold placeholders; "" is for apps that ask for a password alone.
	User string `yaml:"user"`
	// PasswordFile has one password for everybody; Password is made of claims.
	PasswordFile string `yaml:"password_file"`
	Password     string `yaml:"password"`
	// UserField and PasswordField name the fields; "" finds them.
	UserField     string `yaml:"user_field"`
	PasswordField string `yaml:"password_field"`
	// Fields are filled in besides.
	Fields map[string]string `yaml:"fields"`
	// LoginStatuses mean that the app wants a sign-in; nil is 401.
	LoginStatuses []int `yaml:"login_statuses"`
	// LoginInPage says that the form comes in place of any page.
	LoginInPage bool `yaml:"login_in_page"`
	// SuccessCookie is one that only who is signed in gets; "" is any.
	SuccessCookie string `yaml:"success_cookie"`
	// BrowserCookies are the app's cookies that its scripts need.
	BrowserCookies []string `yaml:"browser_cookies"`
	// Logout is the path by which the app signs people out; "" is none.
	Logout string `yaml:"logout"`
}

// secretFile is a file that a key names.
type secretFile struct {
	key  string
	name *string
}

// files are the secrets that a names, if any.
func (a *UpstreamAuth) files() (all []secretFile) {
	add := func(key string, name *string) {
		if *name != "" {
			all = append(all, secretFile{key, name})
		}
	}
	if a.Basic != nil {
		add("basic.password_file", &a.Basic.PasswordFile)
	}
	if a.APIKey != nil {
		add("api_key.file", &a.APIKey.File)
	}
	if a.Form != nil {
		add("form.password_file", &a.Form.PasswordFile)
	}
	return all
}

func (c *Config) checkUpstreamAuth(r *Route, route string) {
	a, path := r.UpstreamAuth, route+".upstream_auth"
	ways := 0
	for _, there := range []bool{a.Basic != nil, a.APIKey != nil, a.Form != nil} {
		if there {
			ways++
		}
	}
	if ways != 1 {
		hint := "keep one of them"
		if ways == 0 {
			hint = `add one of them, such as basic: { user: "{user}", password_file: app.password }`
		}
		if n := c.doc.node(path); ways > 1 || len(n.Content) == 0 {
			c.wrong(hint, path, "want one of basic, api_key and form, got %d", ways)
		}
		return
	}
	switch {
	case a.Basic != nil:
		c.needs(a.Basic.User, path+".basic", "user", `user: "{user}"`)
		c.needs(a.Basic.PasswordFile, path+".basic", "password_file", "password_file: app.password")
		if c.given(path + ".basic.user") {
			c.checkTemplate(a.Basic.User, path+".basic.user")
		}
		c.checkCredential(r, route, "Authorization", path+".basic")
	case a.APIKey != nil:
		c.needs(a.APIKey.Header, path+".api_key", "header", "header: X-Api-Key")
		c.needs(a.APIKey.File, path+".api_key", "file", "file: app.key")
		c.checkKeyHeader(a.APIKey, path+".api_key")
		c.checkCredential(r, route, a.APIKey.Header, path+".api_key.header")
	default:
		c.checkForm(r, route, path+".form")
	}
}

// needs notes a key that is missing.
func (c *Config) needs(value, path, key, example string) {
	if value == "" {
		c.wrong("add a line such as "+example, path, "%s is missing", key)
	}
}

func (c *Config) checkKeyHeader(k *KeyAuth, path string) {
	if k.Header == "" {
		return
	}
	why := inject.RequestRefusal(k.Header)
	switch {
	case !isToken(k.Header) || len(k.Header) > inject.MaxName:
		c.wrong("", path+".header", "%q is no header name of 1 to %d bytes", k.Header, inject.MaxName)
	case why != "" && inject.Fold(k.Header) != "authorization":
		c.wrong("take another name", path+".header", "%s is not a route's to set: %s", k.Header, why)
	}
	if strings.ContainsFunc(k.Prefix, func(r rune) bool { return r < ' ' || r > '~' }) || strings.HasPrefix(k.Prefix, " ") {
		c.wrong(`write it as "Token "`, path+".prefix", "%q cannot begin a header", k.Prefix)
	}
}

// checkCredential refuses what would be sent in the same header as a credential.
func (c *Config) checkCredential(r *Route, route, header, path string) {
	same := func(name string) bool { return inject.Fold(name) == inject.Fold(header) }
	if same("Authorization") {
		if r.Token.Type != "" && r.Token.Type != "none" || r.Token.Type == "" && c.given(route+".token") {
			c.wrong("leave token out, or write token: { type: none }", route+".token", "upstream_auth is sent in Authorization, and so would the token be")
		}
		if r.Bearer {
			c.wrong("keep one of the two", route+".bearer", "upstream_auth is sent in Authorization, and so is a client's own token")
		}
	}
	for i, name := range r.PassHeaders {
		if same(name) {
			c.wrong("keep one of the two", fmt.Sprintf("%s.pass_headers[%d]", route, i), "%s is let through here, and is what upstream_auth signs in with", name)
		}
	}
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(r.RequestHeaders.Set)), slices.Sorted(maps.Keys(r.RequestHeaders.Add)), r.RequestHeaders.Remove) {
		if same(name) && !same("Authorization") {
			c.wrong("keep one of the two", path, "%s is in request_headers too", name)
		}
	}
}

func (c *Config) checkForm(r *Route, route, path string) {
	f := r.UpstreamAuth.Form
	c.needs(f.Login, path, "login", "login: /login")
	c.checkAppPath(f.Login, path+".login")
	c.checkAppPath(f.Logout, path+".logout")
	if f.User != "" || c.given(path+".user") {
		c.checkTemplate(f.User, path+".user")
	}
	switch {
	case f.Password != "" && f.PasswordFile != "":
		c.wrong("keep one of the two", path+".password", "there is a password_file as well")
	case f.Password == "" && f.PasswordFile == "":
		c.wrong("add a line such as password_file: app.password", path, "password_file is missing")
	case f.Password != "":
		if c.checkTemplate(f.Password, path+".password"); !strings.Contains(f.Password, "{claims.") {
			c.wrong("write the password into a file of its own: password_file", path+".password", "it is made of no claim, such as {claims.wiki_password}")
		}
	}
	if f.UserField != "" && f.User == "" {
		c.wrong(`add a line such as user: "{user}"`, path+".user_field", "there is no user to fill in")
	}
	if c.given(path+".login_statuses") && len(f.LoginStatuses) == 0 {
		c.wrong("leave the line out for 401", path+".login_statuses", "the list is empty")
	}
	for i, status := range f.LoginStatuses {
		if status < 400 || status > 599 {
			c.wrong("", fmt.Sprintf("%s.login_statuses[%d]", path, i), "want a status from 400 to 599, got %d", status)
		}
	}
	if f.SuccessCookie != "" && !isToken(f.SuccessCookie) {
		c.wrong("", path+".success_cookie", "%q is no name for a cookie", f.SuccessCookie)
	}
	for i, name := range f.BrowserCookies {
		switch {
		case !isToken(name):
			c.wrong("", fmt.Sprintf("%s.browser_cookies[%d]", path, i), "%q is no name for a cookie", name)
		case name == f.SuccessCookie:
			c.wrong("keep one of the two", fmt.Sprintf("%s.browser_cookies[%d]", path, i), "%s is who is signed in, and not the browser's to have", name)
		}
	}
	if r.Public {
		c.wrong("remove public", route+".public", "upstream_auth.form keeps the app's cookies with a session, and a public route has none for everybody")
	}
	if r.Bearer {
		c.wrong("keep one of the two", route+".bearer", "upstream_auth.form keeps the app's cookies with a session, and a client with a token of its own has none")
	}
}

// checkAppPath looks at a path of the app's, with a query if it has one.
func (c *Config) checkAppPath(p, path string) {
	if !c.given(path) {
		return
	}
	u, err := url.Parse(p)
	if err != nil || !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || u.Fragment != "" || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		c.wrong("write it as /login or /index.php?do=login", path, "%q is no path of the app", p)
	}
}
