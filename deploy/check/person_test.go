package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// newApp starts an app at address that answers with what it was told.
func newApp(t *testing.T, address string) { appAt(t, address).Start() }

// newTLSApp is newApp by https, with a certificate and its key (PEM).
func newTLSApp(t *testing.T, address, certificate, key string) {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	app := appAt(t, address)
	app.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	app.StartTLS()
}

func appAt(t *testing.T, address string) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"path": r.URL.RequestURI(), "user": r.Header.Get("X-Forwarded-User"),
			"groups": r.Header.Get("X-Forwarded-Groups"), "authorization": r.Header.Get("Authorization")})
	}))
	app.Listener.Close()
	app.Listener = l
	t.Cleanup(app.Close)
	return app
}

// front is a proxy that speaks https in front of a gateway that does not.
type front struct{ at, certificate string }

func newFront(t *testing.T, gateway string) front {
	t.Helper()
	certificate, key := certify(t, "apps.example.com")
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: gateway})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return front{srv.Listener.Addr().String(), certificate}
}

// person is a browser without a screen, for which every name leads to one machine.
type person struct {
	t *testing.T
	c *http.Client
}

// newPerson returns one who believes a certificate (PEM) and reaches ports by where they
// lead: "443" to 127.1.2.3:8443, say.
func newPerson(t *testing.T, certificate string, ports map[string]string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if certificate != "" && !roots.AppendCertsFromPEM([]byte(certificate)) {
		t.Fatalf("%q is no certificate", certificate)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(to)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, ports[port])
		}}
	t.Cleanup(transport.CloseIdleConnections)
	return &person{t, &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: transport}}
}

type page struct {
	status int
	url    *url.URL
	body   string
}

func (p *person) get(address string) page {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(req)
}

func (p *person) do(req *http.Request) page {
	p.t.Helper()
	req.Header.Set("Accept", "text/html,*/*;q=0.8")
	res, err := p.c.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return page{res.StatusCode, res.Request.URL, string(body)}
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]*\baction="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<(?:input|button)\b[^>]*>`)
	attr     = regexp.MustCompile(`\b(name|value|type)="([^"]*)"`)
)

// submit sends the first form of a page with the fields given.
func (p *person) submit(at page, fields map[string]string) page {
	p.t.Helper()
	m := formTag.FindStringSubmatch(at.body)
	if m == nil {
		p.t.Fatalf("there is no form at %s (%d):\n%s", at.url, at.status, at.body)
	}
	values := url.Values{}
	for _, tag := range inputTag.FindAllString(m[2], -1) {
		input := map[string]string{}
		for _, a := range attr.FindAllStringSubmatch(tag, -1) {
			input[a[1]] = html.UnescapeString(a[2])
		}
		if input["name"] != "" && input["type"] != "checkbox" {
			values.Set(input["name"], input["value"])
		}
	}
	for name, value := range fields {
		values.Set(name, value)
	}
	to, err := at.url.Parse(html.UnescapeString(m[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", at.url.Scheme+"://"+at.url.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.do(req)
}

const password = "a-password-for-the-evidence"

// signsIn goes to address, signs in as alice, and is led back to where the app says who she is.
func (p *person) signsIn(address string) {
	p.t.Helper()
	form := p.get(address)
	if !strings.Contains(form.url.Path, "/.evergate/login") {
		p.t.Fatalf("%s: got %s (%d), want the sign-in page", address, form.url, form.status)
	}
	at := p.submit(form, map[string]string{"username": "alice", "password": password})
	p.seesTheApp(at, address)
}

// seesTheApp demands that a page is the app's, and that it was told of alice.
func (p *person) seesTheApp(at page, address string) {
	p.t.Helper()
	var told map[string]string
	if err := json.Unmarshal([]byte(at.body), &told); err != nil || at.url.String() != address {
		p.t.Fatalf("got %s (%d), want %s of the app:\n%s", at.url, at.status, address, at.body)
	}
	if told["user"] != "alice" || !strings.HasPrefix(told["authorization"], "Bearer ey") {
		p.t.Errorf("the app was told %v, want that it is alice, and a token", told)
	}
}
