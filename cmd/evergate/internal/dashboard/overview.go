package dashboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Overview is the first page.
type Overview struct {
	// Level is good, warn or bad, and State says why, the worst first.
	Level string
	State []string
	Facts []Fact
	// Parts are what others have to do well; Traffic is what goes on.
	Providers, Upstreams, Routes, Renewals, Upcoming Table
	Chart                                            Chart
	Due                                              Bars
	AsOf                                             Cell
	Recent                                           Table
}

const (
	chartSlots  = 180 // a quarter of an hour
	dueStep     = 5 * time.Minute
	dueSteps    = 12
	recent      = 6 // moments on the first page
	shownRoutes = 50
)

type total struct {
	n   int
	err error
}

type dueSoon struct {
	inUse int
	due   []int
}

// overview finds out how everything is.
func (h *Handler) overview() *Overview {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if o := h.latest; o != nil && time.Since(h.latestAt) < time.Second*9/10 {
		return o
	}
	o := &Overview{AsOf: moment(now, now)}
	o.Chart = h.chart()
	bad, warn := h.checkParts(o, now)
	o.Routes, o.Renewals = h.routesTable(), h.renewalsTable(now)
	o.Facts = h.facts(now)
	h.dueTable(o, now)
	o.Recent = h.timelineTable("recent", "What happened last", recent, now)
	if n := h.src.History.Total(reused); n > 0 {
		warn = append(warn, fmt.Sprintf("In the last hour %s used a second time, which is how a theft shows: the sessions are revoked. The timeline says whose.",
			wasWere(int(n), "handle")))
	}
	if h.src.Draining() {
		warn = append(warn, "The gateway is going down: it takes no new connections.")
	}
	switch o.State = append(bad, warn...); {
	case len(bad) > 0:
		o.Level = "bad"
	case len(warn) > 0:
		o.Level = "warn"
	default:
		o.Level, o.State = "good", []string{"All is well."}
	}
	h.latest, h.latestAt = o, time.Now()
	return o
}

func wasWere(n int, thing string) string {
	if n == 1 {
		return "a " + thing + " was"
	}
	return fmt.Sprintf("%d %ss were", n, thing)
}

// checkParts looks at what others have to do well.
func (h *Handler) checkParts(o *Overview, now time.Time) (bad, warn []string) {
	if h.src.Store != nil {
		if err, _ := h.store.get(h.ctx, &h.wg); err != nil {
			bad = append(bad, "The session store is out of order: "+brief(err)+".")
		}
	}
	if h.src.Writes != nil {
		if err, _ := h.writes.get(h.ctx, &h.wg); err != nil {
			bad = append(bad, "The session store cannot be written: "+brief(err)+".")
		}
	}
	o.Providers = Table{ID: "providers", Caption: "Providers", Heads: []string{"Provider", "State", "Since"}, None: "No provider is configured."}
	series, _ := h.src.History.Series(int(time.Minute / step))
	worked, failed := sum(series[renewed]), sum(series[renewFailed])
	for _, p := range h.src.Providers() {
		state, line := providerState(&p, now)
		if state.Tone == "warn" && failed > 0 && worked == 0 {
			state.Tone = "bad"
		}
		o.Providers.Rows = append(o.Providers.Rows, []Cell{{Text: p.Name, More: p.State.Issuer}, state, since(&p, now)})
		switch state.Tone {
		case "bad":
			bad = append(bad, line)
		case "warn":
			warn = append(warn, line)
		}
	}
	o.Upstreams = Table{ID: "upstreams", Caption: "Upstreams", Heads: []string{"Target", "State", "Requests now"}, None: "No route leads to an upstream."}
	for _, u := range h.src.Upstreams() {
		for _, t := range u.Targets {
			state := Cell{Text: "in order", Tone: "good"}
			switch {
			case t.Err != nil:
				state = Cell{Text: "out of order", Tone: "bad", More: brief(t.Err)}
				bad = append(bad, "Upstream "+t.Target+" is out of order: "+brief(t.Err)+".")
			case t.Failed > 0:
				state = Cell{Text: fmt.Sprintf("the last %s failed", count(t.Failed, "request", "requests")), Tone: "warn", More: brief(t.Last)}
				warn = append(warn, "Upstream "+t.Target+": the last "+count(t.Failed, "request", "requests")+" failed: "+brief(t.Last)+".")
			}
			busy := Cell{Text: "not counted", Tone: "quiet"}
			if t.Requests >= 0 {
				busy = number(uint64(t.Requests))
			}
			o.Upstreams.Rows = append(o.Upstreams.Rows, []Cell{text(t.Target), state, busy})
		}
	}
	if err := h.src.Bad(); err != nil {
		warn = append(warn, "The config file cannot be used, so the config of before is in force. The page Config says why.")
	}
	if failed > 0 {
		warn = append(warn, "In the last minute "+count(int(failed), "renewal", "renewals")+" did not work, and "+count(int(worked), "did", "did")+"; sessions are kept.")
	}
	return bad, warn
}

func sum(counts []uint32) (n uint64) {
	for _, c := range counts {
		n += uint64(c)
	}
	return n
}

// brief is an error on one line, for a page.
func brief(err error) string {
	return clip(strings.TrimSuffix(strings.Join(strings.Fields(err.Error()), " "), "."), maxDetail)
}

// providerState says how a provider is, in its row and in the state of the whole.
func providerState(p *Provider, now time.Time) (Cell, string) {
	switch s := &p.State; {
	case p.Local:
		return Cell{Text: "users are kept here", Tone: "good"}, ""
	case s.Open:
		return Cell{Text: "does not answer; renewals wait", Tone: "bad", More: clip(s.LastError, maxDetail)},
			"Provider " + p.Name + " does not answer since " + moment(s.Since, now).Text + " UTC: renewals wait, and sessions are kept."
	case s.LastError != "" && !s.Discovered:
		return Cell{Text: "cannot be reached", Tone: "bad", More: clip(s.LastError, maxDetail)},
			"Provider " + p.Name + " cannot be reached since " + moment(s.Since, now).Text + " UTC, so nobody can sign in by it."
	case s.LastError != "":
		return Cell{Text: "has trouble", Tone: "warn", More: clip(s.LastError, maxDetail)},
			"Provider " + p.Name + " has trouble since " + moment(s.Since, now).Text + " UTC: " + brief(errors.New(s.LastError)) + "."
	case !s.Discovered:
		return Cell{Text: "not asked yet", Tone: "quiet"}, ""
	}
	return Cell{Text: "reachable", Tone: "good"}, ""
}

func since(p *Provider, now time.Time) Cell {
	if p.State.LastError == "" {
		return Cell{Text: "–", Tone: "quiet"}
	}
	return moment(p.State.Since, now)
}

// facts are what is known at a glance.
func (h *Handler) facts(now time.Time) []Fact {
	history := h.src.History
	facts := []Fact{{"version", "Version", text(h.src.Version)}, {"uptime", "Up", Cell{Text: duration(now.Sub(h.src.Started)), More: "since " + moment(h.src.Started, now).Text}}}
	if h.src.Sessions != nil {
		soon, _ := h.soon.get(h.ctx, &h.wg)
		all, at := h.total.get(h.ctx, &h.wg)
		live := Cell{Text: fmt.Sprint(all.n), More: fmt.Sprintf("%d of them used here lately", soon.inUse)}
		switch {
		case at.IsZero():
			live.Text = "being counted"
		case all.err != nil:
			live = Cell{Text: "cannot be counted", Tone: "bad", More: brief(all.err)}
		}
		facts = append(facts, Fact{"live", "Live sessions", live})
	} else {
		facts = append(facts, Fact{"live", "Live sessions", Cell{Text: "nobody knows", More: "with session.store: cookie they lie in the browsers"}})
	}
	facts = append(facts, Fact{"store", "Store", text(h.src.StoreName)},
		Fact{"sign-ins", "Sign-ins in an hour", Cell{Text: fmt.Sprint(history.Total(signedIn)), More: fmt.Sprintf("%d more failed", history.Total(signInFailed))}})
	reuse := Cell{Text: fmt.Sprint(history.Total(reused)), More: fmt.Sprintf("%d more suspected", history.Total(suspected))}
	if history.Total(reused) > 0 {
		reuse.Tone = "bad"
	}
	facts = append(facts, Fact{"reuse", "Handles reused in an hour", reuse}, Fact{"config", "Config in force", h.inForce(now)})
	state := text("serving")
	if h.src.Draining() {
		state = Cell{Text: "going down", Tone: "warn"}
	}
	return append(facts, Fact{"gateway", "Gateway", state})
}

// inForce says since when the config is, and what came of the last reload.
func (h *Handler) inForce(now time.Time) Cell {
	last := h.src.History.Config()
	switch {
	case h.src.Bad() != nil && last != nil:
		return Cell{Text: "an older one", Tone: "warn", More: "the file was refused at " + moment(last.At, now).Text}
	case h.src.Bad() != nil:
		return Cell{Text: "an older one", Tone: "warn", More: "the file cannot be used"}
	case last == nil:
		return Cell{Text: "since the start", More: "nothing was reloaded"}
	}
	c := Cell{Text: "since the start"}
	if applied := h.src.History.lastApplied(); applied != nil {
		c = moment(applied.At, now)
		c.Text, c.More = "since "+c.Text, "changed: "+clip(strings.Join(applied.Changed, ", "), 100)
	}
	if len(last.Changed) == 0 {
		c.More = "read again at " + moment(last.At, now).Text + ", and the same"
	}
	return c
}

func (h *Handler) routesTable() Table {
	t := Table{ID: "routes", Caption: "Requests in the last hour and the last 5 minutes, by route", Heads: []string{"Route", "All", "To sign in", "Refused", "Failed"}, None: "Nobody has asked for anything."}
	all := h.src.History.Routes()
	slices.SortFunc(all, func(a, b RouteCounts) int {
		return cmp.Or(cmp.Compare(b.Sixty[requests], a.Sixty[requests]), cmp.Compare(a.Route, b.Route))
	})
	for i, r := range all {
		if i == shownRoutes {
			t.Rows = append(t.Rows, []Cell{{Text: fmt.Sprintf("and %d more", len(all)-i), Tone: "quiet"}, {}, {}, {}, {}})
			break
		}
		name := text(r.Route)
		if r.Route == "" {
			name.Text = "(none: own pages, and what no route is for)"
		}
		row := []Cell{name}
		for i := range r.Sixty {
			c := number(r.Sixty[i])
			if r.Five[i] > 0 {
				c.More = fmt.Sprintf("5 min: %d", r.Five[i])
			}
			if i == failed && r.Five[i] > 0 {
				c.Tone = "bad"
			}
			row = append(row, c)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// renewalsTable is the chart in numbers, by five minutes of an hour.
func (h *Handler) renewalsTable(now time.Time) Table {
	t := Table{ID: "renewals", Caption: "Renewals in the last hour", Heads: []string{"Until (UTC)", "Worked", "Failed", "Refused"}}
	series, end := h.src.History.Series(slots)
	const each = int(dueStep / step)
	for i := slots; i > 0; i -= each {
		row := []Cell{moment(end.Add(-time.Duration(slots-i)*step), now)}
		for _, kind := range []int{renewed, renewFailed, renewRefused} {
			c := number(sum(series[kind][i-each : i]))
			if kind != renewed && c.Tone == "" {
				c.Tone = "bad"
			}
			row = append(row, c)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// dueTable tells of the renewals to come.
func (h *Handler) dueTable(o *Overview, now time.Time) {
	o.Upcoming = Table{ID: "due", Caption: "Renewals due in the next hour", Heads: []string{"From (UTC)", "Sessions"}, None: "With session.store: cookie nobody knows."}
	if h.src.Sessions == nil {
		return
	}
	soon, _ := h.soon.get(h.ctx, &h.wg)
	o.Due.Counts = make([]int, dueSteps)
	copy(o.Due.Counts, soon.due)
	o.Due.Most = max(1, slices.Max(o.Due.Counts))
	o.Due.Words = o.Due.words()
	for i, n := range o.Due.Counts {
		o.Upcoming.Rows = append(o.Upcoming.Rows, []Cell{moment(now.Add(time.Duration(i)*dueStep).Truncate(time.Minute), now), number(uint64(n))})
	}
}

func (h *Handler) timelineTable(id, caption string, most int, now time.Time) Table {
	t := Table{ID: id, Caption: caption, Heads: []string{"When (UTC)", "What", "Event"}, None: "Nothing has happened since the start."}
	for i, m := range h.src.History.Timeline() {
		if i == most {
			break
		}
		t.Rows = append(t.Rows, m.row(now))
	}
	return t
}

// startLooks sets up what takes a while.
func (h *Handler) startLooks() {
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.store = look[error]{find: h.src.Store, every: 2 * time.Second}
	h.writes = look[error]{find: h.src.Writes, every: 2 * time.Second}
	h.soon = look[dueSoon]{every: 2 * time.Second, find: func(context.Context) dueSoon {
		inUse, due := h.src.Sessions.Due(dueStep, dueSteps)
		return dueSoon{inUse, due}
	}}
	h.total = look[total]{every: 5 * time.Second, most: time.Minute, find: func(ctx context.Context) total {
		_, n, err := h.src.Sessions.Latest(ctx, "", 0)
		return total{n, err}
	}}
}

// sessionsURL is the address of somebody's sessions, relative to any page.
func sessionsURL(user string) string { return "sessions?user=" + url.QueryEscape(user) }
