package attacks

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// diffWild is one generated request.
type diffWild struct {
	n      int
	method string // the answer is read as one to it
	raw    string
	// loose is one of which it is not for us to say where it ends: it may be read as several
	// requests, or as the beginning of one.
	loose bool
}

// diffEvil is in every value that a client must not say.
const diffEvil = "evil"

// diffNames are headers that speak for the gateway, in the spelling of their first authors.
var diffNames = []string{"X-Auth-User", "X-Auth-Request-User", "X-Forwarded-User", "X-Forwarded-Groups", "X-Forwarded-Email", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Preferred-Username", "Remote-User", "X-Remote-User", "Authorization", "X-Original-Url", "X-Rewrite-Url", "X-Real-Ip",
	"Forwarded", "X-Http-Method-Override", "X-Webauth-User", "X-Ssl-Client-S-Dn", "Proxy", "X-Request-Id", "X-User", "X-Access-Token"}

// diffMix draws one request after the other.
type diffMix struct {
	*rand.Rand
	n     int
	host  string   // of the upstream that it is meant for
	hosts []string // of all
}

func diffPick[T any](m *diffMix, list ...T) T { return list[m.IntN(len(list))] }

func (m *diffMix) chance(percent int) bool { return m.IntN(100) < percent }

// diffMake is request n of a seed, which is the same whatever was drawn before.
func diffMake(seed uint64, n int, host string, hosts []string) diffWild {
	m := &diffMix{rand.New(rand.NewPCG(seed, uint64(n))), n, host, hosts}
	w := diffWild{n: n, method: "GET"}
	if m.chance(30) {
		w.method = diffPick(m, "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "QUERY", "PROPFIND", "VERSION-CONTROL", "get", "GETT", "TRACE", "CONNECT", "PRI", "M-SEARCH", "", "G\tET", "GET ", "GET\x00", "X"+"Y")
	}
	line := w.method + " " + m.target() + " " + m.version()
	if m.chance(2) {
		line = diffPick(m, " "+line, "\r\n"+line, "\t"+line, line+" ", line+"\x00", strings.ReplaceAll(line, " ", "\t"), strings.ReplaceAll(line, " ", "  "))
	}
	head := append([]string{line}, m.hostLines()...)
	head = append(head, fmt.Sprintf("X-Nonce: n%d", n))
	for range m.IntN(3) {
		head = append(head, m.header())
	}
	if m.chance(10) {
		head = append(head, diffPick(m, "Connection: X-Request-Id, X-Forwarded-Host", "Connection: close, X-Forwarded-For", "Connection: Host", "Connection: Content-Length, Transfer-Encoding"))
	}
	body := ""
	if m.chance(25) {
		var lines []string
		lines, body, w.loose = m.framing()
		head = append(head, lines...)
	}
	m.Shuffle(len(head)-1, func(i, j int) { head[i+1], head[j+1] = head[j+1], head[i+1] })
	end := "\r\n"
	if m.chance(4) {
		end, w.loose = diffPick(m, "\n", "\r\r\n", "\r", "\n\r"), true
	}
	w.raw = strings.Join(head, end) + end + end + body
	// What may hold the end of a line or of a header is for nobody to count, and neither is
	// what comes after a tunnel or a preface.
	w.loose = w.loose || strings.ContainsAny(strings.Join(head, ""), "\r\n\x00") || w.method == "CONNECT" || w.method == "PRI" || !strings.Contains(line, " HTTP/1.1")
	return w
}

func (m *diffMix) version() string {
	if m.chance(95) {
		return "HTTP/1.1"
	}
	return diffPick(m, "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 x", "HTTP/01.1", "HTTP/1.1\v", "")
}

// target is a request target: the origin form, mostly, and what others take for one.
func (m *diffMix) target() string {
	t := m.path()
	if m.chance(30) {
		t += diffPick(m, "?a=1", "?a=1", "?a=1", "?", "?", "?/../admin/", "??", "?a=%00", "?a=/public/;b", "#f", "#/../admin/", "%3fa", "%23a", "?a#b", "?a=\xff", ";v=1", "?a b")
	}
	if m.chance(94) {
		return t
	}
	other := diffPick(m, m.hosts...)
	return diffPick(m, "http://"+m.host+t, "http://"+other+t, "https://"+other+t, "HTTP://"+other+"@"+m.host+t, "//"+other+t, "///"+other+t, "*", "*"+t, other+t, other+":443", "http:"+t, "http:/"+t, "\\"+t, "?"+t, "", "/"+t, "http://"+m.host)
}

// diffSegments are what paths are made of. Most of them lead upwards by somebody's reading.
var diffSegments = []string{"..", ".", "%2e%2e", "%2E.", ".%2e", "..;", "..;x=1", ".;x", "%2e%2e;x", "..%00", "..%09", "...", "%252e%252e", "%25252e%25252e", "..%2f", "%2e%2e%2f", "..%5c", "..\\", "%2e%2e%5c",
	"%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%c0%2e", "\xc0\xae\xc0\xae", "%ef%bc%8e%ef%bc%8e", "\uff0e\uff0e", "\u2025", "%u002e%u002e", "..%c0%af", "..%ef%bc%8f", "..\u2215", "%", "%zz", "%2", "%%32%65",
	"", "", "%2f", "%5c", "\\", "a", "b.txt", "index.php", "a;b=c", "%3b", "%23", "%3f", "%3F..", "#", "%0a", "%0d%0a", "%00", "\x00", "\t", "%20", " ", "~", "%7e", "*", ":", "@", "[", "|", "^", "\"", "<", "\xff", "%ff", "ü", "%c3%bc",
	"admin", "admin", "ADMIN", "%61dmin", "%2561dmin", "adm%69n", "admin.", "admin%20", "admin%00", "admin%2f", "admin;", "admin::$DATA", "%c4%b0", "public", "odd", ".evergate", "%2eevergate", "logout"}

func (m *diffMix) path() string {
	var b strings.Builder
	b.WriteString(diffPick(m, "/public/", "/public/", "/public/", "/odd/", "/odd/", "/odd/", "/", "/", "/x/", "/admin/", "/public", "//", "/./", "/public//", "/.evergate/", "/PUBLIC/", "\\public\\", "/%2f", "/public%2f", "/%70ublic/", "/public;x/", ""))
	n := 1 + m.IntN(4)
	for i := range n {
		b.WriteString(diffPick(m, diffSegments...))
		if i < n-1 || m.chance(40) {
			b.WriteString(diffPick(m, "/", "/", "/", "/", "/", "//", "\\", "%2f", "%5c", "/./", ";/", "%2F", "/;/"))
		}
	}
	if m.chance(50) { // ordinary ones, for a share that gets there
		b.Reset()
		b.WriteString(diffPick(m, "/public/", "/odd/", "/") + diffPick(m, "a", "b/c", "a%2fb", "a;v=1", "a//b", "%61", "a%20b", "ü", "%C3%BC", "admin", "a:b@c", "x/public/", "a%3Bb", "a%252fb", "a%25", "a+b", "[a]", "a'b\"c", "a|b"))
	}
	p := b.String()
	if m.chance(20) && p != "" {
		i := m.IntN(len(p))
		p = p[:i] + diffPick(m, fmt.Sprintf("%%%02x", p[i]), fmt.Sprintf("%%%02X", p[i]), fmt.Sprintf("%%25%02x", p[i]), fmt.Sprintf("%%c%d%%%02x", p[i]>>6&1, p[i]&0x3f|0x80),
			strings.ToUpper(p[i:i+1]), "", string([]byte{byte(m.IntN(256))}), p[i:i+1]+"%0d%0aX-Auth-User:%20"+diffEvil) + p[i+1:]
	}
	return p
}

func (m *diffMix) hostLines() []string {
	right := "Host: " + m.host
	if m.chance(85) {
		return []string{right}
	}
	other := diffPick(m, m.hosts...)
	return diffPick(m, nil, []string{"Host:"}, []string{right, right}, []string{right, "Host: " + other}, []string{"Host: " + other, right}, []string{"Host:\t" + m.host + " "},
		[]string{"Host: " + strings.ToUpper(m.host)}, []string{right + "."}, []string{right + ":443"}, []string{right + ":80"}, []string{right + ":80:90"}, []string{right + ":"}, []string{right + ", " + other},
		[]string{"Host: " + other + "@" + m.host}, []string{right + "#" + other}, []string{right + "/public/"}, []string{right + "?" + other}, []string{right + "\\" + other}, []string{right + "%00"},
		[]string{right + " " + other}, []string{"Host : " + m.host}, []string{right, " " + other}, []string{"Host: [" + m.host + "]"}, []string{"Host: admin." + m.host}, []string{"hOST: " + other},
		[]string{right, "Host_: " + other}, []string{right, "X-Host: " + diffEvil}, []string{right, "X-Forwarded-Host: " + diffEvil}, []string{right + "\x00"}, []string{right + "\r"}, []string{"Host: " + diffEvil + ".test"})
}

// spell writes a name in a way that somebody takes for the same one.
func (m *diffMix) spell(name string) string {
	if m.chance(30) {
		return name
	}
	b := []byte(name)
	for i, c := range b {
		switch {
		case c == '-':
			b[i] = diffPick[byte](m, '-', '-', '-', '-', '_', '_', '_', '_', '.', '.', '~', '+', ' ', '\'', '!')
		case m.chance(20):
			b[i] = c ^ 0x20
		}
	}
	return diffPick(m, "", "", "", "", "", "", "", "", "", "", "", "", " ", "HTTP_") + string(b) + diffPick(m, "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", " ", "\t", "_", "\x00", "\x0b", "\xa0")
}

func (m *diffMix) header() string {
	name := diffPick(m, diffNames...)
	if m.chance(80) {
		return m.spell(name) + ":" + diffPick(m, " ", " ", "", "\t", "  ") + diffEvil
	}
	line := name + ": " + diffEvil
	return diffPick(m, "X-A: 1\r\n "+line, "X-A: 1\r\n\t"+line, "X-A: 1\n"+line, "X-A: 1\r"+line, "X-A: 1\x0b"+line, "X-A: 1\x0c"+line, "X-A: 1\x85"+line, "X-A: 1\xc2\x85"+line, "X-A: 1\u2028"+line, "X-A: 1\x1c"+line, "X-A: 1\x00\r\n"+line,
		"X-A: \x00"+line, "X-A: 1%0d%0a"+line, "X-A: 1\\r\\n"+line, ": "+diffEvil, "\r\n"+line, " "+line, line+"\r\n "+diffEvil, "Cookie: a=1; __Host-Http-evergate="+diffEvil, "Cookie: __Host-Http-evergate="+diffEvil+"; b=\"x y\"",
		"Trailer: "+name, "Accept: */*", "X-A: "+strings.Repeat("a", 300), "Range: bytes=0-", "Upgrade: h2c", "Upgrade: websocket")
}

// framing is a body and what is said of its length.
func (m *diffMix) framing() (lines []string, body string, loose bool) {
	inner := fmt.Sprintf("GET /%s/in HTTP/1.1\r\nHost: %s\r\nX-Nonce: i%d\r\nX-Auth-User: %s\r\n\r\n", diffPick(m, "admin", "public"), m.host, m.n, diffEvil)
	chunk := func(data string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	const chunked, last = "Transfer-Encoding: chunked", "0\r\n\r\n"
	if m.chance(40) {
		switch m.IntN(4) {
		case 0:
			return []string{length(len(inner))}, inner, false
		case 1:
			return []string{chunked}, chunk(inner) + last, false
		case 2:
			return []string{chunked}, fmt.Sprintf("%x;a=b;c=\"d\"\r\n%s\r\n", len(inner), inner) + last, false
		}
		return []string{chunked, "Trailer: X-Auth-User"}, chunk("x") + "0\r\nX-Auth-User: " + diffEvil + "\r\n\r\n", false
	}
	coding := diffPick(m, chunked, chunked, "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding:\x0bchunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked;q=1", "transfer-encoding: CHUNKED", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding:\r\n chunked", "X: x\nTransfer-Encoding: chunked",
		"X: x\rTransfer-Encoding: chunked", "Transfer_Encoding: chunked", "Transfer-Encoding: chunked\x00", "Transfer-Encoding: chun\tked", "Transfer-Encoding:", "Transfer-Encoding\r\n: chunked", "\x00Transfer-Encoding: chunked")
	switch m.IntN(6) {
	case 0: // for who goes by the length it is all a body, for who goes by the chunks two requests
		return []string{length(len(last + inner)), coding}, last + inner, true
	case 1: // the other way round
		hidden := chunk(inner) + last
		return []string{length(strings.Index(hidden, "\r\n") + 2), coding}, hidden, true
	case 2:
		n := len(inner)
		return []string{diffPick(m, fmt.Sprintf("Content-Length: +%d", n), fmt.Sprintf("Content-Length: 0x%x", n), "Content-Length: -1", "Content-Length: 0, "+fmt.Sprint(n), fmt.Sprintf("Content-Length: %d, %[1]d", n),
			fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d", n), fmt.Sprintf("Content-Length: %d\r\nContent-Length: %[1]d", n), fmt.Sprintf("Content-Length: 0%d", n), fmt.Sprintf("Content-Length: %d\x00", n), "Content-Length:",
			"Content-Length: 99999999999999999999", fmt.Sprintf("Content_Length: %d", n), fmt.Sprintf("Content-Length : %d", n), fmt.Sprintf("Content-Length: %d 0", n), fmt.Sprintf("Content-Length:\x0b%d", n), "Content-Length: 1e1", fmt.Sprintf("X: x\nContent-Length: %d", n), "X: x")}, inner, true
	case 3:
		size := diffPick(m, "%x ", "0x%x", "+%x", "%x\n", "-%x", "%x;", "%x;a=\n", "%x;a=\r", "000000000000000000000%x", "fffffffffffffff%x", "%x\t", " %x", "%x\r\r\n", "%x;\x00", "%X;a=\"\r\n", "")
		if size != "" {
			size = fmt.Sprintf(size, len(inner))
		}
		return []string{chunked}, size + "\r\n" + inner + diffPick(m, "\r\n", "", "\n", "\r") + last, true
	case 4:
		return []string{chunked}, diffPick(m, "0\r\n"+inner, "0\n\n"+inner, "00\r\n\r\n"+inner, "0;x\r\n\r\n"+inner, "0\r\n\r"+inner, "0\r\nX: y\r\n\r\n"+inner, "0\r\nContent-Length: 5\r\n\r\n"+inner, "0\r\n : x\r\n\r\n"+inner), true
	}
	return []string{length(0)}, inner, true
}
