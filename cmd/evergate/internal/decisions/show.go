package decisions

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// shown are the users whose answers tell what was decided, and until when. It is
// replaced and never edited.
type shown map[string]time.Time

const (
	// MaxShow is for how long at most.
	MaxShow  = 24 * time.Hour
	maxShown = 100
	maxUser  = 255
)

// Shown is a user whose answers tell what was decided.
type Shown struct {
	User  string    `json:"user"`
	Until time.Time `json:"until"`
}

// Show has the answers of user carry proxy.ShownHeader from now on, for as long as that;
// zero ends it. It is told in the log: a header is for whoever sits at that browser.
func (l *Log) Show(user string, long time.Duration) error {
	if user == "" || len(user) > maxUser {
		return errors.New("show the decisions of whom? Name a user as rules name them")
	}
	if long < 0 || long > MaxShow {
		return fmt.Errorf("show the decisions of %s for %s: it goes from 0s, which ends it, to %s", user, long, MaxShow)
	}
	l.showMu.Lock()
	defer l.showMu.Unlock()
	now := l.o.Now()
	next := l.alive(now)
	_, was := next[user]
	switch {
	case long == 0 && !was:
		return nil
	case long == 0:
		delete(next, user)
		l.o.Logger.Info("answers do not show what is decided any more", "event", "decisions.hidden", "user", user)
	case !was && len(next) >= maxShown:
		return fmt.Errorf("show the decisions of %s: they are shown to %d people already, which is all there is room for; end it for somebody, or wait", user, maxShown)
	default:
		next[user] = now.Add(long)
		l.o.Logger.Info("answers show what is decided", "event", "decisions.shown", "user", user, "until", next[user].UTC())
	}
	l.put(next)
	return nil
}

// alive is a copy of those whose time is not over.
func (l *Log) alive(now time.Time) shown {
	next := shown{}
	if s := l.shown.Load(); s != nil {
		maps.Copy(next, *s)
	}
	maps.DeleteFunc(next, func(_ string, until time.Time) bool { return !now.Before(until) })
	return next
}

func (l *Log) put(next shown) {
	if len(next) == 0 {
		l.shown.Store(nil)
		return
	}
	l.shown.Store(&next)
}

// Shown lists them by name.
func (l *Log) Shown() []Shown {
	l.showMu.Lock()
	defer l.showMu.Unlock()
	now := l.alive(l.o.Now())
	l.put(now)
	out := make([]Shown, 0, len(now))
	for _, user := range slices.Sorted(maps.Keys(now)) {
		out = append(out, Shown{user, now[user].UTC()})
	}
	return out
}

// show says in the header of the answer what was decided: an Item of RFC 9651 with
// Parameters.
func (e *Edition) show(s *shown, h http.Header, r *http.Request, d *proxy.Decision) {
	until, ok := (*s)[d.Login.Identity.User]
	if !ok || !e.log.o.Now().Before(until) {
		return
	}
	var b strings.Builder
	b.WriteString(d.Outcome) // each is a Token
	if d.Route != nil {
		parameter(&b, "route", d.Route.String())
	}
	if d.Rule != nil {
		parameter(&b, "rule", d.Rule.At)
		b.WriteString("; line=" + strconv.Itoa(e.line(d.Rule.At)))
	}
	if d.Observed != "" {
		b.WriteString("; observed=" + d.Observed)
	}
	parameter(&b, "request", web.NoteOf(r.Context()).ID)
	h[proxy.ShownHeader] = []string{b.String()}
}

// parameter writes a String (RFC 9651 section 3.3.3), or where that cannot hold the
// value a Display String (section 3.3.8).
func parameter(b *strings.Builder, name, value string) {
	b.WriteString("; " + name + "=")
	if !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		b.WriteByte('"')
		for i := range len(value) {
			if value[i] == '"' || value[i] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(value[i])
		}
		b.WriteByte('"')
		return
	}
	b.WriteString(`%"`)
	for _, c := range []byte(strings.ToValidUTF8(value, "\uFFFD")) {
		if c < ' ' || c > '~' || c == '%' || c == '"' {
			fmt.Fprintf(b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
