package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/web"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed pages/style.css pages/dashboard.js uplot/uPlot.iife.min.js uplot/uPlot.min.css
var assetFiles embed.FS

// contentPolicy lets nothing run, draw or send but what is served here, and no text
// become a script.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// page is what the frame of a page knows.
type page struct {
	// Title says the state first.
	Title string
	// Here names the page in the menu; "" is a page that is not in it.
	Here string
	// Live has the page updated while it is open.
	Live    bool
	Visitor visitor
	Data    any
}

// Private says that there is something to sign out of here.
func (p page) Private() bool { return p.Visitor.private }

// templates are parsed for the first page that somebody looks at: most commands show none,
// and most gateways none for days. What is compiled in parses in every test, or never.
var templates = sync.OnceValue(func() map[string]*template.Template {
	base := template.Must(template.New("").Funcs(template.FuncMap{"asset": assetAddress, "sessionsURL": sessionsURL}).ParseFS(pageFiles, "pages/frame.html", "pages/parts.html"))
	all := map[string]*template.Template{}
	for _, name := range []string{"overview", "timeline", "sessions", "revoke", "revoked", "config", "signin"} {
		all[name] = template.Must(template.Must(base.Clone()).ParseFS(pageFiles, "pages/"+name+".html"))
	}
	return all
})

// Known says that somebody is there who may look.
func (v visitor) Known() bool { return v.actor != "" }

// render answers with a page.
func (h *Handler) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	var body bytes.Buffer
	if err := templates()[name].ExecuteTemplate(&body, "frame", p); err != nil {
		if note := web.NoteIn(r.Context()); note != nil {
			note.Err = err
		}
		http.Error(w, "this page cannot be shown: "+name, http.StatusInternalServerError)
		return
	}
	header := w.Header()
	web.SecurityHeaders(header)
	header.Set("Content-Security-Policy", contentPolicy)
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes())
	}
}

// asset is a file that pages name. Its address holds a digest, so that no page is shown
// with an older one.
type asset struct {
	text   []byte
	kind   string
	digest string
}

var assets = func() map[string]*asset {
	all := map[string]*asset{}
	for name, file := range map[string]string{"style.css": "pages/style.css", "dashboard.js": "pages/dashboard.js", "uplot.js": "uplot/uPlot.iife.min.js", "uplot.css": "uplot/uPlot.min.css"} {
		text, err := assetFiles.ReadFile(file)
		if err != nil {
			panic(err) // what is compiled in is there in every test, or never
		}
		sum := sha256.Sum256(text)
		kind := "text/css; charset=utf-8"
		if strings.HasSuffix(name, ".js") {
			kind = "text/javascript; charset=utf-8"
		}
		all[name] = &asset{text, kind, hex.EncodeToString(sum[:6])}
	}
	return all
}()

const assetFolder = "/assets/"

// assetAddress is where a page finds one, relative to it.
func assetAddress(name string) string {
	if name == "icon.svg" {
		return assetFolder[1:] + name
	}
	return assetFolder[1:] + assets[name].digest + "/" + name
}

// asset answers if r asks for one.
func (h *Handler) asset(w http.ResponseWriter, r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, assetFolder)
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if rest == "icon.svg" {
		web.Icon().ServeHTTP(w, r)
		return true
	}
	digest, name, _ := strings.Cut(rest, "/")
	a := assets[name]
	if a == nil || a.digest != digest {
		http.NotFound(w, r)
		return true
	}
	header := w.Header()
	header.Set("Content-Type", a.kind)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.text))
	return true
}

func (h *Handler) showOverview(w http.ResponseWriter, r *http.Request, v visitor) {
	o := h.overview()
	h.render(w, r, http.StatusOK, "overview", page{Title: titles[o.Level], Here: "overview", Live: true, Visitor: v, Data: o})
}

// titles say in the browser's tab how it is.
var titles = map[string]string{"good": "All is well", "warn": "Look here", "bad": "Trouble"}

// timelineView is the page of what happened.
type timelineView struct {
	AsOf     Cell
	Timeline Table
}

func (h *Handler) timelineView() *timelineView {
	now := h.now()
	return &timelineView{moment(now, now), h.timelineTable("timeline", "What happened, the newest first", 2*keepMoments, now)}
}

func (h *Handler) showTimeline(w http.ResponseWriter, r *http.Request, v visitor) {
	h.render(w, r, http.StatusOK, "timeline", page{Title: "What happened", Here: "timeline", Live: true, Visitor: v, Data: h.timelineView()})
}
