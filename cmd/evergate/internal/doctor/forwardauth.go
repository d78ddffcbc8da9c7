package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/evergate/evergate/config"
)

// asksAt is where proxies ask.
const asksAt = "/.evergate/auth"

// asked looks whether the proxy in front asks about requests: it comes in by public_url, to a
// page that is not open, as a script of nobody's.
func (p *Patient) asked(ctx context.Context) []Finding {
	c := p.Config
	if c.ForwardAuth == nil {
		return nil
	}
	f := Finding{Skip, "gateway.forward_auth", c.ForwardAuth.Dialect, "", ""}
	if !p.alive {
		f.Text = "no gateway runs here, so no proxy in front can ask"
		return []Finding{f}
	}
	path := guarded(c)
	if path == "" {
		f.Text = "no route guards a page of " + c.PublicURL.Hostname() + ", by which it would show"
		return []Finding{f}
	}
	before, unknown := p.Running(ctx)
	status, code, err := p.knock(ctx, c.PublicURL.String()+path)
	after, _ := p.Running(ctx)
	switch {
	case err != nil:
		f.Text = fmt.Sprintf("it cannot be told: %v", bare(err))
	case code == "login_required" && unknown != nil:
		f.Text = fmt.Sprintf("the gateway answers, and whether it was asked cannot be told: %v", unknown)
	case code == "login_required" && before.Unanswered < after.Unanswered:
		f.Status, f.Text = Fail, "the proxy in front asks, and the gateway does not answer it: its log says why (forward_auth.refused)"
		f.Mend = "list its address in trusted_proxies, and give it what evergate snippet " + c.ForwardAuth.Dialect + " prints"
	case code == "login_required" && before.Asked == after.Asked:
		f.Status, f.Text = Fail, "the gateway itself answers at "+c.PublicURL.String()+", and was not asked before: everything is sent to "+c.Listen
		f.Mend = "give the proxy in front what evergate snippet " + c.ForwardAuth.Dialect + " prints; if there is none, remove forward_auth"
	case code == "login_required":
		f.Status, f.Text = OK, "the proxy in front asks, and hands the answer on"
	case code == "untrusted_proxy":
		f.Status, f.Text, f.Mend = Fail, "the gateway does not answer the proxy in front", "list its address in trusted_proxies"
	case code == "unclear_request":
		f.Status, f.Text, f.Mend = Fail, "the proxy in front asks in another dialect than "+c.ForwardAuth.Dialect,
			"give it what evergate snippet "+c.ForwardAuth.Dialect+" prints, or set forward_auth.dialect to what it is"
	case status < 400:
		f.Status, f.Text = Fail, fmt.Sprintf("%s answered %d to somebody who is not signed in: the proxy in front does not ask", path, status)
		f.Mend = "give it what evergate snippet " + c.ForwardAuth.Dialect + " prints"
	default:
		f.Status, f.Text, f.Mend = Warn, fmt.Sprintf("%s answered %d, and not by the gateway's word", path, status), "look into the gateway's log for "+asksAt+", and into that of the proxy in front: it may ask in another way than "+c.ForwardAuth.Dialect+" does, or not reach "+c.ForwardAuth.Listen
	}
	return []Finding{f}
}

// knock asks for a page as a script does, and returns the code of a problem that answers.
func (p *Patient) knock(ctx context.Context, address string) (status int, code string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", "application/json")
	res, err := asking.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	var problem struct {
		Code string `json:"code"`
	}
	if res.Header.Get("Content-Type") == "application/problem+json" && json.Unmarshal(body, &problem) != nil {
		problem.Code = ""
	}
	return res.StatusCode, problem.Code, err
}

// guarded is a path on public_url's host that nobody but the signed-in may see, or "".
func guarded(c *config.Config) string {
	home := strings.ToLower(c.PublicURL.Hostname())
	for _, r := range c.Routes {
		if r.Public || r.Match.Host != "" && r.Match.Host != home || len(r.Match.Methods) > 0 || r.Redirect != nil || r.Respond != nil || r.Static != nil || r.Admin {
			continue
		}
		path := strings.ReplaceAll(r.Match.Path, "*", "x")
		if path == "" {
			path = "/"
		}
		if strings.HasSuffix(path, "/") {
			path += "evergate-doctor" // deeper than routes of its own that are open
		}
		return path
	}
	return ""
}
