package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/config"
)

// signInTime is how long a person may take.
const signInTime = 5 * time.Minute

// Person is who signs in for the doctor.
type Person struct {
	// Talk is where they are told what to do.
	Talk io.Writer
	// Pasted is where they paste the address that their browser ended at.
	Pasted io.Reader
}

// SignIn has somebody sign in at a provider, tries out the tokens that come of it, and
// gives them back. The gateway knows nothing of it.
//
// A provider sends the browser to the redirect URI that is registered and to no other. If
// that is an address of this machine that is free, the doctor listens there for the
// moment. Otherwise the browser ends at the gateway, which answers 400 to a state that it
// did not send and leaves the code alone, or at a page that cannot be had: the code is in
// the browser's address bar in either case, and is pasted from there.
func (p *Patient) SignIn(ctx context.Context, o *config.OIDC, who Person) []Finding {
	f := Finding{Fail, "provider.refresh", o.Name, "", ""}
	fail := func(err error, mend string) []Finding {
		f.Text, f.Mend = err.Error(), mend
		return []Finding{f}
	}
	c, err := p.Provider(o)
	if err != nil {
		return fail(err, "see to the file that it names")
	}
	m, err := p.method(c)
	if err != nil {
		return fail(err, "mend the client's settings")
	}
	defer m.Close()
	login, err := p.throwAway(ctx, o, m, who)
	if err != nil {
		return fail(fmt.Errorf("the sign-in came to nothing: %w", err), "see what the other lines say of this provider, and try again")
	}
	t := &trial{m: m, about: o.Name, latest: login}
	t.run(ctx, o)
	t.giveBack(ctx)
	return t.found
}

// throwAway is the sign-in itself.
func (p *Patient) throwAway(ctx context.Context, o *config.OIDC, m *oidc.Method, who Person) (*auth.Login, error) {
	ctx, cancel := context.WithTimeout(ctx, signInTime)
	defer cancel()
	flow := p.flow(o, p.callback(o))
	to, err := m.Begin(ctx, flow)
	if err != nil {
		return nil, err
	}
	answers := make(chan url.Values, 1)
	l := p.ownCallback()
	fmt.Fprintf(who.Talk, "Sign in at %s, with an account that may be used for a test. Open:\n\n%s\n\n", o.Label, to)
	if l != nil {
		defer serveCallback(l, flow, answers)()
		fmt.Fprintln(who.Talk, "The doctor waits for the browser to come back.")
	} else {
		fmt.Fprintf(who.Talk, "The browser ends at a page of the gateway that says that this sign-in was not begun there,\n"+
			"or at one that cannot be reached. Copy its whole address, which begins with\n%s, and paste it here within a minute:\n", flow.RedirectURI)
	}
	ended := make(chan error, 1)
	// It reads on after this returns, if nothing was pasted: nobody can take a terminal away
	// from who reads it. The program ends soon.
	go func() { ended <- readPasted(who, flow, answers) }()
	for {
		select {
		case answer := <-answers:
			return m.Complete(ctx, flow, answer)
		case err := <-ended:
			if err != nil && l == nil {
				return nil, err
			}
			ended = nil // the answer is there, or the browser may come by itself
		case <-ctx.Done():
			return nil, errors.New("nobody came back in time")
		}
	}
}

// ownCallback listens where the redirect URI leads to, if that is here and free.
func (p *Patient) ownCallback() net.Listener {
	u := p.Config.PublicURL
	if u.Scheme != "http" || !config.IsLoopback(u.Hostname()) {
		return nil
	}
	at := u.Port()
	if at == "" {
		at = "80"
	}
	host := u.Hostname()
	if net.ParseIP(host) == nil {
		host = "localhost" // as are all names below it
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, at))
	if err != nil {
		return nil
	}
	return l
}

// serveCallback takes the answer of one flow, and nothing else, until stop.
func serveCallback(l net.Listener, flow auth.Flow, answers chan<- url.Values) (stop func()) {
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		u, err := url.Parse(flow.RedirectURI)
		query := r.URL.Query()
		if err != nil || r.URL.Path != u.Path || query.Get("state") != flow.State {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "This is evergate doctor, which waits for another address.\n")
			return
		}
		_, _ = io.WriteString(w, "The doctor has what it needs. Go back to the terminal; this page can be closed.\n")
		select {
		case answers <- query:
		default: // it came twice
		}
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // the browser is told first
		_ = server.Close()
		wg.Wait()
	}
}

// readPasted reads addresses until one is the callback's.
func readPasted(who Person, flow auth.Flow, answers chan<- url.Values) error {
	lines := bufio.NewScanner(who.Pasted)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		rest, ok := strings.CutPrefix(line, flow.RedirectURI+"?")
		query, err := url.ParseQuery(strings.SplitN(rest, "#", 2)[0])
		if !ok || err != nil || query.Get("state") != flow.State {
			fmt.Fprintf(who.Talk, "That is not the address that this sign-in ended at. It begins with %s?\n", flow.RedirectURI)
			continue
		}
		select {
		case answers <- query:
		default:
		}
		return nil
	}
	return errors.New("no address was pasted")
}
