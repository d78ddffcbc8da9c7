package doctor_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/doctor"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session/redis"
)

// examine looks at a config that has no file, and returns what was found of one probe.
func examine(t *testing.T, text string, change func(*doctor.Patient), probe string) (found []doctor.Finding) {
	t.Helper()
	cfg, err := config.Parse(filepath.Join(t.TempDir(), "evergate.yaml"), []byte(text+"\nlisten: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:1 }\nsession: { store: bolt }\n"),
		func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	p := &doctor.Patient{
		Config: cfg, File: "evergate.yaml", Cookie: "__Host-Http-evergate", Public: "127.0.0.1:1", Admin: "127.0.0.1:1", Patience: 4 * time.Second,
		Upstream: func(*config.Route) (proxy.UpstreamOptions, error) {
			return proxy.UpstreamOptions{}, errors.New("not looked at")
		},
		Redis:   func() (redis.Options, error) { return redis.Options{}, errors.New("not looked at") },
		Running: func(context.Context) (admin.Running, error) { return admin.Running{}, errors.New("not looked at") },
		Provider: func(o *config.OIDC) (oidc.Config, error) {
			return oidc.Config{Name: o.Name, Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: secret.New(oidctest.ClientSecret), Scopes: o.Scopes, Kind: o.Kind, Timeout: o.Timeout}, nil
		},
	}
	if change != nil {
		change(p)
	}
	for _, f := range doctor.Examine(t.Context(), p) {
		if f.Probe == probe {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		t.Fatalf("nothing is said of %s", probe)
	}
	return found
}

const local = "identity: [{ local: { users_file: users.yaml } }]\n"

// want compares a finding: its status, and what stands in its text and mend.
func want(t *testing.T, f doctor.Finding, status doctor.Status, about, text, mend string) {
	t.Helper()
	if f.Status != status || f.About != about || !strings.Contains(f.Text, text) || !strings.Contains(f.Mend, mend) || (f.Mend == "") != (mend == "") {
		t.Errorf("got %+v\nwant %s %s, %q in the text and %q in the mend", f, status, about, text, mend)
	}
}

// TestCookies: what browsers do is reasoned about by RFC 6265 and the public suffix list.
func TestCookies(t *testing.T) {
	const routes = "routes: [{ upstream: \"http://127.0.0.1:9\" }, { match: { host: wiki.example.com }, upstream: \"http://127.0.0.1:9\" }, { match: { host: other.example.org }, upstream: \"http://127.0.0.1:9\" }]\n"
	got := examine(t, "public_url: https://apps.example.com\n"+local+routes, nil, "cookie")
	want(t, got[0], doctor.OK, "apps.example.com", "this host's alone", "")
	want(t, got[1], doctor.OK, "wiki.example.com", "Secure, HttpOnly", "")
	want(t, got[2], doctor.OK, "other.example.org", "another site than apps.example.com", "")
	if strings.Contains(got[1].Text, "another site") {
		t.Errorf("wiki.example.com is the same site: %s", got[1].Text)
	}
	got = examine(t, "public_url: https://apps.example.com:8443\n"+local+routes, func(p *doctor.Patient) { p.Cookie = "evergate" }, "cookie")
	want(t, got[0], doctor.Warn, "apps.example.com", "can plant one", "leave session.cookie.name out")
	got = examine(t, "public_url: https://apps.example.com:8443\n"+local+routes, nil, "cookie")
	want(t, got[0], doctor.OK, "apps.example.com", "every other https port", "")
	got = examine(t, "public_url: https://github.io\n"+local+"routes: [{ upstream: \"http://127.0.0.1:9\" }, { match: { host: me.github.io }, upstream: \"http://127.0.0.1:9\" }]\n", nil, "cookie")
	want(t, got[0], doctor.OK, "github.io", "public suffix", "")
	want(t, got[1], doctor.OK, "me.github.io", "another site", "")
	got = examine(t, "public_url: http://localhost:8080\n"+local+"routes: [{ upstream: \"http://127.0.0.1:9\" }, { match: { host: wiki.example.com }, upstream: \"http://127.0.0.1:9\" }]\n",
		func(p *doctor.Patient) { p.Cookie = "evergate-8080" }, "cookie")
	want(t, got[0], doctor.OK, "localhost", "not Secure", "")
	want(t, got[1], doctor.Fail, "wiki.example.com", "plain http", "https")
}

// TestCertificateFiles: what browsers would refuse is found before they do.
func TestCertificateFiles(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, row := range []struct {
		name   string
		names  []string
		from   time.Time
		until  time.Time
		status doctor.Status
		text   string
		mend   string
	}{
		{"a good one", []string{"*.example.com"}, now.Add(-time.Hour), now.Add(90 * 24 * time.Hour), doctor.OK, "is for all hosts, until", ""},
		{"one that ends soon", []string{"apps.example.com", "wiki.example.com"}, now.Add(-time.Hour), now.Add(5 * 24 * time.Hour), doctor.Warn, "ends on", "renew it"},
		{"one that is over", []string{"*.example.com"}, now.Add(-48 * time.Hour), now.Add(-24 * time.Hour), doctor.Fail, "it ended on", "renew it"},
		{"one that has not begun", []string{"*.example.com"}, now.Add(24 * time.Hour), now.Add(48 * time.Hour), doctor.Fail, "it begins on", "clock"},
		{"one for another host", []string{"apps.example.com"}, now.Add(-time.Hour), now.Add(90 * 24 * time.Hour), doctor.Fail, "not for wiki.example.com", "this one names apps.example.com"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "t"}, DNSNames: row.names,
				NotBefore: row.from, NotAfter: row.until}, &x509.Certificate{Subject: pkix.Name{CommonName: "t"}}, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			for name, block := range map[string]*pem.Block{"c.pem": {Type: "CERTIFICATE", Bytes: cert}, "k.pem": {Type: "PRIVATE KEY", Bytes: der}} {
				if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			text := "public_url: https://apps.example.com\ntls: { cert_file: " + dir + "/c.pem, key_file: " + dir + "/k.pem }\n" + local +
				"routes: [{ upstream: \"http://127.0.0.1:9\" }, { match: { host: wiki.example.com }, upstream: \"http://127.0.0.1:9\" }]\n"
			want(t, examine(t, text, nil, "tls")[0], row.status, filepath.Join(dir, "c.pem"), row.text, row.mend)
			if err := os.WriteFile(filepath.Join(dir, "k.pem"), []byte("no key"), 0o600); err != nil {
				t.Fatal(err)
			}
			want(t, examine(t, text, nil, "tls")[0], doctor.Fail, filepath.Join(dir, "c.pem"), "tls:", "tls.key_file")
		})
	}
}

// TestProviderClock reads it from Date: forgiven, drifting, and beyond what is forgiven.
func TestProviderClock(t *testing.T) {
	for off, row := range map[time.Duration]struct {
		status     doctor.Status
		text, mend string
	}{
		0:                 {doctor.OK, "that of this machine", ""},
		20 * time.Second:  {doctor.OK, "ahead of this machine's", ""},
		45 * time.Second:  {doctor.Warn, "ahead of this machine's; a minute", "timedatectl"},
		-5 * time.Minute:  {doctor.Fail, "behind this machine's, and a minute", "timedatectl"},
		100 * time.Minute: {doctor.Fail, "ahead of this machine's, and a minute", "timedatectl"},
	} {
		t.Run(off.String(), func(t *testing.T) {
			op := oidctest.Start(t)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
				op.ServeHTTP(w, r)
			}))
			defer front.Close()
			op.Turn(func(k *idp.Knobs) { k.MutateMetadata = func(md map[string]any) { md["issuer"] = front.URL } })
			got := examine(t, "public_url: https://apps.example.com\nidentity: [{ oidc: { issuer: \""+front.URL+"\", client_id: evergate, client_secret_file: s } }]\nroutes: [{ upstream: \"http://127.0.0.1:9\" }]\n", nil, "provider.clock")
			want(t, got[0], row.status, "oidc", row.text, row.mend)
		})
	}
}

// TestRedirectURIAtProvidersThatAskNobody: one that knows no prompt=none shows its page. A
// made-up redirect URI tells whether that page means anything.
func TestRedirectURIAtProvidersThatAskNobody(t *testing.T) {
	var ours, other int
	op := oidctest.Start(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/authorize" {
			status := ours
			if strings.Contains(r.URL.Query().Get("redirect_uri"), "evergate-doctor.invalid") {
				status = other
			}
			w.WriteHeader(status)
			return
		}
		op.ServeHTTP(w, r)
	}))
	defer front.Close()
	op.Turn(func(k *idp.Knobs) {
		k.NoPAR = true
		k.MutateMetadata = func(md map[string]any) {
			md["issuer"], md["authorization_endpoint"] = front.URL, front.URL+"/authorize"
		}
	})
	for _, row := range []struct {
		ours, other int
		status      doctor.Status
		text, mend  string
	}{
		{200, 400, doctor.OK, "an error for a made-up one", ""},
		{200, 200, doctor.Skip, "it cannot be told: the provider shows the same page", "--sign-in=oidc"},
		{400, 400, doctor.Fail, "answers 400 with a page of its own", "register exactly https://apps.example.com/.evergate/callback/oidc"},
		{503, 503, doctor.Skip, "it cannot be told: the authorization endpoint answers 503", "log"},
	} {
		ours, other = row.ours, row.other
		got := examine(t, "public_url: https://apps.example.com\nidentity: [{ oidc: { issuer: \""+front.URL+"\", client_id: evergate, client_secret_file: s } }]\nroutes: [{ upstream: \"http://127.0.0.1:9\" }]\n", nil, "provider.redirect_uri")
		want(t, got[0], row.status, "oidc", row.text, row.mend)
	}
}

// TestNames: what needs no name server is told without one.
func TestNames(t *testing.T) {
	got := examine(t, "public_url: https://10.0.0.5\n"+local+"routes: [{ upstream: \"http://127.0.0.1:9\" }, { match: { host: wiki.localhost }, upstream: \"http://127.0.0.1:9\" }, { match: { host: nowhere.invalid }, upstream: \"http://127.0.0.1:9\" }]\n", nil, "dns")
	want(t, got[0], doctor.OK, "10.0.0.5", "nobody has to look up", "")
	want(t, got[1], doctor.OK, "wiki.localhost", "this machine", "")
	// A machine without a name server is told apart from a name that is not known.
	if f := got[2]; f.Mend == "" || f.Status != doctor.Warn && f.Status != doctor.Skip || f.Status == doctor.Warn && !strings.Contains(f.Text, "not known here") {
		t.Errorf("got %+v", f)
	}
}

// TestNamesOfThisMachine: below localhost nobody has to be asked where a name is, and
// public_url is come in by as a browser does.
func TestNamesOfThisMachine(t *testing.T) {
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", network)
		if err != nil {
			t.Logf("%s: %v", network, err)
			continue
		}
		gateway := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })}}
		gateway.Start()
		defer gateway.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, host := range []string{"localhost", "apps.localhost", "a.b.localhost"} {
			public := "http://" + host + ":" + port
			got := examine(t, "public_url: "+public+"\n"+local+"routes: [{ upstream: \"http://127.0.0.1:9\" }]\n", func(p *doctor.Patient) { p.Admin = l.Addr().String() }, "gateway.public_url")
			want(t, got[0], doctor.OK, "", public+" leads to the gateway", "")
		}
	}
}

// TestPrint: a line each, aligned, the mend on the next; colours only where asked for; no
// control character of anybody else reaches the terminal.
func TestPrint(t *testing.T) {
	all := []doctor.Finding{
		{Status: doctor.OK, Probe: "config", Text: "is sound"},
		{Status: doctor.Fail, Probe: "upstream", About: "http://a:1", Text: "it said\n\x1b[31mred\x1b[0m", Mend: "mend it"},
		{Status: doctor.Skip, Probe: "upstream", About: "http://" + strings.Repeat("long.", 12) + "example:80", Text: "x"},
	}
	var b bytes.Buffer
	doctor.Print(&b, all, false)
	long := "http://" + strings.Repeat("long.", 12) + "example:80"
	if got, want := b.String(), "ok    config               is sound\nFAIL  upstream http://a:1  it said ?[31mred?[0m\n      mend: mend it\nskip  upstream "+long+"  x\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	doctor.Print(&b, all[:1], true)
	if got, want := b.String(), "\x1b[32mok  \x1b[0m  config  is sound\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Reset()
	if err := doctor.PrintJSON(&b, nil); err != nil || b.String() != "[]\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
