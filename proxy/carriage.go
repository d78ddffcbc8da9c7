package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// carriage is one request on its way to its upstream and back.
type carriage struct {
	in        *http.Request // as the client sent it
	route     *Route
	login     *auth.Login // nil: without identity
	token     auth.Token  // what goes up behind Bearer, or with a proof
	secret    string      // what goes up in the header of the route's credential, or ""
	target    *Target     // as the browser has it
	up        *Target     // as the upstream gets it
	host      string      // Host for the upstream, of the canonical name
	scheme    string
	websocket bool
	bodyGone  bool // it could not be sent once more when a nonce was wanted in the proof
	delivered bool // the cookies that were due
	note      *web.Note
	log       *slog.Logger
	own       func(name string) bool
	gate      *Gate
	streams   *Streams
	patience  time.Duration // with a client that stands still; zero has no end
	shown     []string      // the values of ShownHeader, or nil

	traced *wayUp // nil where nobody traces

	start  time.Time
	ctx    context.Context    // of the request upstream
	cancel context.CancelFunc // ends it; nil is a context that ends with the client alone
	body   io.Closer          // of the answer, where closing it ends the request upstream; or nil
	writer *writer
	to     *target  // where it went last
	try    *attempt // that of now
	slot   *target  // the one that counts it among its requests; nil is none

	sent, taken stall // the body of the request: by the client, and by the target
	down        stall // the answer, by the client

	signOut func(h http.Header, r *http.Request) (string, error) // what the answer ends; nil is nothing, or it is done
	kept    []string                                             // the app's cookies, where its answer gives way to ours
	limits  []string                                             // RateLimit, of the route
	cookies http.Header                                          // what Deliver gave
	bodyErr atomic.Pointer[error]

	values values   // of headers up and down
	rooms  struct { // of what each request has one of: one allocation for all of it
		writer writer
		try    attempt
		proxy  httputil.ReverseProxy
	}

	followed  bool // an attempt has the trace of the request
	addressed bool // and its URL

	endless bool // it has no end of its own; set before attend is called
	long    bool // its answer is copied through a large buffer, if there is one

	mu       sync.Mutex // guards what follows
	done     bool
	attended bool
	timer    *time.Timer
	// uploading is until the body of the request is attended; nil is one that never is
	uploading *time.Timer
	stop      func() bool    // lets go of the attended context
	ending    sync.WaitGroup // endStream, while it may run
	tunnel    *tunnel
	activity  func()

	goOn func(context.Context) // carries what ReverseProxy does not; nil is nothing
}

// carriageOf finds what a request is carried by: from in to out it has the context of one Note.
func carriageOf(r *http.Request) *carriage {
	return web.NoteIn(r.Context()).Carriage.(*carriage)
}

// carry takes the request to the upstream of its route and the answer back.
func (c *carriage) carry(w http.ResponseWriter) {
	ctx := c.in.Context()
	c.start = time.Now()
	defer web.TakeBody(ctx)()
	defer c.hangUp()
	defer c.end()
	defer c.endAnyway()
	defer c.leave()
	c.rooms.writer = writer{ResponseWriter: w, c: c}
	c.writer = &c.rooms.writer
	c.watchStalls(c.patience)
	if c.in.ContentLength != 0 && c.in.ProtoMajor == 1 {
		// An upstream may answer while the body still comes. Without this, net/http
		// would swallow the rest of it as soon as the answer begins.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	in := c.in
	if web.NoteIn(ctx) != c.note { // nobody serves who would have put it there
		in = in.WithContext(web.WithNote(ctx, c.note))
	}
	if !c.isShort() {
		ctx, c.cancel = context.WithCancel(in.Context())
		in = in.WithContext(ctx)
	}
	c.note.Carriage, c.ctx = c, in.Context()
	c.watchUpload() // and it may end from here on
	c.rooms.proxy = c.route.Upstream.proxy
	c.rooms.proxy.BufferPool = (*lender)(c)
	c.rooms.proxy.ServeHTTP(c.writer, in)
	if goOn := c.goOn; goOn != nil {
		c.goOn = nil
		goOn(c.ctx)
	}
}

// isShort reports whether the request will go by a fetch.Line, as far as can be told from
// what the client sent. It is over once its answer is: it needs no context to be ended by.
func (c *carriage) isShort() bool {
	return !c.websocket && c.in.ContentLength == 0 && (c.in.Method == http.MethodGet || c.in.Method == http.MethodHead) &&
		c.route.Upstream.short
}

// hangUp ends what goes on with the upstream.
func (c *carriage) hangUp() {
	if c.cancel != nil {
		c.cancel()
	}
	if c.body != nil {
		_ = c.body.Close()
	}
}

// end lets go of everything that outlives the answer.
func (c *carriage) end() {
	c.mu.Lock()
	c.done = true
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.uploading != nil {
		c.uploading.Stop()
	}
	stop, attended := c.stop, c.attended
	c.mu.Unlock()
	if attended {
		c.streams.leave(c)
	}
	if stop != nil && stop() {
		c.ending.Done() // it never ran
	}
	c.ending.Wait()
	c.answered()
	if c.down.close() {
		c.log.Debug("a client took nothing more of its answer, which was cut", "event", "client.stalled", "request_id", c.note.ID, "route", c.route.label)
	}
}

// controller reaches the connection of the client.
func (c *carriage) controller() *http.ResponseController {
	return http.NewResponseController(c.writer.ResponseWriter)
}

// leave tells the target that it has one request less.
func (c *carriage) leave() {
	if c.slot != nil {
		c.route.Upstream.release(c.slot)
		c.slot = nil
	}
}

// rewrite makes the request upstream; its URL and Host are made once a target is chosen. Hop-by-hop headers and whatever the client
// named in Connection are gone when it runs, so nothing set here can be lost.
func (c *carriage) rewrite(p *httputil.ProxyRequest) {
	out := p.Out
	h := out.Header
	stripHeaders(h, c.route.pass, c.route.dropped, c.route.free)
	stripCookies(h, c.own)
	if !c.websocket && c.in.Header["Upgrade"] != nil {
		delete(h, "Upgrade")
		delete(h, "Connection")
	}
	behind := c.token
	if c.route.DPoP != nil {
		behind = auth.Token{} // it goes up with a proof, once it is known where to
	}
	for _, name := range setIdentity(h, c.login, behind, &c.values, len(c.route.pass) > 0) {
		c.log.Warn("a claim cannot be a header and was left out", "request_id", c.note.ID, "route", c.route.label, "header", name)
	}
	setConnection(h, c.note, c.scheme, c.host, c.route.Rewrite.StripPrefix, &c.values)
	if !c.note.Client.IsValid() {
		if peer := web.PeerOf(c.in); peer.IsValid() {
			c.values.set(h, "X-Forwarded-For", peer.String())
		}
	}
	c.place(h) // before what the route says of single headers
	c.route.up.apply(h, c)
	if c.route.credential != "" {
		delete(h, c.route.credential)
		if c.secret != "" {
			h[c.route.credential] = []string{c.secret}
		}
	}
	if out.Body != nil && out.Body != http.NoBody {
		out.Body = c.newUpload(out)
		// An upstream may answer without having said 100, and wait for the next request: the body
		// would be that. Where the connection is to close net/http does not send it.
		out.Close = h["Expect"] != nil
		c.announceTrailers(out)
	}
}

// announceTrailers lets the trailers through that the client announced and that
// do not belong to the gateway. Their values come with the end of the body.
func (c *carriage) announceTrailers(out *http.Request) {
	out.Trailer = nil
	for name := range c.in.Trailer {
		if out.Trailer == nil {
			out.Trailer = http.Header{}
		}
		out.Trailer[name] = nil
	}
	stripTrailers(out.Trailer, c.route.pass, c.route.dropped)
}

// modify makes the upstream's answer ours. What can fail comes before the
// cookies, which are due once and go with the answer that is really sent.
func (c *carriage) modify(res *http.Response) error {
	c.note.Upstream = time.Since(c.start)
	c.answered()
	h := res.Header
	switching := res.StatusCode == http.StatusSwitchingProtocols
	if res.StatusCode < 100 { // net/http reads such a status, and panics when it is to write it
		return errors.New("upstream answered " + res.Status + ", which is no status")
	}
	if switching && (!c.websocket || !isWebSocket(h)) {
		return badGateway("bad_upgrade", "The app behind this address changed to a protocol that nobody asked for.",
			errors.New("upstream answered 101 unasked"))
	}
	if switching {
		if err := checkSwitch(c.in.Header, h); err != nil {
			return badGateway("bad_upgrade", "The app behind this address did not open the WebSocket as it was asked to.", err)
		}
	}
	if removed, left := stripConnectionAuth(h); removed {
		c.log.Warn("upstream asked for NTLM or Negotiate, which cannot pass", "request_id", c.note.ID, "route", c.route.label)
		if !left && res.StatusCode == http.StatusUnauthorized {
			return badGateway("connection_auth", "The app behind this address asks for a Windows sign-in (NTLM or Negotiate). "+
				"That signs in a connection rather than a person and cannot pass a gateway; it has to be switched off in the app.",
				errors.New("upstream answered 401 with NTLM or Negotiate alone"))
		}
	}
	if err := c.unproven(res); err != nil {
		return err
	}
	if demand := c.demanded(res); demand != nil {
		return &furtherSignIn{demand}
	}
	if c.route.signsIn() && res.StatusCode == http.StatusUnauthorized && len(h["Www-Authenticate"]) > 0 {
		return refusedCredentials()
	}
	if c.replaces(res) {
		return c.replacement(res)
	}
	for _, name := range scrub(h, c.own) {
		c.log.Warn("upstream tried to set a cookie of the gateway", "request_id", c.note.ID, "route", c.route.label, "cookie", name)
	}
	c.mapBack(h)
	c.route.SecureHeaders.apply(h, res.StatusCode, c.scheme) // before what the route says of single headers
	if !switching {
		c.route.down.apply(h, c) // before what the gateway itself says about caches and cookies
	}
	if (isForOneAlone(c.route, c.login, h) || c.shown != nil) && !switching {
		keepPrivate(h, &c.values)
	}
	c.show(h)
	if c.signOut != nil && !switching {
		return c.farewell(res)
	}
	c.deliver(h)
	c.values.set(h, "X-Request-Id", c.note.ID)
	if switching {
		h["Connection"] = []string{"Upgrade"} // an upstream could have named our cookie in it
		c.endless = true
		c.attend()
		return c.takeTunnel(res)
	}
	stripTrailers(res.Trailer, nil, nil)
	if res.ContentLength < 0 || res.ProtoMajor != 1 { // where the length is known HTTP/1.1 has no trailers
		res.Body = &download{ReadCloser: res.Body, res: res}
	}
	c.watch(res)
	if c.endless {
		return c.takeEvents(res)
	}
	c.long = res.ContentLength >= long && isPatient(c.patience)
	c.handDown(res)
	return nil
}

// handDown moves the header of an answer that is finished into ours. ReverseProxy would copy it
// value by value, and look once more whether it is an event stream.
func (c *carriage) handDown(res *http.Response) {
	h := c.writer.Header()
	for name, values := range res.Header {
		if own := h[name]; len(own) > 0 {
			values = append(own, values...)
		}
		h[name] = values
	}
	res.Header = nil
}

// download is the body of an answer. Trailers that were not announced show up at
// its end.
type download struct {
	io.ReadCloser
	res *http.Response
}

func (b *download) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		stripTrailers(b.res.Trailer, nil, nil)
	}
	return n, err
}

// deliver puts the cookies that are due into h, asking for them the first time.
func (c *carriage) deliver(h http.Header) {
	if !c.delivered {
		c.delivered = true
		c.cookies = deliver(c.in.Context(), c.login)
	}
	addCookies(h, c.cookies)
	c.writer.flush = len(c.cookies) > 0
}

func deliver(ctx context.Context, login *auth.Login) http.Header {
	h := http.Header{}
	if login != nil && login.Session != nil {
		login.Session.Deliver(ctx, h)
	}
	return h
}

func addCookies(h, cookies http.Header) {
	if len(cookies) == 0 {
		return
	}
	for name, values := range cookies {
		h[name] = append(h[name], values...)
	}
	keepNowhere(h)
}
