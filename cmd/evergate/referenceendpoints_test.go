package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// endpointRow is a row of docs/reference/endpoints.md.
type endpointRow struct {
	path    string
	methods []string
	host    string
}

func endpointRows(t *testing.T, section string) (rows []endpointRow) {
	t.Helper()
	b, err := os.ReadFile(referenceFolder + "endpoints.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "## "+section+"\n")
	if !ok {
		t.Fatalf("there is no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([A-Za-z, ]+) \\| ([a-z]*)").FindAllStringSubmatch(text, -1) {
		rows = append(rows, endpointRow{m[1], strings.Split(m[2], ", "), m[3]})
	}
	if len(rows) == 0 {
		t.Fatalf("there is no row under %q", section)
	}
	return rows
}

// TestEndpointsReference asks the gateway for each endpoint of the page: it is there, for these
// methods and no other, and on these hosts.
func TestEndpointsReference(t *testing.T) {
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"users.yaml": "users: {}\n", "client.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	for _, secret := range []string{"users.yaml", "client.pem"} {
		if err := os.Chmod(filepath.Join(dir, secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "evergate.yaml")
	if err := os.WriteFile(file, []byte(`public_url: https://apps.example.com
identity:
  - local: { users_file: users.yaml }
  - oidc: { name: corp, issuer: "http://127.0.0.1:9/", client_id: evergate, client_auth: private_key_jwt, client_key_file: client.pem, timeout: 1s }
routes:
  - match: { host: wiki.example.com }
    respond: { body: wiki }
  - respond: { body: app }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	g, err := build(cfg, slog.New(slog.DiscardHandler), parts{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ask := func(h http.Handler, method, url string) int {
		at := strings.Index(url, "//") + 2
		host, path, _ := strings.Cut(url[at:], "/")
		r := httptest.NewRequest(method, "/"+path, nil)
		r.Host = host
		r.Header.Set("Origin", "https://apps.example.com")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code
	}
	for _, row := range endpointRows(t, "On the public listener") {
		path := "/.evergate/" + strings.Replace(row.path, "NAME", "corp", 1)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
			listed := row.methods[0] == "any" || slices.Contains(row.methods, method) || method == "HEAD" && slices.Contains(row.methods, "GET")
			on := map[string]bool{"https://apps.example.com": listed && row.host != "apps"}
			if method != "POST" { // what is sent to an app's host is sent on by GET
				on["https://wiki.example.com"] = listed && row.host != "public"
			}
			for host, want := range on {
				got := ask(g.Public, method, host+path)
				if there := got != http.StatusNotFound && got != http.StatusMethodNotAllowed; there != want {
					t.Errorf("%s %s: got %d, and the page says %v", method, host+path, got, want)
				}
			}
		}
	}
	public, admin := endpointsOfAuth(t), endpointsOfAdmin(t)
	for path := range g.current.Load().issuer.Handlers() {
		public = append(public, path)
	}
	public = append(public, "client-jwks/NAME")
	compare := func(section string, has []string) {
		var listed []string
		for _, row := range endpointRows(t, section) {
			listed = append(listed, row.path)
		}
		slices.Sort(listed)
		slices.Sort(has)
		if has = slices.Compact(has); !slices.Equal(listed, has) {
			t.Errorf("%s: the page has %q, and the code %q", section, listed, has)
		}
	}
	compare("On the public listener", public)
	compare("On the admin listener", admin)

	for _, row := range endpointRows(t, "On the admin listener") {
		for _, method := range []string{"GET", "POST", "PUT"} {
			listed := slices.Contains(row.methods, method)
			if strings.HasPrefix(row.path, "/api/") {
				r := httptest.NewRequest(method, "http://127.0.0.1:9180"+row.path, strings.NewReader("{}"))
				rec := httptest.NewRecorder()
				if g.Admin.ServeHTTP(rec, r); rec.Code != http.StatusUnauthorized {
					t.Errorf("%s %s without the token: got %d, want 401", method, row.path, rec.Code)
				}
				r.Header.Set("Authorization", "Bearer "+g.Admin.API.Token.Reveal())
				rec = httptest.NewRecorder()
				if g.Admin.ServeHTTP(rec, r); (rec.Code != http.StatusNotFound) != listed {
					t.Errorf("%s %s: got %d, and the page says %v", method, row.path, rec.Code, listed)
				}
			} else if got := ask(g.Admin, method, "http://127.0.0.1:9180"+row.path); (got < 400 || got == http.StatusServiceUnavailable) != listed {
				t.Errorf("%s %s: got %d, and the page says %v", method, row.path, got, listed)
			}
		}
	}
	if got := ask(g.Public, "GET", "https://apps.example.com"+endpointRows(t, "On the forward_auth listener")[0].path); got != http.StatusNotFound {
		t.Errorf("the question of a proxy on the public listener: got %d, want 404", got)
	}
}

// endpointsOfAuth are the paths for which package auth has an endpoint.
func endpointsOfAuth(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("../../auth/*.go")
	if err != nil {
		t.Fatal(err)
	}
	isEndpoint := func(expr ast.Expr, bare bool) bool {
		lit, ok := expr.(*ast.CompositeLit)
		if !ok {
			return false
		}
		id, ok := lit.Type.(*ast.Ident)
		return ok && id.Name == "endpoint" || lit.Type == nil && bare
	}
	names := map[string]string{} // constants of the package
	path := func(expr ast.Expr) string {
		if id, ok := expr.(*ast.Ident); ok {
			return names[id.Name]
		}
		if b, ok := expr.(*ast.BinaryExpr); ok { // "login/" + p.Name
			if lit, ok := b.X.(*ast.BasicLit); ok {
				text, _ := strconv.Unquote(lit.Value)
				return text + "NAME"
			}
		}
		if lit, ok := expr.(*ast.BasicLit); ok {
			text, _ := strconv.Unquote(lit.Value)
			return text
		}
		return ""
	}
	add := func(p string) {
		if p != "" {
			all = append(all, p)
		}
	}
	var parsed []*ast.File
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == 1 && len(spec.Values) == 1 {
				if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					names[spec.Names[0].Name], _ = strconv.Unquote(lit.Value)
				}
			}
			return true
		})
	}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				m, ok := n.Type.(*ast.MapType)
				if !ok {
					return true
				}
				if id, ok := m.Value.(*ast.Ident); !ok || id.Name != "endpoint" {
					return true
				}
				for _, el := range n.Elts {
					kv := el.(*ast.KeyValueExpr)
					if isEndpoint(kv.Value, true) {
						add(path(kv.Key))
					}
				}
			case *ast.AssignStmt:
				if x, ok := n.Lhs[0].(*ast.IndexExpr); ok && isEndpoint(n.Rhs[0], false) {
					add(path(x.Index))
				}
			case *ast.CaseClause: // case path == "arrive": ep = endpoint{…}
				for _, cond := range n.List {
					eq, ok := cond.(*ast.BinaryExpr)
					if !ok || eq.Op != token.EQL || len(n.Body) == 0 {
						continue
					}
					if set, ok := n.Body[0].(*ast.AssignStmt); ok && isEndpoint(set.Rhs[0], false) {
						add(path(eq.Y))
					}
				}
			}
			return true
		})
	}
	return all
}

// endpointsOfAdmin are the paths that package admin compares requests with.
func endpointsOfAdmin(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("internal/admin/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(lit.Value)
			if m := regexp.MustCompile(`^(?:(?:GET|POST) )?(/[a-z][a-z/-]*[a-z])$`).FindStringSubmatch(text); m != nil && m[1] != "/api/sessions" || text == "GET /api/sessions" {
				all = append(all, m[1])
			}
			return true
		})
	}
	return all
}
