package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// TestDoctorAtAnAuthorityOfOnesOwn: a provider whose certificate this machine does not know,
// and all that is asked of it once the config names who issued it.
func TestDoctorAtAnAuthorityOfOnesOwn(t *testing.T) {
	c := newClinic(t)
	op := oidctest.Start(t, oidctest.TLS(), oidctest.Redirects(c.public+"/.evergate/callback/corp"))
	c.edit("issuer: "+c.op.Issuer, "issuer: "+op.Issuer)
	c.says(1, "FAIL provider.discovery corp", "mend: name the authority of its certificate in ca_file")
	res, err := op.Browser(t).Get(op.Issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	c.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: res.TLS.PeerCertificates[0].Raw})), 0o644)
	c.edit("client_secret_file", "ca_file: ca.pem\n      client_secret_file")
	c.says(0, "ok provider.discovery corp "+op.Issuer, "ok provider.keys corp", "ok provider.client corp", "ok provider.redirect_uri corp the provider takes")
}

// TestDoctorKnowsPrivateKeyJWT: a client key that is registered, and one that is not.
func TestDoctorKnowsPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.write("client.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
	c.edit("client_secret_file: corp.secret", "client_auth: private_key_jwt\n      client_key_file: client.pem")
	c.says(1, "FAIL provider.client corp the token endpoint refuses the client", "mend: compare client_id, and register the public half of client_key_file there: the gateway publishes it at "+
		c.public+"/.evergate/client-jwks/corp\n")
	// The gateway publishes it, and the provider is told where.
	c.op.ChangeClient(func(i *idp.Client) {
		i.Auth, i.Secret, i.JWKSURI = idp.PrivateKeyJWT, "", "http://127.0.0.1:"+c.port+"/.evergate/client-jwks/corp"
	})
	c.serve()
	c.says(0, "ok provider.client corp client \"evergate\" is known with private_key_jwt")
}

// TestDoctorOfLocalUsers has no provider to ask.
func TestDoctorOfLocalUsers(t *testing.T) {
	c := newClinic(t)
	socket := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = app.Serve(l) }()
	t.Cleanup(func() { _ = app.Close() })
	c.text = "listen: 127.0.0.1:" + c.port + "\nadmin: { listen: " + c.adminAt + " }\npublic_url: " + c.public +
		"\nidentity: [{ local: { users_file: users.yaml } }]\nroutes: [{ upstream: \"unix://" + socket + "\" }]\n"
	c.write("evergate.yaml", c.text, 0o600)
	c.says(1, "FAIL files.secrets identity[0].local.users_file "+filepath.Join(c.dir, "users.yaml")+" is not there", "mend: evergate user add --config "+c.file+" NAME\n",
		"ok upstream unix://"+socket+" answers 200 to GET / in ")
	code, out, talk := c.doctor("--sign-in")
	if code != exitFailed || out != "" || talk == "" {
		t.Errorf("--sign-in without a provider: got exit code %d, %s%s", code, out, talk)
	}
	_ = app.Close()
	c.says(1, "FAIL upstream unix://"+socket, "mend: start the app")
}

// TestDoctorOfACookieStore: there is no store to ask, and the gateway is.
func TestDoctorOfACookieStore(t *testing.T) {
	c := newClinic(t)
	c.edit("routes:", "session: { store: cookie }\nroutes:")
	c.says(0, "skip store.round_trip cookie sessions lie in the browsers' cookies")
}

// TestDoctorOnATerminal: colours are for people, unless they do not want any.
func TestDoctorOnATerminal(t *testing.T) {
	t.Parallel()
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("SKIPPED: script (util-linux), which makes a terminal, is not installed")
	}
	c := newClinic(t)
	bin := evergateBinary(t)
	for env, colored := range map[string]bool{"TERM=xterm": true, "NO_COLOR=1": false} {
		cmd := exec.Command(script, "-qec", bin+" doctor --config "+c.file, "/dev/null")
		cmd.Env = append(os.Environ(), env)
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), "config") {
			t.Fatalf("%s: got %v\n%s", env, err, out)
		}
		if got := strings.Contains(string(out), "\x1b[32mok  \x1b[0m  config"); got != colored || strings.Contains(string(out), "\x1b") != colored {
			t.Errorf("%s: got colours %v, want %v\n%q", env, got, colored, out)
		}
	}
	if _, out, _ := c.doctor(); strings.Contains(out, "\x1b") {
		t.Errorf("what is no terminal gets colours:\n%q", out)
	}
}
