package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/redirect"
)

// Redirect sends browsers elsewhere. In the file it is an address, or a mapping
// where there is more to say.
type Redirect struct {
	// To is a path, or https:// and a host; {path} and {rest} stand for parts of the
	// path that was asked for.
	To string `yaml:"to"`
	// Status is 301, 302, 303, 307 or 308.
	Status int `yaml:"status"`
	// KeepQuery takes the query along.
	KeepQuery bool `yaml:"keep_query"`
}

// Static serves the files of a folder.
type Static struct {
	// Dir is the folder.
	Dir string `yaml:"dir"`
	// Index is the file that is served for a folder.
	Index string `yaml:"index"`
	// Fallback, in Dir, is for pages that are not there; "" is none.
	Fallback string `yaml:"fallback"`
}

// Respond says the same to everybody.
type Respond struct {
	// Status is that of the answer; a redirect is a key of its own.
	Status int `yaml:"status"`
	// Body or BodyFile is what is said.
	Body     string `yaml:"body"`
	BodyFile string `yaml:"body_file"`
	// ContentType is the media type; left out, it is told by the name of BodyFile, or is plain text.
	ContentType string `yaml:"content_type"`
}

func (r *Redirect) setDefaults() { *r = Redirect{Status: 307} }
func (s *Static) setDefaults()   { *s = Static{Index: "index.html"} }
func (r *Respond) setDefaults()  { *r = Respond{Status: 200} }

// ways are the keys that say what a route does; it has one of them.
var ways = []string{"upstream", "redirect", "respond", "static", "admin"}

// checkWay sees to it that a route does one thing, and looks at that.
func (c *Config) checkWay(r *Route, path string) {
	first := ""
	for _, key := range ways {
		at := path + "." + key
		switch {
		case !c.given(at):
		case first == "":
			first = key
		default:
			c.wrong("keep one of the two", at, "a route has one of %s, and this one has %s on line %d",
				strings.Join(ways, ", "), first, c.doc.node(path+"."+first).Line)
		}
	}
	if first == "" && c.Decides(r) {
		c.checkDecides(path)
		return
	}
	if first == "" {
		c.wrong("add a line such as upstream: http://127.0.0.1:3000, or one of redirect, respond, static and admin", path, "upstream is missing")
		return
	}
	if r.Upstream != nil {
		c.checkUpstream(r.Upstream, path+".upstream")
		between(c, path+".timeouts.connect", r.Timeouts.Connect, 10*time.Millisecond, 10*time.Minute)
		between(c, path+".timeouts.response_header", r.Timeouts.ResponseHeader, 0, 24*time.Hour)
		between(c, path+".timeouts.idle", r.Timeouts.Idle, 10*time.Millisecond, 24*time.Hour)
	}
	if r.Redirect != nil {
		c.checkRedirect(r.Redirect, path+".redirect")
	}
	if r.Static != nil {
		c.checkStatic(r.Static, path+".static")
	}
	if r.Respond != nil {
		c.checkRespond(r.Respond, path+".respond")
	}
	if first == "admin" {
		c.checkDashboard(r, path)
	}
	if c.given(path+".compress") && len(r.Compress) == 0 {
		c.wrong("leave the line out to compress nothing", path+".compress", "the list is empty")
	}
	twice := map[string]bool{}
	for i, name := range r.Compress {
		if c.doc.full() {
			return
		}
		at := fmt.Sprintf("%s.compress[%d]", path, i)
		if oneOf(c, at, name, "zstd", "gzip"); twice[name] {
			c.wrong("remove it", at, "%s is there twice", name)
		}
		twice[name] = true
	}
	replaced := map[int]bool{}
	for i, status := range r.ReplaceErrors {
		if c.doc.full() {
			return
		}
		at := fmt.Sprintf("%s.replace_errors[%d]", path, i)
		if among(c, at, status, 500, 599); replaced[status] {
			c.wrong("remove it", at, "%d is there twice", status)
		}
		replaced[status] = true
	}
	if first != "upstream" {
		c.checkUpstreamKeys(path, first)
	}
}

// checkUpstreamKeys refuses what would say nothing without an upstream.
func (c *Config) checkUpstreamKeys(path, way string) {
	for _, key := range []string{"strip_prefix", "add_prefix", "rewrite", "host", "request_headers", "token", "cors_preflight",
		"pass_headers", "origins", "timeouts", "replace_errors"} {
		if c.given(path+"."+key) && !(key == "strip_prefix" && way == "static") {
			c.wrong("remove it", path+"."+key, "it is about what an upstream is sent and says, and this route has %s", way)
		}
	}
	if way == "static" && c.given(path+".path_chars") {
		c.wrong("remove it", path+".path_chars", "no file has a name with these")
	}
}

func (c *Config) checkRedirect(r *Redirect, path string) {
	at := path
	if c.given(path + ".to") {
		at += ".to"
	}
	if _, err := redirect.Parse(r.To); err != nil && !isNull(c.doc.node(at)) {
		hint := "write it as https://new.example.com/ or /new/{rest}"
		if unknown, ok := errors.AsType[*redirect.UnknownError](err); ok {
			hint = ""
			if near := nearest(unknown.Word, redirect.Words); near != "" {
				hint = "did you mean {" + near + "}?"
			} else if unknown.Word == "query" {
				hint = "keep_query: true takes the query along"
			}
		}
		c.wrong(hint, at, "%s", err)
	}
	c.note(path+".status", bounds{least: 301, most: 308})
	switch r.Status {
	case 301, 302, 303, 307, 308:
	default:
		c.wrong("", path+".status", "want 301, 302, 303, 307 or 308, got %d", r.Status)
	}
}

func (c *Config) checkStatic(s *Static, path string) {
	if s.Dir == "" {
		c.wrong("add:  dir: /srv/www", path, "dir is missing")
	}
	if s.Index == "" || strings.ContainsAny(s.Index, `/\`) || s.Index == "." || s.Index == ".." {
		c.wrong("write index: index.html", path+".index", "want the name of a file, got %q", s.Index)
	}
	if c.given(path+".fallback") && (!fs.ValidPath(s.Fallback) || s.Fallback == ".") {
		c.wrong("write fallback: index.html", path+".fallback", "want a file in dir, relative to it, got %q", s.Fallback)
	}
}

func (c *Config) checkRespond(r *Respond, path string) {
	has := r.Body != "" || r.BodyFile != ""
	among(c, path+".status", r.Status, 200, 599)
	switch {
	case r.Status >= 300 && r.Status < 400:
		c.wrong("write redirect: https://…", path+".status", "%d is a redirect, which is a key of its own", r.Status)
	case has && (r.Status == 204 || r.Status == 205):
		c.wrong("", path+".status", "an answer of %d has no body", r.Status)
	}
	if r.Body != "" && r.BodyFile != "" {
		c.wrong("keep one of the two", path+".body_file", "there is a body already")
	}
	if c.given(path+".content_type") && !validMediaType(r.ContentType) {
		c.wrong("write it as text/html; charset=utf-8", path+".content_type", "%q is no media type", r.ContentType)
	}
	if c.given(path+".content_type") && !has {
		c.wrong("remove it", path+".content_type", "there is neither body nor body_file")
	}
}

// validMediaType is RFC 9110 section 8.3.1, of which a header can be made.
func validMediaType(s string) bool {
	kind, _, _ := strings.Cut(s, ";")
	a, b, ok := strings.Cut(strings.TrimSpace(kind), "/")
	return ok && isToken(a) && isToken(b) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f })
}

// resolveAnswers makes the paths of routes that answer by themselves, and of pages,
// absolute.
func (c *Config) resolveAnswers(in func(*string)) {
	for _, p := range []*string{&c.Pages.Templates, &c.Pages.Messages, &c.Pages.LogoFile, &c.Pages.LogoDarkFile} {
		in(p)
	}
	for _, r := range c.Routes {
		if r.Static != nil {
			in(&r.Static.Dir)
		}
		if r.Respond != nil {
			in(&r.Respond.BodyFile)
		}
	}
}

// String says what the route leads to, for people.
func (r *Route) String() string {
	switch {
	case r.Upstream != nil:
		return r.Upstream.String()
	case r.Redirect != nil:
		return "a redirect to " + r.Redirect.To
	case r.Static != nil:
		return "the files in " + r.Static.Dir
	case r.Respond != nil:
		return fmt.Sprintf("a fixed answer (%d)", r.Respond.Status)
	case r.Admin:
		return "the dashboard"
	}
	return "apps behind the proxy in front"
}
