package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// legacyGateway runs `evergate serve` for one user, ann, with these routes, and returns
// its public URL. Files lie beside its config.
func legacyGateway(t *testing.T, password, routes string, files map[string]string) (public string, gateway *process) {
	t.Helper()
	dir, port, admin := t.TempDir(), freePort(t), freePort(t)
	public = "http://localhost:" + port
	config := filepath.Join(dir, "evergate.yaml")
	files["evergate.yaml"] = fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
admin: { listen: 127.0.0.1:%s }
identity:
  - local: { users_file: users.yaml }
routes:
%s`, port, public, admin, routes)
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	evergate(t, dir, password+"\n", "user", "add", "--config", config, "--groups", "staff", "--password-stdin", "ann")
	evergate(t, dir, "", "check", config)
	gateway = start(t, dir, binary, "serve", "--config", config)
	gateway.awaitHTTP(t, public+"/.evergate/ping")
	return public, gateway
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// open makes what is in a test's dir readable and writable by the user that a server
// changes to.
func open(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // else it is the test's alone
		t.Fatal(err)
	}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.IsDir() {
			return os.Chmod(path, 0o777)
		}
		if err == nil {
			err = os.Chmod(path, 0o666)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

const apacheModules = "/usr/lib/apache2/modules"

// startApache runs Debian's Apache with a config of its own, on a port of its own for
// each site.
func startApache(t *testing.T, dir string, modules []string, common string, sites ...string) (urls []string) {
	t.Helper()
	apache := need(t, "apache2", "apache2")
	var conf strings.Builder
	if !slices.Contains(modules, "mpm_event") {
		modules = append(modules, "mpm_prefork") // PHP needs it
	}
	modules = append(modules, "authz_core", "authz_host", "access_compat", "alias", "dir", "mime", "env", "setenvif")
	for _, m := range modules {
		file := filepath.Join(apacheModules, "mod_"+m+".so")
		if m == "php" {
			found, err := filepath.Glob(filepath.Join(apacheModules, "libphp*.so"))
			if err != nil || len(found) == 0 {
				missing(t, "Apache's module for PHP is not installed; apt-get install libapache2-mod-php")
			}
			file = found[0]
		}
		fmt.Fprintf(&conf, "LoadModule %s_module %s\n", m, file)
	}
	fmt.Fprintf(&conf, "ServerName localhost\nServerRoot %[1]s\nDefaultRuntimeDir %[1]s\nPidFile %[1]s/apache.pid\nErrorLog %[1]s/error.log\nTypesConfig /etc/mime.types\nStartServers 2\nMaxRequestWorkers 8\n", dir)
	if os.Geteuid() == 0 {
		conf.WriteString("User www-data\nGroup www-data\n")
	}
	conf.WriteString(common)
	for _, site := range sites {
		port := freePort(t)
		fmt.Fprintf(&conf, "Listen 127.0.0.1:%[1]s\n<VirtualHost 127.0.0.1:%[1]s>\n%[2]s\n</VirtualHost>\n", port, site)
		urls = append(urls, "http://127.0.0.1:"+port)
	}
	write(t, filepath.Join(dir, "apache.conf"), conf.String())
	p := startApart(t, dir, apache, "-DFOREGROUND", "-f", filepath.Join(dir, "apache.conf"))
	t.Cleanup(func() {
		if said, err := os.ReadFile(filepath.Join(dir, "error.log")); err == nil && t.Failed() {
			t.Logf("Apache's log:\n%.4000s", said)
		}
	})
	p.awaitHTTP(t, urls[0])
	return urls
}

// noCookieOfTheApp fails the test for each cookie of url in the browser that is neither
// the gateway's nor one of those named.
func (p *tab) noCookieOfTheApp(url string, but ...string) {
	p.t.Helper()
	for _, c := range p.cookies(url) {
		known := strings.HasPrefix(c.Name, "evergate-")
		for _, name := range but {
			known = known || c.Name == name
		}
		if !known {
			p.t.Errorf("the browser holds the app's cookie %s", c.Name)
		}
	}
}
