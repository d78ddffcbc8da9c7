package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestImageRuns runs what is in the image as an engine would: on a root file system that
// nobody can write to, with its user, its environment, its command and its volume; and
// asks for its health by the command that the image names.
func TestImageRuns(t *testing.T) {
	i := loaded(t, "amd64")
	file, err := i.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := file.Config
	c := &container{root: filepath.Join(t.TempDir(), "root"), config: config}
	unpack(t, i, c.root)
	// What an engine mounts into it, and the config, are all that it gets from outside.
	if err := os.Mkdir(filepath.Join(c.root, "proc"), 0o555); err != nil {
		t.Fatal(err)
	}
	const text = "public_url: http://localhost:8080\nlisten: 0.0.0.0:8080\ndata_dir: /var/lib/evergate\n" +
		"identity:\n  - local: { users_file: users.yaml }\nroutes:\n  - public: true\n    upstream: http://127.0.0.1:3000\n" +
		// Names of zones are understood although the system knows none.
		"  - match: { path: /night }\n    allow: [{ times: [{ from: \"22:00\", to: \"06:00\", zone: Europe/Berlin }] }]\n    upstream: http://127.0.0.1:3000\n"
	if err := os.WriteFile(filepath.Join(c.root, "etc/evergate/evergate.yaml"), []byte(text), 0o444); err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(c.root, "etc/evergate/users.yaml")
	if err := errors.Join(os.WriteFile(users, []byte("users: {}\n"), 0o600), os.Chown(users, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	c.box = newBox(t, `
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs -o "mode=0700,uid=${2%:*},gid=${2#*:}" tmpfs "$1/var/lib/evergate"
mount -o remount,bind,ro "$1"
touch "$1/var/lib/evergate/ready"
exec sleep infinity
`, c.root, config.User)
	c.await(func() error { _, err := os.Stat(c.file(c.root + "/var/lib/evergate/ready")); return err })
	if err := os.WriteFile(c.file(c.root+"/etc/x"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Fatalf("the root file system can be written to: %v", err)
	}
	c.app("127.0.0.1:3000")

	health := config.Healthcheck.Test
	if health[0] != "CMD" {
		t.Fatalf("the health check is %q, and there is no shell for it", health)
	}
	if out, err := c.command(health[1:]).CombinedOutput(); err == nil {
		t.Errorf("it is healthy before it was started: %s", out)
	}
	gateway := start(t, c.command(append(config.Entrypoint, config.Cmd...)))
	c.await(func() error {
		gateway.wantRunning(t)
		out, err := c.command(health[1:]).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	res, err := c.browser().Get("http://localhost:8080/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "user " {
		t.Errorf("got %d %q and %v, want the app", res.StatusCode, body, err)
	}
	out, err := c.command(append(config.Entrypoint, "version")).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "evergate "+testVersion+" (commit ") {
		t.Errorf("got %q and %v, want version %s", out, err, testVersion)
	}
	gateway.stop(t)
}

// TestImageFiles: there is nothing in the image that is not said to be, all of it is
// root's and closed to writers, and the roots of trust are some.
func TestImageFiles(t *testing.T) {
	want := map[string]bool{}
	for _, name := range []string{
		"etc", "etc/evergate", "etc/group", "etc/passwd", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt",
		"usr", "usr/bin", "usr/bin/evergate", "usr/share", "usr/share/doc", "usr/share/doc/evergate",
		"usr/share/doc/evergate/LICENSE", "usr/share/doc/evergate/THIRD_PARTY_LICENSES", "var", "var/lib", "var/lib/evergate",
	} {
		want[name] = true
	}
	for h, r := range filesOf(t, loaded(t, "amd64")) {
		if !want[h.Name] {
			t.Errorf("%s is in the image", h.Name)
		}
		delete(want, h.Name)
		switch {
		case h.Name == "var/lib/evergate":
			if h.Uid != nobody || h.Gid != nobody || h.Mode != 0o700 {
				t.Errorf("%s: got %d:%d with mode %o", h.Name, h.Uid, h.Gid, h.Mode)
			}
		case h.Uid != 0 || h.Gid != 0 || h.Mode&0o7022 != 0:
			t.Errorf("%s: got %d:%d with mode %o", h.Name, h.Uid, h.Gid, h.Mode)
		}
		if h.Name != "etc/ssl/certs/ca-certificates.crt" {
			continue
		}
		rest, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
			root, err := x509.ParseCertificate(block.Bytes)
			if err != nil || !root.IsCA {
				t.Errorf("a root is none: %v", err)
			}
			n++
		}
		if n < 80 {
			t.Errorf("got %d roots of trust, want those of the web", n)
		}
	}
	for name := range want {
		t.Errorf("%s is not in the image", name)
	}
}

// TestImageConfig: how the image is run, which is what deploy/ says too.
func TestImageConfig(t *testing.T) {
	i := loaded(t, "amd64")
	file, err := i.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	for what, pair := range map[string][2]string{
		"USER":        {c.User, "65532:65532"},
		"ENTRYPOINT":  {strings.Join(c.Entrypoint, " "), "/usr/bin/evergate"},
		"CMD":         {strings.Join(c.Cmd, " "), "serve --config /etc/evergate/evergate.yaml"},
		"HEALTHCHECK": {strings.Join(c.Healthcheck.Test, " "), "CMD /usr/bin/evergate healthcheck --config /etc/evergate/evergate.yaml"},
		"VOLUME":      {fmt.Sprint(c.Volumes), "map[/var/lib/evergate:{}]"},
		"platform":    {file.OS + "/" + file.Architecture, "linux/amd64"},
		"version":     {c.Labels["org.opencontainers.image.version"], testVersion},
		"licence":     {c.Labels["org.opencontainers.image.licenses"], "Apache-2.0"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %q, want %q", what, pair[0], pair[1])
		}
	}
	commit, err := git(t.Context(), "..", "rev-parse", now())
	if err != nil || c.Labels["org.opencontainers.image.revision"] != commit {
		t.Errorf("got revision %q and %v, want %s", c.Labels["org.opencontainers.image.revision"], err, commit)
	}
}

// TestImageLayout: the file for registries has the same images, whole, for each platform.
func TestImageLayout(t *testing.T) {
	f, err := os.Open(filepath.Join(folder(t, made), "evergate_1.2.3.oci.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	if err := untar(f, dir); err != nil {
		t.Fatal(err)
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Error(err)
	}
	list, err := top.IndexManifest()
	if err != nil || len(list.Manifests) != 1 || list.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != testVersion {
		t.Fatalf("got %+v and %v, want one image by the name %s", list, err, testVersion)
	}
	index, err := top.ImageIndex(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	platforms, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range platforms.Manifests {
		got = append(got, m.Platform.String())
		i, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(i); err != nil {
			t.Error(err)
		}
		config, err := i.ConfigFile()
		if err != nil || config.OS+"/"+config.Architecture != m.Platform.String() {
			t.Errorf("got an image for %s/%s and %v, want %s", config.OS, config.Architecture, err, m.Platform)
		}
		other, err := loaded(t, m.Platform.Architecture).ConfigName()
		if id, err2 := i.ConfigName(); err != nil || err2 != nil || id != other {
			t.Errorf("got image %v, and %v to load (%v, %v)", id, other, err, err2)
		}
	}
	want := "linux/amd64"
	if full() {
		want = "linux/amd64 linux/arm64"
	}
	if strings.Join(got, " ") != want {
		t.Errorf("got images for %v, want %s", got, want)
	}
}
