package fetch

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// lines are the parts of a request on the wire, but for the order of its header.
func lines(t *testing.T, wire []byte) (first string, rest []string) {
	t.Helper()
	head, body, ok := bytes.Cut(wire, []byte("\r\n\r\n"))
	if !ok || len(body) > 0 {
		t.Fatalf("got %q, want a head alone", wire)
	}
	all := strings.Split(string(head), "\r\n")
	slices.Sort(all[1:])
	return all[0], all[1:]
}

// What goes over the wire is what http.Request.Write says, but for the order of the lines.
func FuzzHead(f *testing.F) {
	f.Add("GET", "http://app/a?b=c", "h:80", "agent", "X-A", "1", "X-B", "2")
	f.Add("HEAD", "http://app", "", "", "Content-Length", "7", "Cookie", "a=b; c=d")
	f.Add("GET", "http://app/%2e%2F/%00?%0a", "[::1]:8", "a\tb", "Transfer-Encoding", "chunked", "x", "ä")
	f.Add("GET", "http://[fe80::1%25eth0]/", "", "x", "A B", "1", "X", "a\r\nB: c")
	f.Add("GET", "http://app/a b?c d", "ä.example", "x", "Trailer", "X", "Host", "other")
	f.Add("GET", "http://app//evil", "h/x", "x", "X", " padded ", "Y", "\x00")
	f.Fuzz(func(t *testing.T, method, address, host, agent, name1, value1, name2, value2 string) {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Opaque != "" {
			return
		}
		req := &http.Request{Method: method, URL: u, Host: host, Header: http.Header{"User-Agent": {agent}}}
		for name, value := range map[string]string{name1: value1, name2: value2} {
			req.Header[name] = append(req.Header[name], value)
		}
		if !Takes(req) {
			return
		}
		h := &head{}
		if !h.write(req) {
			return
		}
		var want bytes.Buffer
		if err := req.Write(&want); err != nil {
			t.Fatalf("took what net/http refuses: %v", err)
		}
		gotFirst, gotRest := lines(t, h.bytes)
		wantFirst, wantRest := lines(t, want.Bytes())
		if gotFirst != wantFirst || !slices.Equal(gotRest, wantRest) {
			t.Errorf("got %q\nwant %q", h.bytes, want.Bytes())
		}
	})
}

func TestTakes(t *testing.T) {
	plain := func() *http.Request {
		r, _ := http.NewRequest("GET", "http://app/a", nil)
		r.Header.Set("User-Agent", "x")
		return r
	}
	if r := plain(); !Takes(r) || !new(head).write(r) {
		t.Error("a plain GET: got no, want yes")
	}
	for what, change := range map[string]func(r *http.Request){
		"POST":              func(r *http.Request) { r.Method = "POST" },
		"a body":            func(r *http.Request) { r.Body = http.MaxBytesReader(nil, nil, 1) },
		"an unknown length": func(r *http.Request) { r.ContentLength = -1 },
		"close":             func(r *http.Request) { r.Close = true },
		"a trailer":         func(r *http.Request) { r.Trailer = http.Header{"X": nil} },
		"chunked":           func(r *http.Request) { r.TransferEncoding = []string{"chunked"} },
		"upgrade":           func(r *http.Request) { r.Header.Set("Upgrade", "h2c") },
		"connection":        func(r *http.Request) { r.Header.Set("Connection", "close") },
		"expect":            func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
		"no agent":          func(r *http.Request) { delete(r.Header, "User-Agent") },
		"agents":            func(r *http.Request) { r.Header.Add("User-Agent", "y") },
		"a bad agent":       func(r *http.Request) { r.Header.Set("User-Agent", "y\r\nX: 1") },
		"a bad name":        func(r *http.Request) { r.Header["a b"] = []string{"1"} },
		"no name":           func(r *http.Request) { r.Header[""] = []string{"1"} },
		"a bad value":       func(r *http.Request) { r.Header["X"] = []string{"a\nb"} },
		"a padded value":    func(r *http.Request) { r.Header["X"] = []string{"a "} },
		"a bad host":        func(r *http.Request) { r.Host = "a\r\nX: 1" },
		"a host with more":  func(r *http.Request) { r.Host = "a/b" },
		"a zone":            func(r *http.Request) { r.Host = "[fe80::1%25eth0]" },
		"no host":           func(r *http.Request) { r.Host, r.URL.Host = "", "" },
		"an opaque address": func(r *http.Request) { r.URL.Opaque = "//other/x" + " HTTP/1.1\r\n" },
		"a query with more": func(r *http.Request) { r.URL.RawQuery = "a b" },
	} {
		r := plain()
		if change(r); Takes(r) && new(head).write(r) {
			t.Errorf("%s: got yes, want no", what)
		}
	}
}

func BenchmarkHead(b *testing.B) {
	r, _ := http.NewRequest("GET", "http://app/a/b?c=d", nil)
	for _, name := range []string{"Accept", "Accept-Encoding", "Authorization", "Cookie", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Request-Id"} {
		r.Header.Set(name, "some value of a usual length")
	}
	b.ReportAllocs()
	for b.Loop() {
		h := heads.Get().(*head)
		if !h.write(r) {
			b.Fatal("it was not taken")
		}
		h.free()
	}
}
