package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/dpop"
)

const (
	flowPurpose  = "flow"
	statePurpose = "state"
	// flowTTL is how long a person may take at the provider.
	flowTTL = 10 * time.Minute
	// stateTTL is how long a callback that comes too late is still known for one,
	// and restarted: a tab that was left open over night.
	stateTTL = 24 * time.Hour
	// maxFlows and maxFlowBytes bound the cookies of sign-ins under way. Servers
	// refuse requests with more than some 8 KiB of cookies.
	maxFlows     = 10
	maxFlowBytes = 6 << 10
	// maxRestarts bounds how often a callback that came to nothing begins again by
	// itself: where no cookie is kept it would for ever.
	maxRestarts = 2
	// maxStateRD bounds the target in the state, which is part of an address that
	// many a server cuts at 2 KiB. The cookie has the rest.
	maxStateRD = 512
	maxFlowRD  = 1800
)

// trip is where a sign-in at a provider is to end. It travels twice: in the
// cookie of its flow, and sealed in the state, for a browser that comes back
// without that cookie.
type trip struct {
	ID       string `json:"i"` // names the flow and its cookie
	Provider string `json:"p"`
	goal
	Prompt   string    `json:"m,omitempty"`
	Tries    int       `json:"-"`           // of a provider that does not answer
	Restarts int       `json:"n,omitempty"` // so far
	Started  time.Time `json:"t"`
}

// kept is a flow in its cookie.
type kept struct {
	trip
	Nonce    string `json:"o"`
	Verifier string `json:"v"`
	// Key is the private key of the session to come, or "". Sealed as it is here, it will lie
	// in the session's record, or in its cookie where that is the store.
	Key string `json:"k,omitempty"`
	// State is a digest of the state that this flow was begun with.
	State []byte `json:"s"`
}

// newFlow makes the secrets of a flow towards the target of t.
func (h *Handler) newFlow(t trip) (*kept, Flow, error) {
	t.ID, t.Started = newHelperID(), h.cfg.Now()
	k := &kept{trip: t, Nonce: random(), Verifier: random()}
	if p := h.provider(t.Provider); p != nil && p.DPoP {
		key, err := dpop.NewKey()
		if err != nil {
			return nil, Flow{}, fmt.Errorf("begin a sign-in: %w", err)
		}
		k.Key = key.Reveal()
	}
	// An errand takes the room of the target, of which it leaves what is after the "#".
	// What is demanded takes room too; the state leaves that to an errand that has it.
	room := len(t.To) + t.Demand.size()
	k.RD, t.RD = shorter(t.RD, maxFlowRD-room), shorter(t.RD, maxStateRD-room)
	if t.To != "" {
		t.Demand = Demand{}
	}
	state, err := h.seal(statePurpose, h.publicHost(), t, stateTTL)
	if err != nil {
		return nil, Flow{}, fmt.Errorf("begin a sign-in: %w", err)
	}
	sum := sha256.Sum256([]byte(state))
	k.State = sum[:]
	return k, h.flow(k, state), nil
}

// flow is what the provider's side of a sign-in needs of k.
func (h *Handler) flow(k *kept, state string) Flow {
	f := Flow{State: state, Nonce: k.Nonce, Verifier: k.Verifier, Prompt: k.Prompt, Started: k.Started,
		RedirectURI: h.absolute("callback/" + k.Provider), ACRValues: strings.Join(k.Demand.ACR, " ")}
	f.MaxAge, _ = k.Demand.maxAge()
	f.Key, _ = dpop.ParseKey(k.Key) // it was made here, and sealed
	return f
}

// setFlow gives the browser the cookie of k.
func (h *Handler) setFlow(w http.ResponseWriter, r *http.Request, k *kept) error {
	value, err := h.seal(flowPurpose, h.flowHost(r), k, flowTTL)
	if err != nil {
		return fmt.Errorf("begin a sign-in: %w", err)
	}
	h.pruneFlows(w, r, len(value))
	h.setHelper(w, flowKind, k.ID, value, flowTTL)
	return nil
}

// flowHost is the host that the cookie of a flow is sealed for: that which providers send
// browsers back to, or on an app's own host that one.
func (h *Handler) flowHost(r *http.Request) string {
	if h.isAppHost(r) {
		return hostOf(r)
	}
	return h.publicHost()
}

// publicHost is the host that providers send browsers back to. Flows are bound
// to it: where one is begun under another name of the gateway its cookie stays
// behind, and the callback begins anew.
func (h *Handler) publicHost() string {
	return strings.TrimSuffix(strings.ToLower(h.cfg.PublicURL.Hostname()), ".")
}

// absolute is the address of one of our own pages, as providers are told it.
func (h *Handler) absolute(page string) string {
	u := *h.cfg.PublicURL
	u.Path, u.RawPath, u.RawQuery, u.Fragment = own(page), "", "", ""
	return u.String()
}

// flowOf opens the cookie of the flow that state was sent for. It returns nil if
// this browser has none, or one that is over.
func (h *Handler) flowOf(r *http.Request, id, state string) *kept {
	value, ok := h.helperValue(r, flowKind, id)
	if !ok {
		return nil
	}
	k := h.openFlow(r, value)
	sum := sha256.Sum256([]byte(state))
	if k == nil || k.ID != id || subtle.ConstantTimeCompare(k.State, sum[:]) != 1 {
		return nil
	}
	return k
}

func (h *Handler) openFlow(r *http.Request, value string) *kept {
	k := new(kept)
	if h.open(flowPurpose, h.flowHost(r), value, k) != nil || !h.cfg.Now().Before(k.Started.Add(flowTTL)) {
		return nil
	}
	k.RD = ReturnTo(k.RD)
	return k
}

// openState opens a state that comes back.
func (h *Handler) openState(state string) (trip, error) {
	var t trip
	err := h.open(statePurpose, h.publicHost(), state, &t)
	t.RD = ReturnTo(t.RD)
	return t, err
}

// pruneFlows deletes the cookies of flows that are over, and the oldest of those
// that are not once a new one of that many bytes would make too many.
func (h *Handler) pruneFlows(w http.ResponseWriter, r *http.Request, adding int) {
	type old struct {
		id      string
		started time.Time
		bytes   int
	}
	var live []old
	for _, c := range r.Cookies() {
		id, ok := strings.CutPrefix(c.Name, h.helperName(flowKind, ""))
		if !ok {
			continue
		}
		if k := h.openFlow(r, c.Value); k != nil && k.ID == id {
			live = append(live, old{id, k.Started, len(c.Value)})
			adding += len(c.Value)
		} else if isHelperID(id) {
			h.clearHelper(w, flowKind, id)
		}
	}
	slices.SortFunc(live, func(a, b old) int { return a.started.Compare(b.started) })
	for i, o := range live {
		if len(live)-i < maxFlows && adding <= maxFlowBytes {
			break
		}
		h.clearHelper(w, flowKind, o.id)
		adding -= o.bytes
	}
}

// shorter is rd in at most so many bytes of JSON: without its fragment, without its query
// too, or the start page.
func shorter(rd string, most int) string {
	fits := func() bool { return len(rd)+strings.Count(rd, `"`) <= most }
	if fits() {
		return rd
	}
	for _, end := range []string{"#", "?"} {
		if rd, _, _ = strings.Cut(rd, end); fits() {
			return rd
		}
	}
	return "/"
}

// marshal is JSON without the escapes that are for HTML: an "&" would take six bytes, and
// a cookie has no room for that.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// random is 256 bits as text, fit for a nonce and for a PKCE verifier
// (RFC 7636 section 4.1).
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}
