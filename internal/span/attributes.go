package span

// Key names an attribute. There are no others than those below, so that what a span can
// say is what docs/tracing.md lists.
type Key struct{ name string }

// String is the name as it is sent.
func (k Key) String() string { return k.name }

var keys []Key

func newKey(name string) Key {
	k := Key{name}
	keys = append(keys, k)
	return k
}

// Keys are all attributes that there are.
func Keys() []Key { return keys }

// The names are those of OpenTelemetry's semantic conventions; what those do not name
// begins with evergate. None holds a query, a header, a cookie, a token or a person.
var (
	// HTTPMethod is the method; one that the gateway does not carry is _OTHER.
	HTTPMethod = newKey("http.request.method")
	// HTTPStatus is the status of the answer.
	HTTPStatus = newKey("http.response.status_code")
	// HTTPRoute is the route of the config.
	HTTPRoute = newKey("http.route")
	// HTTPResend counts how often a request had been sent before.
	HTTPResend = newKey("http.request.resend_count")
	// URLScheme and URLPath are what the browser asked for.
	URLScheme = newKey("url.scheme")
	URLPath   = newKey("url.path")
	// URLFull is what the gateway asks for, without query.
	URLFull = newKey("url.full")
	// ServerAddress and ServerPort are who is asked.
	ServerAddress = newKey("server.address")
	ServerPort    = newKey("server.port")
	// ErrorType is the kind of failure.
	ErrorType = newKey("error.type")
	// DBSystem and DBOperation are of the session store.
	DBSystem    = newKey("db.system.name")
	DBOperation = newKey("db.operation.name")

	// RequestID is the one in the log and in X-Request-Id.
	RequestID = newKey("evergate.request_id")
	// Decision is what became of the request.
	Decision = newKey("evergate.decision")
	// ForwardAuth says that a proxy in front asked about the request.
	ForwardAuth = newKey("evergate.forward_auth")
	// Stream is what goes on after the end of the span.
	Stream = newKey("evergate.stream")
	// Provider is who signs people in.
	Provider = newKey("evergate.provider")
	// Renewal is how a renewal went.
	Renewal = newKey("evergate.renewal")
	// Found says of the store what it had.
	Found = newKey("evergate.store")
)
