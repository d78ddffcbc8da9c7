package config

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/pathrule"
)

// atlas finds the route of a request as the gateway does (see proxy.Router), and what the
// request comes to behind it. It is for warnings about routes that lead to one place, and
// each of these can show a request for which it holds.
type atlas struct {
	c      *Config
	hosts  map[string]*junction // by match.host; "" is every host
	rules  []*pathrule.Rule     // of the routes that rewrite
	access []*Access            // as far as it was asked for
	// left is how much may be done yet: what is written in a file must not make looking at
	// it slow. At zero nothing more is found.
	left int
}

// junction is one segment of the paths of a host.
type junction struct {
	names         map[string]*junction // "*" is any
	itself, below []int                // routes whose path ends here, without and with a slash
}

// mostLooked bounds the steps of an atlas: ten thousand routes take a fifth of it.
const mostLooked = 1 << 20

func (c *Config) newAtlas() *atlas {
	a := &atlas{c: c, hosts: map[string]*junction{}, rules: make([]*pathrule.Rule, len(c.Routes)), access: make([]*Access, len(c.Routes)), left: mostLooked}
	for i := range c.Routes {
		r := &c.Routes[i]
		at := a.hosts[r.Match.Host]
		if at == nil {
			at = &junction{}
			a.hosts[r.Match.Host] = at
		}
		at.add(whereIs(&r.Match).path, i)
		if r.Rewrite != nil {
			a.rules[i], _ = pathrule.Compile(r.Rewrite.Path, r.Rewrite.To)
		}
	}
	return a
}

func (j *junction) add(path string, i int) {
	for rest := strings.TrimPrefix(path, "/"); ; {
		segment, tail, more := strings.Cut(rest, "/")
		if !more && segment == "" {
			j.below = append(j.below, i)
			return
		}
		next := j.names[segment]
		if next == nil {
			if j.names == nil {
				j.names = map[string]*junction{}
			}
			next = &junction{}
			j.names[segment] = next
		}
		if j = next; !more {
			j.itself = append(j.itself, i)
			return
		}
		rest = tail
	}
}

func (j *junction) find(rest string) []int {
	segment, tail, more := strings.Cut(rest, "/")
	for _, name := range [...]string{segment, "*"} {
		next := j.names[name]
		if next == nil || segment == "" {
			continue
		}
		if !more && next.itself != nil {
			return next.itself
		}
		if more {
			if found := next.find(tail); found != nil {
				return found
			}
		}
	}
	return j.below
}

// find is the route for a request, or -1. Host "" is one that no route names.
func (a *atlas) find(host, path, method string) int {
	a.left--
	if a.left < 0 {
		return -1
	}
	names := []string{host}
	for rest := host; host != ""; {
		_, tail, more := strings.Cut(rest, ".")
		if !more {
			names = append(names, "")
			break
		}
		names, rest = append(names, "*."+tail), tail
	}
	for _, name := range names {
		at := a.hosts[name]
		if at == nil {
			continue
		}
		found := at.find(strings.TrimPrefix(path, "/"))
		if found == nil {
			continue
		}
		without := -1
		for _, i := range found {
			switch m := a.c.Routes[i].Match.Methods; {
			case len(m) == 0:
				without = i
			case slices.Contains(m, method) || method == "HEAD" && slices.Contains(m, "GET"):
				return i
			}
		}
		return without
	}
	return -1
}

// hostOf is a host that the route is for.
func (a *atlas) hostOf(i int) string {
	return strings.Replace(a.c.Routes[i].Match.Host, "*", "x", 1)
}

// pathOf is a path that the route is for: that of a folder is in it, with more behind.
func (a *atlas) pathOf(i int, more string) string {
	p := whereIs(&a.c.Routes[i].Match).path
	if strings.HasSuffix(p, "/") {
		p += more
	}
	segments := strings.Split(p, "/")
	for k, s := range segments {
		if s == "*" {
			segments[k] = "x"
		}
	}
	return strings.Join(segments, "/")
}

// places are where the route leads: targets, a folder, or whatever the proxy in front has
// there. What answers by itself leads nowhere.
func (a *atlas) places(i int) (all []string) {
	r := &a.c.Routes[i]
	switch {
	case r.Upstream != nil:
		for _, t := range r.Upstream.Targets {
			if t.URL.Scheme == "unix" {
				all = append(all, "unix:"+t.URL.Path)
				continue
			}
			host := strings.ToLower(t.URL.Hostname())
			if IsLoopback(host) {
				host = "localhost"
			}
			all = append(all, host+":"+portOf(t.URL))
		}
	case r.Static != nil:
		all = append(all, "files")
	case a.c.Decides(r):
		all = append(all, "in front")
	}
	return all
}

// behind is what the path of a request comes to where the route leads.
func (a *atlas) behind(i int, asked string) string {
	r, up := &a.c.Routes[i], asked
	if rule := a.rules[i]; rule != nil {
		if to, ok := rule.Apply(asked); ok {
			up = to
		}
	} else if up = r.AddPrefix + strings.TrimPrefix(asked, r.StripPrefix); up == "" {
		up = "/"
	}
	if r.Static != nil {
		inside := path.Join(r.Static.Dir, up)
		if strings.HasSuffix(up, "/") {
			inside += "/"
		}
		return inside
	}
	return up
}

// shifts reports whether paths are others behind the route.
func (a *atlas) shifts(i int) bool {
	r := &a.c.Routes[i]
	return r.StripPrefix != "" || r.AddPrefix != "" || r.Rewrite != nil || r.Static != nil
}

// ways are paths of requests that could come to up behind the route. Not all of them do.
func (a *atlas) ways(i int, up string) []string {
	if !a.shifts(i) {
		return []string{up}
	}
	base := a.pathOf(i, "")
	all := []string{base}
	if !strings.HasSuffix(base, "/") {
		return all
	}
	bases := []string{base}
	if r := a.c.Routes[i].Rewrite; r != nil {
		// What an expression begins with is in every path that it is for.
		if re, err := regexp.Compile(strings.TrimPrefix(r.Path, "^")); err == nil {
			if head, _ := re.LiteralPrefix(); strings.HasPrefix(head, base) && head != base {
				bases = append(bases, head)
			}
		}
		bases = append(bases, base+"x/")
	}
	for _, base := range bases {
		for rest := strings.TrimPrefix(up, "/"); rest != ""; {
			if all = append(all, base+rest); len(all) > 64 {
				return all
			}
			_, rest, _ = strings.Cut(rest, "/")
		}
	}
	return all
}

// accessOf is Access, or nil where there is too much to look at.
func (a *atlas) accessOf(i int) *Access {
	if a.access[i] == nil {
		n := len(a.c.Default.Allow) + len(a.c.Default.Deny) + 1
		for _, name := range slices.Concat(a.c.Routes[i].Rules, a.c.Default.Rules) {
			n += len(a.c.Rules[name].Allow) + len(a.c.Rules[name].Deny)
		}
		if a.left -= n; a.left < 0 {
			return nil
		}
		access := a.c.Access(i)
		a.access[i] = &access
	}
	return a.access[i]
}
