package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startNagios runs Debian's Nagios, and its CGI programs in Apache. They show who is
// named in REMOTE_USER what that one may see; the recipe of docs/legacy-apps.md fills it
// from the gateway's header. It returns the URLs of two sites: as the package has it, and
// the programs at the root.
func startNagios(t *testing.T) (sub, root string) {
	t.Helper()
	daemon := need(t, "nagios4", "nagios4-core")
	const programs = "/usr/lib/cgi-bin/nagios4"
	if _, err := os.Stat(programs + "/status.cgi"); err != nil {
		missing(t, "the CGI programs of Nagios are not installed; apt-get install nagios4-cgi")
	}
	dir := t.TempDir()
	for _, d := range []string{"rw", "spool", "archives"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "objects.cfg"), `
define timeperiod {
 timeperiod_name never
 alias never
}
define command {
 command_name nothing
 command_line /bin/true
}
`+contactAndHost("ann")+contactAndHost("bob"))
	conf := fmt.Sprintf(`log_file=%[1]s/nagios.log
cfg_file=%[1]s/objects.cfg
object_cache_file=%[1]s/objects.cache
precached_object_file=%[1]s/objects.precache
status_file=%[1]s/status.dat
status_update_interval=1
command_file=%[1]s/rw/nagios.cmd
query_socket=%[1]s/rw/nagios.qh
lock_file=%[1]s/nagios.pid
temp_file=%[1]s/nagios.tmp
temp_path=%[1]s
check_result_path=%[1]s/spool
log_archive_path=%[1]s/archives
state_retention_file=%[1]s/retention.dat
use_syslog=0
check_for_updates=0
execute_service_checks=0
execute_host_checks=0
`, dir)
	if os.Geteuid() == 0 {
		conf += "nagios_user=nagios\nnagios_group=nagios\n"
	}
	write(t, filepath.Join(dir, "nagios.cfg"), conf)
	write(t, filepath.Join(dir, "cgi.cfg"), fmt.Sprintf("main_config_file=%s/nagios.cfg\nphysical_html_path=/usr/share/nagios4/htdocs\nurl_html_path=/nagios4\nuse_authentication=1\nenable_page_tour=0\n", dir))
	open(t, dir)
	startApart(t, dir, daemon, filepath.Join(dir, "nagios.cfg"))
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "status.dat")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("Nagios writes no status.dat")
		}
	}
	common := fmt.Sprintf(`SetEnv NAGIOS_CGI_CONFIG %s/cgi.cfg
SetEnvIf ^Remote-User$ "(.+)" REMOTE_USER=$1
<Directory %s>
Options +ExecCGI
Require local
</Directory>
<Directory /usr/share/nagios4>
Require local
</Directory>
`, dir, programs)
	urls := startApache(t, dir, []string{"cgi"}, common,
		"ScriptAlias /nagios4/cgi-bin "+programs+"\nAlias /nagios4 /usr/share/nagios4/htdocs", "ScriptAlias / "+programs+"/")
	return urls[0], urls[1]
}

// contactAndHost are somebody, and a printer that is theirs alone to see.
func contactAndHost(name string) string {
	return strings.ReplaceAll(`define contact {
 contact_name NAME
 host_notification_period never
 service_notification_period never
 host_notification_commands nothing
 service_notification_commands nothing
}
define host {
 host_name NAME-s-printer
 address 127.0.0.1
 check_period never
 max_check_attempts 1
 contacts NAME
 notification_period never
}
define service {
 service_description paper
 host_name NAME-s-printer
 check_command nothing
 check_period never
 max_check_attempts 1
 contacts NAME
 notification_period never
}
`, "NAME", name)
}

var loggedInAs = regexp.MustCompile(`(?i)Logged in as <i>([^<]*)</i>`)

// TestNagiosTrustsRemoteUser: CGI programs that believe REMOTE_USER show each their own,
// at a sub-path and at a host of their own; and nobody else's, whatever a client says.
func TestNagiosTrustsRemoteUser(t *testing.T) {
	t.Parallel()
	sub, root := startNagios(t)
	const password = "a-password-for-the-evidence"
	public, _ := legacyGateway(t, password, fmt.Sprintf(`  - { name: nagios, match: { path: /nagios4/ }, upstream: %q, request_headers: { set: { Remote-User: "{user}" } } }
  - { name: root, match: { host: nagios.localhost }, upstream: %q, request_headers: { set: { Remote-User: "{claims.preferred_username}" } } }
`, sub, root), map[string]string{})

	p := newBrowser(t).tab()
	p.open(public + "/nagios4/cgi-bin/status.cgi?hostgroup=all&style=hostdetail")
	p.signIn("ann", password)
	for i, at := range []string{public + "/nagios4/cgi-bin", strings.Replace(public, "localhost", "nagios.localhost", 1)} {
		if i > 0 {
			p.open(at + "/status.cgi?hostgroup=all&style=hostdetail")
		}
		p.until("Nagios knows her", patience, `document.body?.innerText.includes("Logged in as ann")`)
		p.until("all of the page", patience, `document.readyState == "complete"`) // the program writes it bit by bit
		page := eval[string](p, "document.body.innerText")
		if !strings.Contains(page, "ann-s-printer") || strings.Contains(page, "bob-s-printer") {
			t.Errorf("at %s Nagios shows\n%s\nwant what is ann's alone", at, page)
		}
	}
	p.shot("nagios")

	// Her browser's own word for who she is is not heard, however it is spelled.
	cookies := p.cookies(public + "/")
	for _, name := range []string{"Remote-User", "REMOTE_USER", "remote.user", "Remote_User", "X-Remote-User"} {
		req, err := http.NewRequest(http.MethodGet, public+"/nagios4/cgi-bin/status.cgi?hostgroup=all&style=hostdetail", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header[name] = []string{"bob"}
		for _, c := range cookies {
			req.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		who := loggedInAs.FindSubmatch(body)
		if err != nil || who == nil || string(who[1]) != "ann" || strings.Contains(string(body), "bob-s-printer") {
			t.Errorf("%s: bob: Nagios takes the browser for %q, %v, want ann", name, who, err)
		}
	}
	p.faultless(noFavicon, "/nagios4/") // at the root the package's styles are elsewhere
}
