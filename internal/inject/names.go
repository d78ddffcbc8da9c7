package inject

import "strings"

// MaxName is the longest name of a header that a route may set, in bytes.
const MaxName = 64

// Fold is how many apps see a header name: lower case, and every byte that is no
// letter and no digit a "-".
func Fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return '-'
	}, name)
}

// Why a name is not a route's to set.
const (
	identity   = "it tells the app who and where the browser is, and the gateway alone says that"
	connection = "it is about one connection and not about what is carried"
	framing    = "it says how the body is read, and the body is not changed"
	websocket  = "it opens WebSockets"
	binding    = "it binds the gateway's own cookies"
)

// both are the names that neither a request nor an answer takes, by how they fold.
// One that ends in "-" is all that begin so.
var both = map[string]string{
	"connection": connection, "keep-alive": connection, "proxy-": connection, "te": connection, "trailer": connection,
	"upgrade": connection, "http2-settings": connection,
	"transfer-encoding": framing, "content-length": framing, "content-encoding": framing, "content-range": framing,
	"sec-websocket-": websocket, "secure-session-": binding, "sec-secure-session-": binding,
	"x-request-id": "every line of the log has it, so the gateway alone sets it",
}

var ofRequests = map[string]string{
	"authorization": "the key token says what goes up in it",
	"cookie":        "cookies are between the browser and the app",
	"set-cookie":    "no request has it",
	"host":          "the key host says what is sent in it",
	"forwarded":     identity,
	"x-forwarded":   identity,
	"x-forwarded-":  identity,
	"expect":        framing,
	"proxy":         "programs take it for a proxy to use (httpoxy)",
}

var ofAnswers = map[string]string{
	"set-cookie":      "the gateway's own cookies go in it, and the app's are the app's",
	"clear-site-data": "it would sign people out of the gateway",

	"x-evergate-decision": "the gateway alone says what it decided",
}

// RequestRefusal says why a route may not touch a header of requests, or "".
func RequestRefusal(name string) string { return refusal(name, ofRequests) }

// AnswerRefusal says why a route may not touch a header of answers, or "".
func AnswerRefusal(name string) string { return refusal(name, ofAnswers) }

func refusal(name string, more map[string]string) string {
	folded := Fold(name)
	for _, names := range []map[string]string{both, more} {
		for refused, why := range names {
			if folded == refused || strings.HasSuffix(refused, "-") && strings.HasPrefix(folded, refused) {
				return why
			}
		}
	}
	return ""
}

// gateways are the names by which every app is told of the person and of the request, as
// they fold.
var gateways = map[string]bool{
	"authorization": true, "x-request-id": true,
	"x-forwarded-user": true, "x-forwarded-email": true, "x-forwarded-groups": true, "x-forwarded-preferred-username": true,
	"x-forwarded-for": true, "x-forwarded-host": true, "x-forwarded-proto": true, "x-forwarded-prefix": true,
}

// IsGateways reports whether an app that folds names would take a header for one that the
// gateway sets on every request.
func IsGateways(name string) bool { return gateways[Fold(name)] }

// in reports whether a name is one of a table, or begins as an entry that ends in "-".
func in(table map[string]bool, name string) bool {
	folded := Fold(name)
	if table[folded] {
		return true
	}
	for known := range table {
		if strings.HasSuffix(known, "-") && strings.HasPrefix(folded, known) {
			return true
		}
	}
	return false
}

// browsers are names that every browser sends of its own accord and no app takes
// for the gateway's word.
var browsers = map[string]bool{
	"cache-control": true, "content-disposition": true, "content-language": true, "content-type": true, "dnt": true,
	"origin": true, "pragma": true, "priority": true, "range": true, "referer": true, "save-data": true,
	"upgrade-insecure-requests": true, "user-agent": true, "x-requested-with": true,
	"accept": true, "accept-": true, "if-": true, "sec-ch-": true, "sec-fetch-": true, "access-control-request-": true,
}

// IsBrowsers reports whether browsers send such a header of their own accord, so
// that other routes need it as it comes.
func IsBrowsers(name string) bool { return in(browsers, name) }
