package attacks

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

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
