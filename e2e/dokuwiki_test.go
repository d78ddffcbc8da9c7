package e2e

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dokuwiki is Debian's DokuWiki in Apache, with pages and users of its own.
type dokuwiki struct {
	dir          string
	sub, root    string // its URLs: below /dokuwiki/, and at the root
	phpSessions  string
	userPassword string
}

func startDokuWiki(t *testing.T) *dokuwiki {
	t.Helper()
	const program = "/usr/share/dokuwiki"
	if _, err := os.Stat(program + "/doku.php"); err != nil {
		missing(t, "DokuWiki is not installed; apt-get install dokuwiki")
	}
	w := &dokuwiki{dir: t.TempDir(), userPassword: "what-the-wiki-knows"}
	w.phpSessions = filepath.Join(w.dir, "php")
	for _, d := range []string{"conf", "php", "data/pages", "data/attic", "data/media", "data/media_attic", "data/media_meta", "data/meta", "data/cache", "data/index", "data/locks", "data/log", "data/tmp"} {
		if err := os.MkdirAll(filepath.Join(w.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := func(name, text string) { write(t, filepath.Join(w.dir, "conf", name), text) }
	conf("local.php", fmt.Sprintf("<?php\n$conf['title'] = 'The old wiki';\n$conf['useacl'] = 1;\n$conf['superuser'] = '@admin';\n$conf['savedir'] = '%s/data';\n", w.dir))
	conf("acl.auth.php", "# <?php exit()?>\n*\t@ALL\t0\n*\t@user\t8\n")
	conf("users.auth.php", fmt.Sprintf("ann:%x:Ann of the wiki:ann@example.org:user\n", md5.Sum([]byte(w.userPassword))))
	conf("preload.php", fmt.Sprintf("<?php define('DOKU_CONF', '%s/conf/');\n", w.dir))
	open(t, w.dir)
	common := fmt.Sprintf(`DirectoryIndex doku.php
<FilesMatch "\.php$">
SetHandler application/x-httpd-php
</FilesMatch>
<Directory %[1]s/>
Options +FollowSymLinks
AllowOverride All
Require local
</Directory>
php_admin_value session.save_path %[2]s
php_admin_value auto_prepend_file %[3]s/conf/preload.php
`, program, w.phpSessions, w.dir)
	urls := startApache(t, w.dir, []string{"php"}, common, "Alias /dokuwiki "+program, "DocumentRoot "+program)
	w.sub, w.root = urls[0], urls[1]
	return w
}

// forget ends all sessions of the wiki, as an update or a cleaned disk does.
func (w *dokuwiki) forget(t *testing.T) (ended int) {
	t.Helper()
	sessions, err := filepath.Glob(filepath.Join(w.phpSessions, "sess_*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(sessions, filepath.Join(w.dir, "data/meta/_htcookiesalt2")) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	return len(sessions)
}

// TestDokuWikiByItsLoginForm: a PHP application with users of its own, at a sub-path and
// at a host of its own, is used by somebody who has never typed its password. It forgets them
// once, and they do not notice.
func TestDokuWikiByItsLoginForm(t *testing.T) {
	t.Parallel()
	wiki := startDokuWiki(t)
	const password = "a-password-for-the-evidence"
	form := func(login string) string {
		return fmt.Sprintf(`{ form: { login: %q, user: "{user}", password_file: wiki.password, login_in_page: true, browser_cookies: [DOKU_PREFS] } }`, login)
	}
	public, gateway := legacyGateway(t, password, fmt.Sprintf(`  - { name: wiki, match: { path: /dokuwiki/ }, upstream: %q, upstream_auth: %s }
  - { name: root, match: { host: wiki.localhost }, upstream: %q, upstream_auth: %s }
`, wiki.sub, form("/dokuwiki/doku.php?do=login"), wiki.root, form("/doku.php?do=login")), map[string]string{"wiki.password": wiki.userPassword + "\n"})

	p := newBrowser(t).tab()
	p.open(public + "/dokuwiki/doku.php?id=start")
	p.signIn("ann", password)
	p.until("the wiki", patience, `document.querySelector(".user")`)
	own := strings.Replace(public, "localhost", "wiki.localhost", 1)
	p.open(own + "/doku.php?id=start")
	p.until("the wiki at its own host, without a sign-in", patience, `document.querySelector(".user")`)
	for i, at := range []string{public + "/dokuwiki", own} {
		p.open(at + "/doku.php?id=start")
		p.until("the wiki knows her", patience, `document.querySelector(".user")?.innerText.includes("Ann of the wiki")`)
		p.shot("dokuwiki")
		page := fmt.Sprint("page", i)
		edit := func(text string) {
			t.Helper()
			p.open(at + "/doku.php?id=" + page + "&do=edit")
			p.until("the editor", patience, `document.querySelector("#wiki__text")`)
			p.fill("#wiki__text", text)
			p.click("#edbtn__save")
			p.until("the page", patience, fmt.Sprintf(`document.querySelector(".page")?.innerText.includes(%q)`, text))
		}
		edit("Written behind the gateway.")
		if n := wiki.forget(t); n == 0 {
			t.Fatal("the wiki had no session to end")
		}
		p.open(at + "/doku.php?id=" + page)
		p.until("the page, after the wiki forgot", patience, `document.querySelector(".page")?.innerText.includes("Written behind") && document.querySelector(".user")`)
		edit("Written once more.")
		p.noCookieOfTheApp(at+"/", "DOKU_PREFS")
	}
	p.shot("dokuwiki-after")
	p.faultless(noFavicon, "manifest.php") // which browsers fetch without cookies
	if logged := gateway.stdout.String() + gateway.stderr.String(); strings.Contains(logged, wiki.userPassword) || strings.Count(logged, "upstream.signed_in") != 5 {
		// Two at first; the first time that it forgets ends both, the second time one.
		t.Errorf("want five sign-ins in the log, and no password:\n%s", logged)
	}
	// Straight to it, nobody gets in: this was the gateway's doing.
	res, err := http.Get(wiki.sub + "/dokuwiki/doku.php?id=page0")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := make([]byte, 64<<10)
	n, _ := res.Body.Read(body)
	if strings.Contains(string(body[:n]), "Written") {
		t.Error("the wiki shows its pages to anybody")
	}
}
