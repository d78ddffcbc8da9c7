package attacks

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
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
