package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/proxy"
)

// liveOptions are the flags of explain for the gateway that runs.
type liveOptions struct {
	live, observed, asJSON bool
	show                   string
	user, session          string
	limit                  int
}

// liveFlags adds those that explain has for this alone.
func liveFlags(cmd *cobra.Command, o *liveOptions) {
	f := cmd.Flags()
	f.BoolVar(&o.live, "live", false, "the last decisions of the gateway that runs")
	f.BoolVar(&o.observed, "observed", false, "where rules in mode observe would decide otherwise, in the gateway that runs")
	f.StringVar(&o.show, "show", "", "have the answers of --user carry "+decisionHeader+" for so long, such as 10m; 0s ends it")
	f.StringVar(&o.session, "session", "", "with --live: those of this session alone; --user does the same by name")
	f.IntVar(&o.limit, "limit", 20, "with --live: how many, the newest first")
}

const decisionHeader = proxy.ShownHeader

// asks reports whether it is the gateway that runs that is asked.
func (o *liveOptions) asks() bool { return o.live || o.observed || o.show != "" }

// explainLive asks the gateway that runs what it decided, and why.
func (p *program) explainLive(ctx context.Context, path string, o liveOptions) error {
	wrong := func(format string, args ...any) error {
		return &misuse{fmt.Errorf(format, args...), "evergate explain --help"}
	}
	said := 0
	for _, it := range []bool{o.live, o.observed, o.show != ""} {
		if it {
			said++
		}
	}
	switch {
	case said != 1:
		return wrong("want one of --live, --observed and --show")
	case o.show != "" && o.user == "":
		return wrong("--show: name whose answers are to tell what was decided, by --user")
	case o.session != "" && !o.live:
		return wrong("--session goes with --live")
	case o.limit < 1 || o.limit > decisions.MaxLimit:
		return wrong("--limit: want 1 to %d, got %d", decisions.MaxLimit, o.limit)
	}
	if _, err := time.ParseDuration(o.show); o.show != "" && err != nil {
		return wrong("--show: want a duration such as 10m, or 0s to end it, got %q", o.show)
	}
	cfg, err := loadConfig(path) // also says where the gateway listens
	if err != nil {
		return err
	}
	client := adminOf(cfg)
	switch {
	case o.observed:
		err = p.liveObserved(ctx, client, &o)
	case o.show != "":
		err = p.liveShow(ctx, client, &o)
	default:
		err = p.liveDecisions(ctx, client, &o)
	}
	if _, unheard := errors.AsType[*url.Error](err); unheard || errors.Is(err, fs.ErrNotExist) {
		err = &hinted{err, "is the gateway running, and are admin.listen and data_dir as they were when it started?"}
	}
	return err
}

// json writes v if that is wanted.
func (p *program) json(v any, wanted bool) (done bool, err error) {
	if !wanted {
		return false, nil
	}
	enc := json.NewEncoder(p.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return true, enc.Encode(v)
}

func (p *program) liveDecisions(ctx context.Context, client *adminClient, o *liveOptions) error {
	q := url.Values{"user": {o.user}, "session": {o.session}, "limit": {strconv.Itoa(o.limit)}}
	var got admin.Decisions
	if err := client.call(ctx, http.MethodGet, "/api/decisions?"+q.Encode(), nil, &got); err != nil {
		return err
	}
	if done, err := p.json(got.Decisions, o.asJSON); done {
		return err
	}
	if len(got.Decisions) == 0 {
		if got.Keep == 0 {
			return &hinted{errors.New("the gateway keeps no decisions: admin.decisions is 0"), "set it to 20, say, and reload"}
		}
		fmt.Fprintln(p.err, "There is no decision to tell of.")
		return nil
	}
	var b strings.Builder
	for i := range got.Decisions {
		if i > 0 {
			b.WriteString("\n")
		}
		writeDecision(&b, &got.Decisions[i])
	}
	_, err := fmt.Fprint(p.out, b.String())
	return err
}

// writeDecision says it to a person, in the words of a dry run.
func writeDecision(b *strings.Builder, d *decisions.Decision) {
	who := "nobody signed in"
	if d.User != "" {
		who = plain(d.User)
	}
	if d.Session != "" {
		who += " (session " + d.Session + ")"
	}
	address := "an unknown address"
	if d.Address.IsValid() {
		address = d.Address.String()
	}
	fmt.Fprintf(b, "%s  %s %s%s from %s, %s\n", d.Time.Local().Format("2006-01-02 15:04:05.000"), plain(d.Method), plainLine(d.Host), plainLine(d.Path), address, who)
	fmt.Fprintf(b, "Request   %s\n", d.Request)
	if d.Route != "" {
		fmt.Fprintf(b, "Route     %s\n", plainLine(d.Route))
	} else {
		b.WriteString("Route     none\n")
	}
	writeRules(b, d.Rules)
	fmt.Fprintf(b, "Decision  %s%s\n", d.Decision, by(d.Rule))
	if d.Reason != "" {
		fmt.Fprintf(b, "          %s\n", plainLine(d.Reason))
	}
	if o := d.Observed; o != nil {
		differs := ""
		if o.Decision != d.Decision {
			differs = ", which differs"
		}
		fmt.Fprintf(b, "Observed  %s%s%s\n", o.Decision, by(o.Rule), differs)
		if differs != "" {
			writeRules(b, o.Rules)
		}
	}
	if d.Note != "" {
		fmt.Fprintf(b, "Note      %s\n", d.Note)
	}
}

func writeRules(b *strings.Builder, rules []decisions.Rule) {
	for i := range rules {
		writeRule(b, &rules[i])
	}
}

func (p *program) liveObserved(ctx context.Context, client *adminClient, o *liveOptions) error {
	var got decisions.Differences
	if err := client.call(ctx, http.MethodGet, "/api/observed", nil, &got); err != nil {
		return err
	}
	if o.user != "" {
		mine := got.All[:0]
		for _, d := range got.All {
			if d.User == o.user {
				mine = append(mine, d)
			}
		}
		got.All = mine
	}
	if done, err := p.json(got, o.asJSON); done {
		return err
	}
	since := got.Since.Local().Format(time.DateTime)
	if len(got.All) == 0 {
		fmt.Fprintf(p.err, "Nothing differs since %s.\n", since)
		return nil
	}
	fmt.Fprintf(p.err, "Since %s:\n", since)
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIMES\tROUTE\tUSER\tDECISION\tWOULD BE\tBY\tLAST\tFIRST REQUEST")
	for _, d := range got.All {
		user, rule := "-", "-"
		if d.User != "" {
			user = plain(d.User)
		}
		if d.Rule != nil {
			rule = fmt.Sprintf("%s (line %d)", d.Rule.At, d.Rule.Line)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Count, plain(d.Route), user, d.Decision, d.Observed, rule, d.Last.Local().Format(time.DateTime), d.Request)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if got.Beyond > 0 {
		fmt.Fprintf(p.err, "%s more differed in ways for which the table has no place.\n", count(int(got.Beyond), "request"))
	}
	return nil
}

func (p *program) liveShow(ctx context.Context, client *adminClient, o *liveOptions) error {
	var got admin.Shown
	if err := client.call(ctx, http.MethodPost, "/api/decisions/show", admin.Show{User: o.user, For: o.show}, &got); err != nil {
		return err
	}
	if done, err := p.json(got, o.asJSON); done {
		return err
	}
	if len(got.Shown) == 0 {
		fmt.Fprintln(p.err, "No answer tells what was decided.")
	}
	for _, s := range got.Shown {
		fmt.Fprintf(p.err, "Answers to %s carry %s until %s.\n", plain(s.User), decisionHeader, s.Until.Local().Format(time.DateTime))
	}
	return nil
}
