package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
)

func (p *program) pagesCmd() *cobra.Command {
	var path, address string
	cmd := &cobra.Command{
		Use: "pages", Short: "Show every page that people may see, as the config has them",
		Long: "Show every page that people may see of the gateway, in each language, with sample data:\n" +
			"with the name, the colours, the texts and the templates of the config. The config is read\n" +
			"anew for each page, so that a change shows when it is loaded again. Nothing that is typed\n" +
			"or clicked there does anything.",
		Example: "  evergate pages --config evergate.yaml\n  evergate pages --config evergate.yaml --listen 127.0.0.1:9000",
		Args:    exactly(0, ""),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.pages(cmd.Context(), path, address) },
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&address, "listen", "127.0.0.1:0", "address to show them at; port 0 is any that is free")
	return cmd
}

func (p *program) pages(ctx context.Context, path, address string) error {
	file, err := configPath(path)
	if err != nil {
		return err
	}
	pages, err := auth.ParsePages()
	if err != nil {
		return err
	}
	g := &gallery{pages: pages, look: func() (*web.Look, error) {
		cfg, err := config.Load(file)
		if err != nil {
			return nil, err
		}
		return buildLook(cfg, false)
	}}
	if _, err := g.look(); err != nil { // at once, and not on the first page
		return err
	}
	l, err := listen(address, "--listen")
	if err != nil {
		return err
	}
	stop := serveBeside(l, g)
	defer stop()
	fmt.Fprintf(p.out, "url http://%s/\n", l.Addr())
	fmt.Fprintln(p.err, "Open it in a browser. Ctrl-C ends it.")
	<-ctx.Done()
	return nil
}

// gallery shows all pages, with sample data.
type gallery struct {
	pages map[string]*web.Pages
	look  func() (*web.Look, error)
}

// ServeHTTP implements http.Handler.
func (g *gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	look, err := g.look()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if asset, ok := look.Assets()[r.URL.Path]; ok {
		asset.ServeHTTP(w, r)
		return
	}
	switch r.URL.Path {
	case "/":
		g.index(w, look)
		return
	case "/.evergate/style.css":
		web.Assets().ServeHTTP(w, r)
		return
	case "/.evergate/icon.svg":
		web.Icon().ServeHTTP(w, r)
		return
	}
	if script := auth.Script(r.URL.Path); script != nil {
		script.ServeHTTP(w, r)
		return
	}
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "text/html")
	if lang := r.FormValue("lang"); lang != "" {
		r.Header.Set("Accept-Language", lang)
	}
	web.Serve(web.Handler(g.page), web.Options{Look: look}).ServeHTTP(w, r)
}

// page is /NAME/N for the sample N of a page, or /error/N.
func (g *gallery) page(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	name, number, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	n, err := strconv.Atoi(number)
	if errs := sampleErrors(); name == "error" && err == nil && n >= 0 && n < len(errs) {
		return errs[n]
	}
	if all := auth.PageSamples()[name]; err == nil && n >= 0 && n < len(all) {
		page := all[n].Page
		if name == "straight" || name == "proving" {
			page.Script = "" // they would go on before anybody has seen them
		}
		return g.pages[name].Write(w, r, http.StatusOK, page)
	}
	return &web.Error{Status: http.StatusNotFound, Code: "not_found", Title: "There is no such page", Links: []web.Link{{Text: "Go to the start page", URL: "/"}}}
}

// sampleErrors are errors as people meet them.
func sampleErrors() []*web.Error {
	again := []web.Link{{Text: "Try again", URL: "/"}}
	return []*web.Error{
		{Status: http.StatusForbidden, Code: "not_allowed", Title: "You may not open this page", Detail: "You are signed in as {user}. This page needs {missing}.", Help: true,
			Args: web.Args{"user": "alice", "missing": web.T("group {names}", "names", "staff")}, Links: []web.Link{{Text: "Use another account", URL: "/logout/0"}}},
		{Status: http.StatusNotFound, Code: "no_route", Title: "Nothing is served at this address", Detail: "No route knows this path."},
		{Status: http.StatusTooManyRequests, Code: "rate_limited", Title: "Too many requests", RetryAfter: time.Minute, Links: again,
			Detail: "More requests came in your name than are served here in so short a time. Wait a moment, and go on."},
		{Status: http.StatusBadGateway, Code: "upstream_down", Title: "The app does not answer properly", Links: again,
			Detail: "The app behind this address cannot be reached or broke off. Try again in a moment."},
		{Status: http.StatusServiceUnavailable, Code: "provider_unavailable", Title: "{provider} does not answer", Links: []web.Link{{Text: "Try again now", URL: "/"}},
			Detail: "You sign in at {provider}, and it cannot be reached for the moment. Nothing is wrong with your account. This page tries again by itself in {wait}.",
			Args:   web.Args{"provider": "Corp", "wait": web.T("{count} seconds", "count", 3)}},
		{Status: http.StatusGatewayTimeout, Code: "upstream_timeout", Title: "The app takes too long to answer", Links: again,
			Detail: "The app behind this address did not answer in time. It may be busy: try again in a moment."},
		{Status: http.StatusInternalServerError, Code: "internal", Err: errors.New("a sample")},
	}
}

var galleryIndex = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Every page</title>
<link rel="stylesheet" href="/.evergate/style.css">
<main>
<h1>Every page</h1>
<ul>
{{range .Pages}}<li>{{.Name}}: {{range $n := .Samples}}{{range $.Languages}}<a href="/{{$n}}?lang={{.}}">{{$n}} {{.}}</a> {{end}}{{end}}</li>
{{end}}</ul>
</main>
</html>
`))

func (g *gallery) index(w http.ResponseWriter, look *web.Look) {
	type row struct {
		Name    string
		Samples []string // NAME/N
	}
	var rows []row
	counts := map[string]int{"error": len(sampleErrors())}
	for name, all := range auth.PageSamples() {
		counts[name] = len(all)
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		r := row{Name: name}
		for n := range counts[name] {
			r.Samples = append(r.Samples, name+"/"+strconv.Itoa(n))
		}
		rows = append(rows, r)
	}
	web.SecurityHeaders(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = galleryIndex.Execute(w, map[string]any{"Pages": rows, "Languages": look.Languages()})
}
