package oidc

import (
	"context"
	"slices"

	"github.com/evergate/evergate/auth"
)

// groups are those of somebody, as claims have them.
type groups struct {
	names   []string
	oneText bool // one claim is a text, which is a name here and may be several for others
	// unread is the path of the first claim that is no list of names, and found what there is
	// in place of that. Both are "" where there is no such claim.
	unread, found string
}

// groups reads the claims of groups. A list of texts has names in it, and a text is one name.
// Null is no claim, and so is an empty text: that is how some providers say that somebody has
// none. What is anything else, in part or all, may hold a group that a rule refuses.
func (m *Method) groups(claims map[string]any) (g groups) {
	add := func(name string) {
		if name != "" && !slices.Contains(g.names, name) {
			g.names = append(g.names, name)
		}
	}
	unread := func(path, found string) {
		if g.unread == "" {
			g.unread, g.found = path, found
		}
	}
	for _, path := range m.cfg.Claims.Groups {
		switch v := auth.Claim(claims, path).(type) {
		case nil:
			if why := auth.Unreachable(claims, path); why != "" && !groupsOmitted(claims) {
				unread(path, why)
			}
		case string:
			g.oneText = g.oneText || v != ""
			add(v)
		case []any:
			for _, e := range v {
				if name, ok := e.(string); ok {
					add(name)
				} else {
					unread(path, "a list with "+auth.ClaimKind(e)+" in it")
				}
			}
		default:
			unread(path, auth.ClaimKind(v))
		}
	}
	return g
}

// tellOfGroups tells the operator of groups that came in a shape that cannot be read, which only
// the configuration, here or there, can mend. What was found is told by its kind, and never by
// its value.
func (m *Method) tellOfGroups(ctx context.Context, claims map[string]any, id *auth.Identity) {
	if !id.GroupsUnread {
		return
	}
	g := m.groups(claims)
	m.cfg.Log.WarnContext(ctx, "the claim of groups is no list of names: whoever has it is refused where a deny names groups, and no allow goes by what is unreadable in it. "+
		"Have the provider send a list of texts, or name the claim that is one in claims.groups",
		"event", "provider.groups_unread", "subject", id.User, "claim", g.unread, "found", g.found)
}

// tellOfOwnGroups is tellOfGroups for a client's own token, once a minute.
func (m *Method) tellOfOwnGroups(ctx context.Context, claims map[string]any, id *auth.Identity) {
	if id.GroupsUnread && m.shapes.allow(m.cfg.Now()) {
		m.tellOfGroups(ctx, claims, id)
	}
}
