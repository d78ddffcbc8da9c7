package oauth2proxy

import (
	"regexp"
	"strings"
)

var (
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	claimName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// own are the headers that Evergate sends by itself, by the claim of oauth2-proxy.
var own = map[string]string{"x-forwarded-user": "user", "x-forwarded-email": "email", "x-forwarded-groups": "groups",
	"x-forwarded-preferred-username": "preferred_username"}

// headers make what an app gets, by an alpha configuration.
func (x *importer) headers() (lines, notes []string) {
	token := "token: { type: none }"
	var set []string
	for _, src := range x.sources {
		for _, h := range src.alpha.headers {
			at := capital(x.where(h.file, h.line)) + ", " + printable(h.name) + ": "
			name := strings.ToLower(h.name)
			switch {
			case h.several || h.fixed:
				notes = append(notes, at+"a header of several values, or with a value that is no claim, is not carried over. Set it with request_headers, or a key with upstream_auth: { api_key }.")
			case h.basic:
				notes = append(notes, at+"HTTP Basic at the app is upstream_auth: { basic: { user: \"{user}\", password_file: FILE } }.")
			case own[name] == h.claim && h.prefix == "" && h.claim != "":
				notes = append(notes, at+"Evergate sends it by itself.")
			case name == "authorization" && h.claim == "id_token":
				token = "token: { type: id }"
			case h.claim == "access_token":
				token = ""
				notes = append(notes, at+"the access token goes up in Authorization: Bearer, always fresh.")
			case strings.HasPrefix(name, "x-forwarded-") || name == "authorization" || !headerName.MatchString(h.name) || !claimName.MatchString(h.claim) || h.claim == "id_token":
				notes = append(notes, at+"this header is not a route's to set; apps get X-Forwarded-User, -Email, -Groups and -Preferred-Username.")
			default:
				value := strings.ReplaceAll(printable(h.prefix), "{", "{{") + placeholderOf(h.claim)
				set = append(set, scalar(h.name)+": "+scalar(value))
			}
		}
	}
	if token != "" {
		lines = append(lines, token)
	}
	if len(set) > 0 {
		lines = append(lines, "request_headers:", "  set: { "+strings.Join(set, ", ")+" }")
	}
	return lines, notes
}

// placeholderOf is how Evergate names what oauth2-proxy calls a claim.
func placeholderOf(claim string) string {
	switch claim {
	case "user", "email", "groups":
		return "{" + claim + "}"
	}
	return "{claims." + claim + "}"
}
