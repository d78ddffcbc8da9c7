package check

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// project reads deploy/compose.yaml as `docker compose` does.
func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithEnv([]string{"SITE=apps.example.com"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("deploy/compose.yaml: %v", err)
	}
	return p
}

// TestCompose: every container is locked up, and the app is reached through the gateway alone.
func TestCompose(t *testing.T) {
	p := project(t)
	if got := slices.Sorted(maps.Keys(p.Services)); !slices.Equal(got, []string{"app", "gateway", "store"}) {
		t.Fatalf("got the services %v", got)
	}
	for name, s := range p.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged || s.PidsLimit == 0 || s.MemLimit == 0 ||
			!slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.User == "" || strings.HasPrefix(s.User, "0") || s.NetworkMode != "" {
			t.Errorf("%s: it is not as locked up as it could be: %+v", name, s)
		}
		if name != "app" && s.HealthCheck == nil {
			t.Errorf("%s has no health check", name)
		}
		if name != "gateway" && len(s.Ports) > 0 {
			t.Errorf("%s has ports on the host: %v", name, s.Ports)
		}
		if name != "gateway" && !strings.Contains(s.Image, ":") {
			t.Errorf("%s: the image %s has no version", name, s.Image)
		}
		for _, secret := range s.Secrets {
			if p.Secrets[secret.Source].File == "" {
				t.Errorf("%s: the secret %s is no file", name, secret.Source)
			}
		}
		for variable, value := range s.Environment {
			if variable != "SITE" {
				t.Errorf("%s: the variable %s=%v, where anybody may see it", name, variable, value)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == "bind" && !v.ReadOnly {
				t.Errorf("%s may write to %s of the host", name, v.Source)
			}
		}
	}
	for network, who := range map[string][]string{"front": {"gateway"}, "app": {"app", "gateway"}, "store": {"gateway", "store"}} {
		var on []string
		for name, s := range p.Services {
			if _, there := s.Networks[network]; there {
				on = append(on, name)
			}
		}
		if slices.Sort(on); !slices.Equal(on, who) || p.Networks[network].Internal != (network != "front") {
			t.Errorf("on the network %s (internal: %v) are %v, want %v", network, p.Networks[network].Internal, on, who)
		}
	}
}

// TestComposeRuns starts what deploy/compose.yaml has, as processes, and uses it: the store with
// the command that it has there, the gateway from the image, with its config untouched but for
// the addresses that it listens on, and with the secrets that prepare.sh makes.
func TestComposeRuns(t *testing.T) {
	redis := need(t, "redis-server", "redis-server")
	need(t, "openssl", "openssl")
	p, c := project(t), newContainer(t)
	secrets := prepare(t, c)

	gateway := p.Services["gateway"]
	for _, s := range gateway.Secrets {
		target := cmp.Or(s.Target, s.Source)
		if !filepath.IsAbs(target) {
			target = "/run/secrets/" + target
		}
		from := secrets + "/" + filepath.Base(p.Secrets[s.Source].File)
		fi, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		c.write(target, contents(t, from), fi.Mode().Perm(), nobody)
	}
	for name, value := range gateway.Environment {
		c.env = append(c.env, name+"="+*value)
	}
	at := loopback()
	config := read(t, "deploy/compose/etc/evergate.yaml")
	for _, l := range []struct{ key, port string }{{"listen", "8443"}, {"redirect_http", "8080"}} {
		line := regexp.MustCompile(`(?m)^( *` + l.key + `: ):` + l.port + `$`)
		if len(line.FindAllString(config, -1)) != 1 {
			t.Fatalf("%s is not :%s", l.key, l.port)
		}
		config = line.ReplaceAllString(config, "${1}"+at+":"+l.port)
	}
	config = strings.Replace(config, "127.0.0.1:9180", at+":9180", 1)
	c.write("/etc/evergate/evergate.yaml", config, 0o644, 0)

	store, app := loopback(), loopback()
	c.resolve("store", store)
	c.resolve("app", app)
	args := []string{"--bind", store, "--port", "6379"}
	for _, arg := range p.Services["store"].Command[1:] {
		args = append(args, strings.NewReplacer("/run/secrets", secrets, "/data", t.TempDir()).Replace(arg))
	}
	start(t, exec.Command(redis, args...)).within(t, "the store answers", func() error { return dial(store + ":6379") })
	newApp(t, app+":"+p.Services["app"].Command[1])

	// What check warns of is what the config says that it warns of.
	if _, err := c.run(password+"\n", "user", "add", "--config", "/etc/evergate/evergate.yaml", "--groups", "staff", "--password-stdin", "alice"); err != nil {
		t.Fatal(err)
	}
	onlyWarnings(t, c, config, "targets:")

	c.serve()
	ports := map[string]string{}
	for _, port := range gateway.Ports {
		ports[port.Published] = fmt.Sprintf("%s:%d", at, port.Target)
	}
	alice := newPerson(t, contents(t, secrets+"/tls.crt"), ports)
	alice.signsIn("https://apps.example.com/reports?q=1")
	if at := alice.get("http://apps.example.com/again"); at.url.String() != "https://apps.example.com/again" {
		t.Errorf("plain http: got to %s", at.url)
	} else {
		alice.seesTheApp(at, at.url.String())
	}
	// The store knows nobody without a password, and nobody's password is in its files.
	cli := strings.TrimSuffix(redis, "server") + "cli"
	if out, err := output(exec.Command(cli, "-h", store, "ping")); err != nil || out != "PONG\n" {
		t.Errorf("the health check of the store: got %q, %v", out, err)
	}
	out, err := output(exec.Command(cli, "-h", store, "keys", "*"))
	if err != nil || !strings.HasPrefix(out, "NOPERM") {
		t.Errorf("a stranger in the store: got %q, %v, want NOPERM", out, err)
	}
	if acl := contents(t, secrets+"/store.acl"); strings.Contains(acl, contents(t, secrets+"/redis.password")) {
		t.Error("the password is in store.acl")
	}
}

// prepare runs prepare.sh twice in a copy of its folder, and returns the folder of secrets.
func prepare(t *testing.T, c *container) string {
	t.Helper()
	dir := t.TempDir()
	if err := copyTree("../compose", filepath.Join(dir, "compose"), ""); err != nil {
		t.Fatal(err)
	}
	secrets := filepath.Join(dir, "compose/secrets")
	made := map[string]string{}
	for range 2 {
		cmd := exec.Command(filepath.Join(dir, "compose/prepare.sh"), "apps.example.com")
		cmd.Env = append(os.Environ(), "EVERGATE="+filepath.Join(c.root, "usr/bin/evergate"))
		if _, err := output(cmd); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(secrets)
		if err != nil || len(entries) != 5 {
			t.Fatalf("got the secrets %v, %v, want five", entries, err)
		}
		for _, e := range entries {
			text := contents(t, filepath.Join(secrets, e.Name()))
			if old, again := made[e.Name()]; again && old != text {
				t.Errorf("a second run of prepare.sh made another %s", e.Name())
			}
			made[e.Name()] = text
			fi, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			if want := os.FileMode(0o600); e.Name() != "tls.crt" && fi.Mode().Perm() != want {
				t.Errorf("%s has mode %v, want %v", e.Name(), fi.Mode().Perm(), want)
			}
		}
	}
	if got := contents(t, filepath.Join(dir, ".env")); got != "SITE=apps.example.com\n" {
		t.Errorf("got .env %q", got)
	}
	return secrets
}

// onlyWarnings demands that check --production warns of the lines that begin with one of keys,
// and of nothing else.
func onlyWarnings(t *testing.T, c *container, config string, keys ...string) {
	t.Helper()
	out, err := c.run("", "check", "--production", "/etc/evergate/evergate.yaml")
	if len(keys) == 0 {
		if err != nil {
			t.Errorf("check --production: %v", err)
		}
		return
	}
	places := regexp.MustCompile(`(?m)^\S*evergate\.yaml:(\d+):\d+: `).FindAllStringSubmatch(out, -1)
	lines := strings.Split(config, "\n")
	var got []string
	for _, p := range places {
		var n int
		if _, err := fmt.Sscan(p[1], &n); err != nil {
			t.Fatal(err)
		}
		key, _, _ := strings.Cut(strings.TrimSpace(lines[n-1]), " ")
		got = append(got, key)
	}
	if !slices.Equal(got, keys) {
		t.Errorf("check --production warns of %v, want %v:\n%s", got, keys, out)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func dial(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
