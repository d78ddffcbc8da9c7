package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deployed is a file of deploy/, with the certificate of a test in place of the example's.
func deployed(t *testing.T, dir, file string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	newCertificates(t, "apps.example.com", "wiki.example.com").write(t, dir)
	replace = append(replace, "/etc/ssl/apps.pem", filepath.Join(dir, "cert.pem"), "/etc/ssl/apps.key", filepath.Join(dir, "key.pem"))
	return strings.NewReplacer(replace...).Replace(string(text))
}

// TestDeployedNginx: nginx takes the example, inside of http.
func TestDeployedNginx(t *testing.T) {
	t.Parallel()
	nginx, dir := need(t, "nginx", "nginx-light"), t.TempDir()
	writeFile(t, dir, "evergate.conf", deployed(t, dir, "nginx/evergate.conf", `"443"`, "127.0.0.1:"+freePort(t), `"[::]:443"`, "127.0.0.1:"+freePort(t),
		"listen 80;", "listen 127.0.0.1:"+freePort(t)+";", "listen [::]:80;", ""))
	for conf, want := range map[string]bool{"": true, "proxy_set_headers X Y;": false} {
		writeFile(t, dir, "nginx.conf", "pid nginx.pid; error_log stderr; events {} http { access_log off; "+conf+" include evergate.conf; }")
		out, err := exec.Command(nginx, "-t", "-p", dir, "-c", "nginx.conf", "-e", "stderr").CombinedOutput()
		if (err == nil) != want || want && strings.Contains(string(out), "[warn]") {
			t.Errorf("nginx -t with %q: %v\n%s", conf, err, out)
		}
	}
}

// TestDeployedHAProxy: HAProxy takes the example and its script, and warns of nothing.
func TestDeployedHAProxy(t *testing.T) {
	t.Parallel()
	haproxy, dir := need(t, "haproxy", "haproxy"), t.TempDir()
	lua := deployed(t, dir, "haproxy/evergate.lua")
	writeFile(t, dir, "haproxy.cfg", deployed(t, dir, "haproxy/haproxy.cfg"))
	if err := os.Rename(filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem.key")); err != nil { // where HAProxy looks for it
		t.Fatal(err)
	}
	for script, want := range map[string]bool{lua: true, "core.register_action(": false} {
		writeFile(t, dir, "evergate.lua", script)
		cmd := exec.Command(haproxy, "-c", "-f", "haproxy.cfg")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if (err == nil) != want || want && strings.Contains(string(out), "WARNING") {
			t.Errorf("haproxy -c: %v\n%s", err, out)
		}
	}
}

// TestDeployedCaddyfile: Caddy reads the example, would start with it, and finds it written
// as Caddy writes.
func TestDeployedCaddyfile(t *testing.T) {
	t.Parallel()
	caddy, dir := buildCaddy(t), t.TempDir()
	file := writeFile(t, dir, "Caddyfile", deployed(t, dir, "caddy/Caddyfile"))
	for _, args := range [][]string{{"validate", "--config", file}, {"fmt", file}} {
		cmd := exec.Command(caddy, args...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("caddy %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestDeployedTraefik: Traefik starts with the example, has nothing to say against it, and
// leads to the apps' hosts alone.
func TestDeployedTraefik(t *testing.T) {
	t.Parallel()
	traefik, dir := buildTraefik(t), t.TempDir()
	port := freePort(t)
	dynamic := writeFile(t, dir, "evergate.yaml", deployed(t, dir, "traefik/evergate.yaml"))
	static := writeFile(t, dir, "traefik.yaml", deployed(t, dir, "traefik/traefik.yaml",
		`":443"`, `"127.0.0.1:`+port+`"`, `":80"`, `"127.0.0.1:`+freePort(t)+`"`, "/etc/traefik/evergate.yaml", dynamic))
	p := start(t, dir, traefik, "--configFile="+static)
	client := frontClient(t, "127.0.0.1:"+port)
	status := func(host string) int {
		res, err := client.Get("https://" + host + ":" + port + "/")
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	// Nobody is there to be asked, so that nothing passes.
	for end := time.Now().Add(patience); status("wiki.example.com") != http.StatusInternalServerError; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("wiki.example.com: got %d, want 500", status("wiki.example.com"))
		}
	}
	if got := status("elsewhere.example.com"); got != http.StatusNotFound {
		t.Errorf("elsewhere.example.com: got %d, want 404", got)
	}
	for line := range strings.Lines(p.stdout.String() + p.stderr.String()) {
		if (strings.Contains(line, "ERR") || strings.Contains(line, "WRN")) && !strings.Contains(line, "Error calling") && !strings.Contains(line, "encoded characters") {
			t.Errorf("Traefik says: %s", line)
		}
	}
}

// TestDeployedEnvoy: Envoy's own definitions know every field of the example and allow
// every value.
func TestDeployedEnvoy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := deployed(t, dir, "envoy/envoy.yaml")
	if _, err := readEnvoy(t, text); err != nil {
		t.Error(err)
	}
	for what, broken := range map[string]string{
		"a field that nobody knows": strings.Replace(text, "failure_mode_allow:", "failure_mode_deny:", 1),
		"a value out of bounds":     strings.Replace(text, "status: 421", "status: 42100", 1),
		"a type that is not there":  strings.Replace(text, "ext_authz.v3.ExtAuthz\n", "ext_authz.v3.ExtAuth\n", 1),
		"one key twice":             text + "static_resources: {}\n",
	} {
		if _, err := readEnvoy(t, broken); err == nil {
			t.Errorf("%s: nobody minds", what)
		}
	}
}

var envoyReader front

// readEnvoy reads a bootstrap configuration of Envoy's by its released definitions. The
// program itself is in none of the package registries that tests use.
func readEnvoy(t *testing.T, text string) (asJSON []byte, err error) {
	t.Helper()
	program := envoyReader.program(t, "Envoy's definitions", func(f *front) {
		const dir = "fronts/envoy"
		if _, f.missing = goIn(dir, "list", "-deps", "."); f.missing == nil {
			f.path = filepath.Join(buildDir, "envoy")
			_, f.err = goIn(dir, "build", "-trimpath", "-ldflags=-s -w", "-o", f.path, ".")
		}
	})
	cmd := exec.Command(program)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(text), &stderr
	if asJSON, err = cmd.Output(); err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return asJSON, err
}
