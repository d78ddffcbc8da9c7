package attacks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// diffReading is a request as a server understood it.
type diffReading struct {
	ID     string      `json:"id"` // X-Request-Id
	Method string      `json:"method"`
	URI    string      `json:"uri"`  // as it was on the wire
	Path   string      `json:"path"` // as the server finds out by it what to do
	Host   string      `json:"host"`
	Zone   string      `json:"zone"` // the place of its configuration that the server served it by; "" says nothing
	Header [][2]string `json:"header"`
	// Status is that of a server which answered by itself, without an app; "" is none.
	Status string `json:"status"`
}

// diffServer is an upstream that tells what it understood.
type diffServer struct {
	name, url string
	files     []func(all []*diffReading) []*diffReading // add what it has written

	mu  sync.Mutex // guards all
	all []*diffReading
}

func (s *diffServer) host() string { return s.name + ".test" }

func (s *diffServer) add(r *diffReading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r)
}

// told is all that the server has understood so far.
func (s *diffServer) told() []*diffReading {
	s.mu.Lock()
	all := slices.Clone(s.all)
	s.mu.Unlock()
	for _, read := range s.files {
		all = read(all)
	}
	return all
}

// diffZones are the folders of each host, and what the gateway calls their routes.
var diffZones = []string{"public", "odd", "admin"}

// diffZone is the folder that a path leads to.
func diffZone(p string) string {
	for _, z := range diffZones {
		if strings.HasPrefix(p, "/"+z+"/") {
			return z
		}
	}
	return "root"
}

// diffNonce is what all of them answer: which request they take it for.
func diffNonce(header [][2]string) (nonce string) {
	for _, h := range header {
		if diffFold(h[0]) == "x-nonce" {
			nonce += h[1]
		}
	}
	return nonce
}

// diffFold is how CGI and its kin spell a name.
func diffFold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r | 0x20
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return '-'
	}, name)
}

// diffGo is net/http, with its own mux.
func diffGo(t *testing.T) *diffServer {
	s := &diffServer{name: "go"}
	mux := http.NewServeMux()
	mux.Handle("/", diffGoHandler{s, "root"})
	for _, z := range diffZones {
		mux.Handle("/"+z+"/", diffGoHandler{s, z})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, _ := mux.Handler(r)
		ours, _ := h.(diffGoHandler) // or the mux sends the client elsewhere
		diffGoHandler{s, ours.zone}.ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(&diffOverheard{l, s}) }()
	t.Cleanup(func() { srv.Close() })
	s.url = "http://" + l.Addr().String()
	return s
}

type diffGoHandler struct {
	s    *diffServer
	zone string
}

// ServeHTTP implements http.Handler.
func (h diffGoHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	clean := path.Clean(r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "/") && clean != "/" {
		clean += "/"
	}
	told := &diffReading{ID: strings.Join(r.Header["X-Request-Id"], ","), Method: r.Method, URI: r.RequestURI, Path: clean, Host: r.Host, Zone: h.zone}
	for name, values := range r.Header {
		for _, v := range values {
			told.Header = append(told.Header, [2]string{name, v})
		}
	}
	_, _ = io.Copy(io.Discard, r.Body)
	for name, values := range r.Trailer {
		for _, v := range values {
			told.Header = append(told.Header, [2]string{name, v})
		}
	}
	h.s.add(told)
	fmt.Fprint(w, diffNonce(told.Header))
}

// diffOverheard notices what net/http refuses before a handler sees it.
type diffOverheard struct {
	net.Listener
	s *diffServer
}

// Accept implements net.Listener.
func (o *diffOverheard) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	return &diffOverheardConn{c, o.s}, err
}

type diffOverheardConn struct {
	net.Conn
	s *diffServer
}

// Write implements net.Conn.
func (c *diffOverheardConn) Write(b []byte) (int, error) {
	if rest, ok := bytes.CutPrefix(b, []byte("HTTP/1.1 ")); ok && len(rest) > 3 && rest[0] != '2' && !bytes.Contains(b, []byte("Date: ")) {
		c.s.add(&diffReading{Status: string(rest[:3])})
	}
	return c.Conn.Write(b)
}

// diffDir is a folder that servers who give up root can read.
func diffDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "evergate-differential-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// diffRun runs a server until the test is over, and waits until it listens.
func diffRun(t *testing.T, dir string, port int, program string, args ...string) {
	t.Helper()
	cmd, out := exec.Command(program, args...), &output{}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // some signal their whole group
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", program, out.end())
		}
	})
	for range 1000 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended before it listened:\n%s", program, out.end())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen:\n%s", program, out.end())
}

// diffNeed finds a program of a Debian package.
func diffNeed(t *testing.T, program, pkg string) string {
	t.Helper()
	for _, p := range []string{program, "/usr/sbin/" + program} {
		if found, err := exec.LookPath(p); err == nil {
			return found
		}
	}
	missing(t, fmt.Sprintf("%s is not installed, so nothing is known of how it reads requests; apt-get install %s", program, pkg))
	return ""
}

func diffWrite(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// diffLines calls f for each whole line of a file that grows.
func diffLines(file string, f func(line string)) {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if strings.HasSuffix(line, "\n") {
			f(strings.TrimSuffix(line, "\n"))
		}
	}
}

// accesses reads an access log with JSON in it: what the server answered with no app is in
// there alone.
func (s *diffServer) accesses(file string) {
	s.files = append(s.files, func(all []*diffReading) []*diffReading {
		seen := map[string]bool{}
		for _, r := range all {
			seen[r.ID] = true
		}
		diffLines(file, func(line string) {
			var r diffReading
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				r.Status = "an access line that cannot be read: " + line
			}
			if r.ID = strings.TrimPrefix(r.ID, "-"); !seen[r.ID] || r.ID == "" {
				all = append(all, &r)
			}
		})
		return all
	})
}

// diffNginx is nginx in front of an SCGI app, which gets everything as CGI has it.
func diffNginx(t *testing.T) *diffServer {
	nginx := diffNeed(t, "nginx", "nginx-light")
	s, dir, port := &diffServer{name: "nginx"}, diffDir(t), freePort(t)
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Close() })
	go func() {
		for {
			c, err := app.Accept()
			if err != nil {
				return
			}
			go s.scgi(c)
		}
	}()
	var places strings.Builder
	place := func(location, zone string) {
		fmt.Fprintf(&places, "    location %s { scgi_param ZONE %s; scgi_param REQUEST_METHOD $request_method; scgi_param REQUEST_URI $request_uri; scgi_param DOCUMENT_URI $document_uri; scgi_param HOST $host; scgi_param CONTENT_LENGTH $content_length; scgi_pass %s; }\n",
			location, zone, app.Addr())
	}
	place("/", "root")
	for _, z := range diffZones {
		place("/"+z+"/", z)
	}
	diffWrite(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http {
  log_format told escape=json '{"id":"$http_x_request_id","status":"$status","method":"$request_method","uri":"$request_uri","path":"$uri","host":"$host"}';
  access_log told.log told;
  underscores_in_headers on; ignore_invalid_headers off; keepalive_requests 1000000;
  client_body_temp_path . ; proxy_temp_path . ; fastcgi_temp_path . ; uwsgi_temp_path . ; scgi_temp_path . ;
  server {
    listen 127.0.0.1:%d;
%s  }
}
`, port, places.String()), 0o644)
	s.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	s.accesses(filepath.Join(dir, "told.log"))
	diffRun(t, dir, port, nginx, "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	return s
}

// scgi serves one request of SCGI: a netstring with the environment of CGI, then the body.
func (s *diffServer) scgi(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	size, err := in.ReadString(':')
	n, bad := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil || bad != nil {
		return
	}
	env := make([]byte, n+1)
	if _, err := io.ReadFull(in, env); err != nil {
		return
	}
	told, length := &diffReading{}, 0
	for fields := strings.Split(string(env), "\x00"); len(fields) > 2; fields = fields[2:] {
		switch name, value := fields[0], fields[1]; name {
		case "REQUEST_METHOD":
			told.Method = value
		case "REQUEST_URI":
			told.URI = value
		case "DOCUMENT_URI":
			told.Path = value
		case "HOST":
			told.Host = value
		case "ZONE":
			told.Zone = value
		case "CONTENT_LENGTH":
			length, _ = strconv.Atoi(value)
		default:
			if name == "HTTP_X_REQUEST_ID" {
				told.ID = value
			}
			if header, ok := strings.CutPrefix(name, "HTTP_"); ok {
				told.Header = append(told.Header, [2]string{header, value})
			}
		}
	}
	_, _ = io.CopyN(io.Discard, in, int64(length))
	s.add(told)
	fmt.Fprintf(c, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n%s", diffNonce(told.Header))
}

const diffLua = `local function esc(s)
  return (tostring(s or ""):gsub("[^%w]", function(c) return string.format("%%%02X", c:byte()) end))
end
function handle(r)
  local header, nonce = {}, ""
  for k, v in pairs(r:headers_in_table()) do
    header[#header+1] = esc(k) .. "=" .. esc(v)
    if k:lower() == "x-nonce" then nonce = nonce .. v end
  end
  r:requestbody(nil, 1048576)
  local f = io.open(r.subprocess_env["TOLD"], "a")
  f:write(table.concat({esc(r.headers_in["X-Request-Id"]), esc(r.method), esc(r.unparsed_uri), esc(r.uri), esc(r.hostname), esc(r.subprocess_env["ZONE"]), table.concat(header, "&")}, " "), "\n")
  f:close()
  r.content_type = "text/plain"
  r:write(nonce)
  return apache2.OK
end
`

// diffApache is Apache httpd with an app in its own Lua.
func diffApache(t *testing.T) *diffServer {
	apache := diffNeed(t, "apache2", "apache2")
	s, dir, port := &diffServer{name: "apache"}, diffDir(t), freePort(t)
	told := filepath.Join(dir, "app.log")
	diffWrite(t, told, "", 0o666)
	diffWrite(t, filepath.Join(dir, "app.lua"), diffLua, 0o644)
	var conf strings.Builder
	for _, m := range []string{"mpm_event", "authz_core", "env", "lua"} {
		fmt.Fprintf(&conf, "LoadModule %s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
	}
	if os.Geteuid() == 0 {
		conf.WriteString("User www-data\nGroup www-data\n")
	}
	fmt.Fprintf(&conf, `ServerName localhost
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/apache.pid
ErrorLog /dev/stderr
LogLevel crit
Listen 127.0.0.1:%[2]d
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
AllowEncodedSlashes On
LuaScope thread
LuaMapHandler ^/ %[1]s/app.lua handle
SetEnv TOLD %[3]s
LogFormat "{\"id\":\"%%{X-Request-Id}i\",\"status\":\"%%>s\",\"method\":\"%%m\"}" told
CustomLog %[1]s/told.log told
SetEnv ZONE root
`, dir, port, told)
	for _, z := range diffZones {
		fmt.Fprintf(&conf, "<Location /%[1]s/>\nSetEnv ZONE %[1]s\n</Location>\n", z)
	}
	diffWrite(t, filepath.Join(dir, "apache.conf"), conf.String(), 0o644)
	s.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	s.files = append(s.files, func(all []*diffReading) []*diffReading {
		diffLines(told, func(line string) {
			fields := strings.Split(line, " ")
			if len(fields) != 7 {
				all = append(all, &diffReading{Status: "a line that cannot be read: " + line})
				return
			}
			header, _ := url.ParseQuery(fields[6])
			for i := range fields {
				fields[i], _ = url.PathUnescape(fields[i])
			}
			r := &diffReading{ID: fields[0], Method: fields[1], URI: fields[2], Path: fields[3], Host: fields[4], Zone: fields[5]}
			for name, values := range header {
				for _, v := range values {
					r.Header = append(r.Header, [2]string{name, v})
				}
			}
			all = append(all, r)
		})
		return all
	})
	s.accesses(filepath.Join(dir, "told.log"))
	diffRun(t, dir, port, apache, "-DFOREGROUND", "-f", filepath.Join(dir, "apache.conf"))
	return s
}

const diffPythonApp = `import json, posixpath, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

told, lock = open(sys.argv[2], "a"), threading.Lock()

def tell(**what):
    with lock:
        told.write(json.dumps(what) + "\n")
        told.flush()

class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            while True:
                size = int(self.rfile.readline().split(b";")[0].strip() or b"0", 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return
                self.rfile.read(size)
                self.rfile.readline()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def serve(self):
        # The path as SimpleHTTPRequestHandler looks for files by it.
        bare = unquote(self.path.split("?", 1)[0].split("#", 1)[0])
        path = posixpath.normpath(bare)
        if bare.endswith("/") and not path.endswith("/"):
            path += "/"
        self.body()
        tell(id=",".join(self.headers.get_all("X-Request-Id") or []), method=self.command, uri=self.path, path=path,
             host=self.headers.get("Host", ""), header=[[k, v] for k, v in self.headers.items()])
        nonce = "".join(self.headers.get_all("X-Nonce") or []).encode("latin-1")
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(nonce) + (b"" if self.command == "HEAD" else nonce))

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def send_error(self, code, *args):
        tell(status=str(int(code)), uri=self.requestline)
        super().send_error(code, *args)

    def log_message(self, *args):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128

Server(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
`

// diffPython is Python's http.server.
func diffPython(t *testing.T) *diffServer {
	python := diffNeed(t, "python3", "python3")
	s, dir, port := &diffServer{name: "python"}, diffDir(t), freePort(t)
	told := filepath.Join(dir, "told.log")
	diffWrite(t, filepath.Join(dir, "app.py"), diffPythonApp, 0o644)
	s.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	s.accesses(told)
	diffRun(t, dir, port, python, filepath.Join(dir, "app.py"), strconv.Itoa(port), told)
	return s
}
