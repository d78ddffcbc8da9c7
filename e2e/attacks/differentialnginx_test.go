package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

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
