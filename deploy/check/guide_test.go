package check

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
)

// TestKubernetesGuide: each values file of docs/kubernetes.md makes a sound release, whose config
// check finds nothing wrong with but that the files of its Secrets are not here.
func TestKubernetesGuide(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, "docs/kubernetes.md"), -1)
	if len(blocks) != 2 {
		t.Errorf("got %d examples, want 2", len(blocks))
	}
	for _, block := range blocks {
		v, err := chartutil.ReadValues([]byte(block[1]))
		if err != nil {
			t.Fatal(err)
		}
		o := install(t, v)
		o.sound(t)
		tls, _ := certify(t, "apps.example.com", "wiki.example.com")
		p := newPod(t, o, o.deployments[0].Spec.Template.Spec, map[string]map[string]string{
			"evergate":     {"evergate.key": evergate(t, ".", "", "key", "new"), "oidc.secret": "x", "redis.password": "x"},
			"evergate-tls": {"tls.crt": tls, "tls.key": "x"},
		})
		onlyWarnings(t, p.container, p.config)
	}
}

// TestDocsNameFiles: every file of deploy/ that docs/kubernetes.md, deploy/README.md and comments in
// deploy/ name is there, and the README leads to every folder.
func TestDocsNameFiles(t *testing.T) {
	there := func(path string) bool {
		found, err := filepath.Glob(filepath.Join(repository, path))
		return err == nil && len(found) > 0
	}
	readme := read(t, "deploy/README.md")
	for _, text := range []string{readme, read(t, "docs/kubernetes.md"), read(t, "deploy/compose.yaml"), read(t, "deploy/helm/evergate/values.yaml")} {
		for _, name := range regexp.MustCompile(`\b(?:deploy|docs)/[a-zA-Z0-9_./-]+[a-zA-Z0-9]`).FindAllString(text, -1) {
			if !there(name) {
				t.Errorf("%s is named, and not there", name)
			}
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(readme, -1) {
		if !there("deploy/" + m[1]) {
			t.Errorf("the link to %s leads nowhere", m[1])
		}
	}
	entries, err := filepath.Glob("../*")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := filepath.Base(e); name != "README.md" && name[0] != '.' && !strings.HasPrefix(name, "Dockerfile.") && !strings.Contains(readme, "("+name) {
			t.Errorf("deploy/README.md does not lead to %s", name)
		}
	}
}

// TestCredentials: a key that systemd hands over is taken, by the line that credentials.conf has for
// the config, in the service and by root outside of it.
func TestCredentials(t *testing.T) {
	c := newContainer(t)
	line := regexp.MustCompile(`(?m)^#\s+(keys: .*)$`).FindStringSubmatch(read(t, "deploy/systemd/credentials.conf"))
	if line == nil {
		t.Fatal("there is no line for the config")
	}
	at := loopback()
	c.write("/etc/evergate/evergate.yaml", "public_url: http://localhost:8000\nlisten: "+at+":8000\nadmin: { listen: \""+at+":9180\" }\ndata_dir: /var/lib/evergate\n"+
		"identity: [{ local: { users_file: users.yaml } }]\nroutes: [{ upstream: \"http://127.0.0.1:9\" }]\n"+line[1]+"\n", 0o644, 0)
	c.write("/etc/evergate/users.yaml", users(t), 0o440, 0)
	// As an ACL for the service's user shows in the mode.
	c.write("/run/credentials/evergate.service/evergate.key", evergate(t, ".", "", "key", "new"), fs.FileMode(0o440), 0)
	if _, err := c.run("", "check", "/etc/evergate/evergate.yaml"); err != nil {
		t.Error(err)
	}
	c.env = append(c.env, "CREDENTIALS_DIRECTORY=/run/credentials/evergate.service")
	c.serve()
	if out, err := c.run("", "doctor", "--config", "/etc/evergate/evergate.yaml"); strings.Contains(out, "may be read by others") {
		t.Errorf("doctor: %v", err)
	}
}
