package e2e

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestApacheBasic: pages behind Apache's own HTTP Basic, without a prompt for a password;
// also where the gateway's is wrong, until the file with it is mended.
func TestApacheBasic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pages"), 0o755); err != nil {
		t.Fatal(err)
	}
	const password, secret = "a-password-for-the-evidence", "what-Apache-knöws"
	sum := sha1.Sum([]byte(secret))
	write(t, filepath.Join(dir, "users"), "ann:{SHA}"+base64.StdEncoding.EncodeToString(sum[:])+"\n")
	write(t, filepath.Join(dir, "pages/index.html"), "<!doctype html><title>Old pages</title><p id=inside>Only for whom Apache knows.\n")
	open(t, dir)
	urls := startApache(t, dir, []string{"auth_basic", "authn_core", "authn_file", "authz_user"}, fmt.Sprintf(`<Directory %[1]s/pages>
AuthType Basic
AuthName old
AuthUserFile %[1]s/users
Require valid-user
</Directory>
DirectoryIndex index.html
`, dir), "DocumentRoot "+dir+"/pages")
	public, gateway := legacyGateway(t, password, fmt.Sprintf(`  - { upstream: %q, upstream_auth: { basic: { user: "{claims.preferred_username}", password_file: old.password } } }
`, urls[0]), map[string]string{"old.password": "wrong\n"})

	p := newBrowser(t).tab()
	p.open(public + "/")
	p.signIn("ann", password)
	p.until("a page that says what is wrong", patience, `document.body?.innerText.includes("The app does not let the gateway in")`)
	p.shot("basic-wrong")
	write(t, filepath.Join(filepath.Dir(gateway.cmd.Args[len(gateway.cmd.Args)-1]), "old.password"), secret+"\n")
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		p.open(public + "/")
		if p.text("#inside") != "" {
			break
		}
		if time.Now().After(end) {
			p.stuck("the mended password is not read")
		}
	}
	p.faultless(noFavicon, "status of 502")
}
