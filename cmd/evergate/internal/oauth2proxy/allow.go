package oauth2proxy

import (
	"regexp"
	"slices"
	"strings"
)

// nobody is a rule that no address keeps (RFC 2606).
const nobody = `- emails: ["*@example.invalid"]`

var (
	domain  = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)
	address = regexp.MustCompile(`^[A-Za-z0-9.!#$%&'+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)
	claim   = regexp.MustCompile(`^[A-Za-z0-9_./:-]+$`)
)

// claims make which claims mean what. oauth2-proxy knows people by the provider's subject.
func (x *importer) claims(top *outline) {
	var from []*setting
	user, email := "sub", "email"
	why := "oauth2-proxy calls people by the provider's subject (X-Forwarded-User), and so does this. user: preferred_username reads better, where no app keeps the name."
	for _, flag := range []string{"user-id-claim", "oidc-email-claim"} {
		if s := x.get(flag); s != nil && claim.MatchString(s.values[0]) {
			email = s.values[0]
			from = append(from, s)
		}
	}
	if x.is("prefer-email-to-user", false) {
		user, why = email, "People are called by their address (prefer_email_to_user), where the provider vouches for it, else by the provider's subject."
		from = append(from, x.get("prefer-email-to-user"))
	} else if x.kind == "dex" && x.text("provider") != "oidc" {
		user, why = "preferred_username", "Dex has the name that people go by at the provider behind it as preferred_username."
	}
	parts := []string{"user: " + scalar(user)}
	if email != "email" {
		parts = append(parts, "email: "+scalar(email))
	}
	groups, of := x.groupClaims()
	from = append(from, of)
	if groups != nil {
		parts = append(parts, "groups: "+flow(groups))
	}
	x.made(top.add(0, append(comment(why), "claims: { "+strings.Join(parts, ", ")+" }")...), from...)
}

// groupClaims are those that groups come from; nil is Evergate's default.
func (x *importer) groupClaims() (groups []string, from *setting) {
	groups = []string{"groups"}
	if x.kind == "gitlab" {
		groups = []string{"groups", "groups_direct"}
	}
	if s := x.get("oidc-groups-claim"); s != nil && claim.MatchString(s.values[0]) {
		groups, from = []string{s.values[0]}, s
	}
	if slices.Equal(groups, []string{"groups"}) {
		return nil, from
	}
	return groups, from
}

var groupFlags = []string{"allowed-group", "gitlab-group", "keycloak-group"}

// roles are claims of Keycloak: realm_access.roles, and resource_access.CLIENT.roles for
// roles that are written CLIENT:ROLE. left are those that no path leads to.
func (x *importer) roles() (paths []string, names map[string][]string, left []string) {
	names = map[string][]string{}
	values, from := x.all("allowed-role")
	groups, fromGroups := x.all("allowed-group")
	for i, g := range groups {
		if role, ok := x.roleOf(g); ok {
			values, from = append(values, role), append(from, fromGroups[i])
		}
	}
	for i, v := range values {
		path, role := "realm_access.roles", v
		if client, name, ofClient := strings.Cut(v, ":"); ofClient {
			path, role = "resource_access."+client+".roles", name
			if strings.Contains(client, ".") || !claim.MatchString(client) || name == "" {
				left = append(left, v)
				continue
			}
		}
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
		names[path] = append(names[path], role)
		x.rules = append(x.rules, from[i])
	}
	return paths, names, left
}

// roleOf reads role:NAME, which oauth2-proxy makes of Keycloak's roles and takes as groups.
func (x *importer) roleOf(group string) (string, bool) {
	role, ok := strings.CutPrefix(group, "role:")
	return role, ok && x.text("provider") == "keycloak-oidc"
}

// closing are options that keep people out in ways that Evergate cannot.
var closing = []string{"google-group", "github-org", "github-team", "github-repo", "bitbucket-team", "bitbucket-repository"}

// allow makes who may sign in at all. A restriction that cannot be carried over lets
// nobody pass until a person has decided.
func (x *importer) allow(top *outline) {
	above := x.allowAbove()
	emails, anybody, restricted := x.emails(top)
	groups, notes, restrictsGroups := x.groups()
	why := x.closed()
	switch {
	case !restricted && !anybody && !restrictsGroups:
		why = append(why, "There is neither email_domains nor authenticated_emails_file, and oauth2-proxy does not start without. Say who may sign in.")
	case restricted && !anybody && len(emails) == 0:
		why = append(why, "No address that oauth2-proxy lets in could be carried over.")
	case restrictsGroups && len(groups) == 0:
		why = append(why, "No group that oauth2-proxy lets in could be carried over.")
	}
	var all who
	switch {
	case anybody || !restricted:
		var asked string
		if all, asked = x.addressed(); asked != "" {
			notes = append(notes, asked+".")
		}
		emails = nil
	case len(emails) > 0:
		all.lines = []string{"emails: " + flow(emails)}
	}
	entries := entriesOf(all, groups, restrictsGroups)
	order := x.allowOrder()
	lines := above
	if len(notes) > 0 {
		lines = append(lines, comment(strings.Join(notes, " "))...)
	}
	switch {
	case len(why) > 0:
		x.todo = append(x.todo, "say under allow who may sign in: until then nobody may")
		lines = append(lines, comment(strings.Join(why, " ")+" Until you say under allow who may sign in, nobody may.")...)
		lines = append(lines, "allow:", "  "+nobody)
		for _, e := range entries {
			lines = append(lines, "  # "+strings.TrimPrefix(e, "  "))
		}
	case len(entries) == 0:
		lines = append(lines, comment("Everybody who has an account at the provider may sign in, as before. allow: would say who.")...)
	default:
		if len(emails) > 0 && x.kind == "entra" && !x.is("insecure-oidc-allow-unverified-email", false) {
			lines = append(lines, comment("Entra ID vouches for no address, and rules about addresses count those alone. Where your directory owns the addresses, add trust_email: true; until then nobody gets in by this.")...)
			x.todo = append(x.todo, "decide about trust_email, for Entra ID vouches for no address")
		}
		lines = append(append(lines, "allow:"), entries...)
	}
	x.made(top.add(order, lines...), x.rules...)
}

// closed is why nobody may sign in, by options that keep people out in ways of their own.
func (x *importer) closed() (why []string) {
	for _, flag := range closing {
		if s := x.get(flag); s != nil {
			why = append(why, capital(x.where(s.file, s.line))+", "+s.name+", lets some people in alone, and Evergate cannot tell who they are.")
		}
	}
	if users := x.get("github-user"); users != nil && len(why) == 0 {
		why = append(why, capital(x.where(users.file, users.line))+", "+users.name+", names people as GitHub does.")
	}
	return why
}

// allowAbove are the comments of the source above rules.
func (x *importer) allowAbove() (lines []string) {
	for _, flag := range append([]string{"email-domain"}, groupFlags...) {
		lines = append(lines, x.above(x.get(flag))...)
	}
	return lines
}

// allowOrder is where the first rule stands in the source.
func (x *importer) allowOrder() int {
	first := 0
	for _, flag := range append([]string{"email-domain", "authenticated-emails-file", "allowed-role"}, groupFlags...) {
		if s := x.get(flag); s != nil && (first == 0 || s.order() < first) {
			first = s.order()
		}
	}
	return first
}

// emails are addresses and whole domains, of which one is enough.
func (x *importer) emails(top *outline) (all []string, anybody, restricted bool) {
	domains, from := x.all("email-domain")
	for i, d := range domains {
		restricted = true
		switch {
		case d == "*":
			anybody = true
			x.rules = append(x.rules, from[i])
		case domain.MatchString(d):
			all = append(all, "*@"+strings.ToLower(d))
			x.rules = append(x.rules, from[i])
		default:
			x.remark(top, from[i], "Subdomains are not meant by a domain. List each of those that stand behind "+printable(d)+", as \"*@sub.example.com\".")
		}
	}
	s := x.get("authenticated-emails-file")
	if s == nil {
		return all, anybody, restricted
	}
	restricted = true
	var data []byte
	var err error
	if x.ReadFile != nil {
		data, err = x.ReadFile(s.values[0])
	}
	if err != nil || x.ReadFile == nil {
		x.todo = append(x.todo, "list the people of authenticated_emails_file under allow")
		x.remark(top, s, "The file cannot be read here. List its addresses under allow, in emails.")
		return all, anybody, restricted
	}
	x.rules = append(x.rules, s)
	odd := 0
	for _, l := range strings.Split(string(data), "\n") {
		l, _, _ = strings.Cut(l, ",")
		l = strings.ToLower(strings.Trim(strings.TrimSpace(l), `"`))
		switch {
		case l == "" || l[0] == '#':
		case address.MatchString(l):
			all = append(all, l)
		default:
			odd++
		}
	}
	if odd > 0 {
		x.remark(top, s, "Some lines of the file are no addresses, and are left out.")
	}
	return all, anybody, restricted
}

// groups are conditions about groups and roles, of which one is enough.
func (x *importer) groups() (conditions, notes []string, restricted bool) {
	var all []string
	for _, flag := range groupFlags {
		values, from := x.all(flag)
		for i, g := range values {
			restricted = true
			if _, role := x.roleOf(g); !role {
				all = append(all, g)
				x.rules = append(x.rules, from[i])
			}
		}
	}
	if len(all) > 0 {
		conditions = append(conditions, "groups: "+flow(all))
	}
	paths, names, left := x.roles()
	for _, path := range paths {
		conditions = append(conditions, "claims: { "+scalar(path)+": "+flow(names[path])+" }")
	}
	s := x.get("allowed-role")
	if len(paths) > 0 && s != nil {
		notes = append(notes, capital(x.where(s.file, s.line))+", "+s.name+": "+s.note)
	}
	if len(left) > 0 {
		notes = append(notes, "Not carried over: the roles "+printable(strings.Join(left, ", "))+". Name the claim that they are in, under claims.")
		x.todo = append(x.todo, "see which roles were not carried over")
	}
	return conditions, notes, restricted || s != nil || x.get("gitlab-project") != nil
}
