package auth

import (
	"slices"
	"strings"
	"unicode"
)

// doubt says why a condition that does not hold might, or is "".
func (r *Rule) doubt(kind kinds, q *Question) string {
	switch {
	case kind == byWhen:
		if _, why := r.when.mayHold(q); why != "" {
			return why
		}
	case kind == byGroups:
		return q.Identity.doubtOfGroups(r.Groups)
	case kind == byClaims:
		return r.doubtOfClaims(q)
	case kind == byNetworks && !q.Address.IsValid():
		return "the address of the client is not known"
	case kind == byEmails && !q.Identity.EmailVerified && r.emailNamed(q.Identity.Email):
		return "the provider does not vouch for the address"
	case kind == byEmails:
		return q.Identity.doubtOfEmail()
	case kind == byUsers:
		return q.Identity.doubtOfUser(r.Users)
	}
	return ""
}

// firstDoubt says of a rule that refuses why nobody can tell whether it holds, or is "" where
// it does.
func (r *Rule) firstDoubt(q *Question) string {
	set := r.kinds()
	for i := range conditions {
		if c := &conditions[i]; set&c.kind != 0 && !c.holds(r, q) {
			return r.doubt(c.kind, q)
		}
	}
	return ""
}

// doubtOfClaims says why all claims may be what r asks for, or is "" where one certainly is not.
func (r *Rule) doubtOfClaims(q *Question) (first string) {
	for i := range r.Claims {
		c := &r.Claims[i]
		if c.matches(q.Identity.Claims) {
			continue
		}
		why := c.doubt(q.Identity.Claims)
		if why == "" && q.Identity.GroupsOmitted && c.Exists == nil && Claim(q.Identity.Claims, c.Path) == nil {
			why = groupsLeftOut // it may be theirs
		}
		if why == "" {
			return ""
		}
		if first == "" {
			first = why
		}
	}
	return first
}

// nameParts are what a text may stand for: what is between control characters, without what does
// not show at its ends. List has it parted at commas, semicolons and blanks too.
func nameParts(s string, list bool) (parts []string) {
	parted := func(r rune) bool {
		return isUnseen(r) && !unicode.Is(unicode.Zs, r) || list && (r == ',' || r == ';' || unicode.IsSpace(r))
	}
	for _, part := range strings.FieldsFunc(s, parted) {
		if part = strings.TrimFunc(part, isUnseen); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// isUnseen is for blanks, control characters, and formatting ones such as a space without width.
func isUnseen(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf)
}

// perhaps are the groups that a person may be in by another reading of those that there are.
func (id *Identity) perhaps() (all []string) {
	for _, g := range id.Groups {
		if isPlainName(g) && !id.GroupsOneText {
			continue // as nearly all are
		}
		for _, part := range nameParts(g, id.GroupsOneText) {
			if part != g && !slices.Contains(all, part) {
				all = append(all, part)
			}
		}
	}
	return all
}

// isPlainName reports whether s is ASCII that shows, with blanks nowhere but within it.
func isPlainName(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f || s[i] == ' ' && (i == 0 || i == len(s)-1) {
			return false
		}
	}
	return true
}

const (
	groupsLeftOut = "the provider left the groups out, because there are too many"
	groupsUnread  = "what the provider says of the groups is no list of names"
	groupsPerhaps = "a name of a group can be read as another one, or as several"
	emailUnread   = "what the provider says of the e-mail address is no text"
	emailOdd      = "the e-mail address is none that can be told apart: want one local part, one @ and one domain"
)

// doubtOfUser says why a person may be one of names although they are not, or is "".
func (id *Identity) doubtOfUser(names []string) string {
	if id.UserUnread {
		return "what the provider says of the name of the user is no text"
	}
	if user := seen(id.User); user != id.User && slices.ContainsFunc(names, func(name string) bool { return seen(name) == user }) {
		return "the name of the user has blanks or control characters in it"
	}
	return ""
}

// seen is s without what does not show.
func seen(s string) string {
	return strings.Map(func(r rune) rune {
		if isUnseen(r) {
			return -1
		}
		return r
	}, s)
}

// doubtOfEmail says why a person may have any address that a rule may name, or is "".
func (id *Identity) doubtOfEmail() string {
	switch {
	case id.EmailUnread:
		return emailUnread
	case id.Email != "" && EmailDomain(id.Email) == "":
		return emailOdd
	}
	return ""
}

// doubtOfGroups says why a person may be in a group of names although they are not known to be,
// or is "".
func (id *Identity) doubtOfGroups(names []string) string {
	switch {
	case id.GroupsOmitted:
		return groupsLeftOut
	case id.GroupsUnread:
		return groupsUnread
	case overlap(names, id.perhaps()):
		return groupsPerhaps
	}
	return ""
}
