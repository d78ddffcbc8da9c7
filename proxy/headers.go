package proxy

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/web"
)

// What a header name is told by is its folded form: lower case, and every byte
// that is not a letter or a digit read as "-". CGI, WSGI, PHP and many more see
// X_Forwarded.User and X-Forwarded-User as one name (CVE-2025-64484,
// CVE-2026-52845), so that comparing names exactly lets the client speak for
// the gateway.

// ProtectedHeaders are the names that belong to the gateway and the beginnings of such
// names, all folded: lower case, every byte that is not a letter or digit read as "-".
// A front proxy that carries requests itself has to take them from clients too.
func ProtectedHeaders() (names, families []string) { return inject.ProtectedNames() }

// stripHeaders removes from the request upstream what the client must not say, and
// the folded names in dropped. Names in pass stay, in exactly that spelling, and so do those
// that are known to be free.
func stripHeaders(h http.Header, pass, dropped, free map[string]bool) {
	for name := range h {
		if !free[name] && (inject.IsProtected(name, dropped) && !pass[name] || isLengthMisspelled(name)) {
			delete(h, name)
		}
	}
}

// isLengthMisspelled reports whether an app that folds names would take one for a header
// that says where the body ends, which the gateway has said by the real one.
func isLengthMisspelled(name string) bool {
	switch len(name) {
	case len("Content-Length"):
		return inject.Fold(name) == "content-length" && name != "Content-Length"
	case len("Transfer-Encoding"):
		return inject.Fold(name) == "transfer-encoding" && name != "Transfer-Encoding"
	}
	return false
}

// usual are names that browsers send with most requests, and that are not protected: to look
// one up costs a tenth of what inject.IsProtected does. See Route.free.
var usual = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Cache-Control": true, "Content-Length": true, "Content-Type": true,
	"Cookie": true, "Dnt": true, "If-Modified-Since": true, "If-None-Match": true, "Origin": true, "Pragma": true, "Priority": true,
	"Range": true, "Referer": true, "Sec-Ch-Ua": true, "Sec-Ch-Ua-Mobile": true, "Sec-Ch-Ua-Platform": true, "Sec-Fetch-Dest": true,
	"Sec-Fetch-Mode": true, "Sec-Fetch-Site": true, "Sec-Fetch-User": true, "Sec-Gpc": true, "Upgrade-Insecure-Requests": true,
	"User-Agent": true, "X-Requested-With": true,
}

// stripTrailers is stripHeaders for the fields behind a body.
func stripTrailers(h http.Header, pass, dropped map[string]bool) {
	for name := range h {
		if inject.IsProtected(name, dropped) && !pass[name] || isCookieName(name) || isLengthMisspelled(name) {
			delete(h, name)
		}
	}
}

func isCookieName(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Cookie", "Set-Cookie", "Clear-Site-Data":
		return true
	}
	return false
}

// setIdentity tells the upstream who is signed in, with token behind Bearer. It returns the names of the
// headers that were left out because their claim cannot be one, which is never
// a reason to write half of it.
//
// What a client said under these names is not in h any more, unless keeps says that the
// route lets a client keep some.
func setIdentity(h http.Header, login *auth.Login, token auth.Token, v *values, keeps bool) (left []string) {
	set := func(name, value string, ok bool) {
		switch {
		case value == "":
		case !ok:
			left = append(left, name)
		default:
			v.set(h, name, value)
		}
	}
	if keeps {
		for _, name := range [...]string{"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username"} {
			delete(h, name)
		}
	}
	if login == nil {
		return nil // Authorization is the client's own, if the route lets it pass
	}
	if keeps {
		delete(h, "Authorization")
	}
	id := &login.Identity
	if !token.Value.IsZero() {
		value, ok := token.Bearer()
		if !ok {
			left = append(left, "Authorization")
		} else {
			v.set(h, "Authorization", value)
		}
	}
	set("X-Forwarded-User", id.User, isPlainUser(id))
	set("X-Forwarded-Email", id.Email, inject.IsPlain(id.Email))
	set("X-Forwarded-Preferred-Username", id.PreferredUsername, inject.IsPlain(id.PreferredUsername))
	groups, ok := joinList(id.Groups)
	set("X-Forwarded-Groups", groups, ok)
	return left
}

// setConnection tells the upstream where the request comes from. The chain in a
// client's X-Forwarded-For is not carried on: note.Client is what is believed of it.
// Prefix is what the browser has in front of the paths that the upstream knows.
func setConnection(h http.Header, note *web.Note, scheme, host, prefix string, v *values) {
	delete(h, "X-Forwarded-For") // all of these are the gateway's, whatever a route lets pass
	if note.Client.IsValid() {
		v.set(h, "X-Forwarded-For", note.Client.Unmap().WithZone("").String())
	}
	v.set(h, "X-Forwarded-Host", host)
	v.set(h, "X-Forwarded-Proto", scheme)
	v.set(h, "X-Request-Id", note.ID)
	delete(h, "X-Forwarded-Prefix")
	if prefix != "" {
		v.set(h, "X-Forwarded-Prefix", prefix)
	}
}

// isPlainUser is inject.IsPlain for the name by which rules and apps know somebody, and as well for
// what a provider says behind its own name: an app may take that for the person's.
func isPlainUser(id *auth.Identity) bool {
	own := strings.TrimPrefix(id.User, id.Provider+"/")
	return inject.IsPlain(id.User) && (len(own) == len(id.User) || inject.IsPlain(own))
}

// joinList makes one value of many. The separator and the percent sign are
// escaped in each, and so is what does not show at its ends, which list parsers trim; an
// element that is empty says nothing and is dropped.
func joinList(list []string) (string, bool) {
	if len(list) == 1 && len(list[0]) <= inject.MaxValue && inject.IsGraphic(list[0]) && !strings.ContainsAny(list[0], ",%") {
		return list[0], true
	}
	var b strings.Builder
	for _, s := range list {
		if s == "" {
			continue
		}
		if !utf8.ValidString(s) || strings.ContainsFunc(s, inject.IsControl) || b.Len()+len(s) > inject.MaxValue {
			return "-", false
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		first, last := unseenEnds(s)
		for i := range len(s) {
			switch c := s[i]; {
			case c == ',' || c == '%' || i < first || i >= last:
				writeEscape(&b, c)
			default:
				b.WriteByte(c)
			}
		}
	}
	return b.String(), b.Len() <= inject.MaxValue
}

// unseenEnds returns where the first character of s ends and the last one begins, of those that do
// not show; s is not empty.
func unseenEnds(s string) (first, last int) {
	last = len(s)
	if r, n := utf8.DecodeRuneInString(s); inject.IsUnseen(r) {
		first = n
	}
	if r, n := utf8.DecodeLastRuneInString(s); inject.IsUnseen(r) {
		last -= n
	}
	return first, last
}
