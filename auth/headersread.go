package auth

import (
	"net/http"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// IsCredential reports whether a header holds what somebody is known by. Rules are not
// for comparing secrets, and what they read is shown in explanations.
func IsCredential(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Authorization", "Proxy-Authorization", "Cookie":
		return true
	}
	return false
}

// headerOf is request.header in an expression: "" for credentials, always.
func headerOf(h http.Header) func(name string) string {
	return func(name string) string {
		if IsCredential(name) {
			return ""
		}
		return h.Get(name)
	}
}

// headersRead is which headers of the request an expression reads. Of a header whose
// name is no literal it is not known which.
type headersRead struct {
	names     []string
	mentioned int // how often request is there
	known     int // and how often it is plain what is read of it
}

// visit looks at one node; the whole expression has to come by.
func (h *headersRead) visit(node ast.Node) {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		if n.Value == "request" || n.Value == "$env" {
			h.mentioned++
		}
	case *ast.MemberNode:
		if word := wordOfRequest(n); word != "" && word != "header" {
			h.known++
		}
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.MemberNode)
		if !ok || wordOfRequest(callee) != "header" || len(n.Arguments) != 1 {
			return
		}
		if name, ok := n.Arguments[0].(*ast.StringNode); ok {
			h.known++
			h.names = append(h.names, http.CanonicalHeaderKey(name.Value))
		}
	}
}

// wordOfRequest is the word behind "request.", or "".
func wordOfRequest(n *ast.MemberNode) string {
	if id, ok := n.Node.(*ast.IdentifierNode); !ok || id.Value != "request" {
		return ""
	}
	word, _ := n.Property.(*ast.StringNode)
	if word == nil {
		return ""
	}
	return word.Value
}

// HeadersRead are the headers of a request that the expressions of p read, canonical and
// each once; all says that they may read any. Who keeps a Question needs no others. It
// is for a Policy that was compiled.
func (p *Policy) HeadersRead() (names []string, all bool) {
	for _, rules := range [][]*Rule{p.Deny, p.Allow} {
		for _, r := range rules {
			if when := r.when; when != nil {
				all = all || when.headers.known < when.headers.mentioned
				names = append(names, when.headers.names...)
			}
		}
	}
	if p.Observed != nil {
		more, any := p.Observed.HeadersRead()
		names, all = append(names, more...), all || any
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), IsCredential), all
}
