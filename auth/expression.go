package auth

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// BadExpression says what is wrong with the When of a rule.
type BadExpression struct {
	// At is where the expression stands, such as "routes[2].allow[0].when".
	At string
	// Line and Column are within the expression, and count from 1.
	Line, Column int
	Msg          string
}

func (b *BadExpression) Error() string {
	return fmt.Sprintf("%s: at %d:%d of the expression: %s", b.At, b.Line, b.Column, b.Msg)
}

// expression is a When that was compiled. Nil is one that was not.
type expression struct {
	program  *vm.Program
	personal bool // it reads identity or session
	groups   bool // it reads the groups, or may
	path     bool // it reads the path, or may
	email    bool // it reads the e-mail address, or may
	address  bool // it reads the client's address, or may
	whole    int  // how often it takes identity as a whole, while it is compiled

	inside map[ast.Node]int // how deep predicates lie in one another, while it is compiled
	fault  *BadExpression   // what the compiler does not know to be wrong

	headers headersRead
}

// The words of an expression. Each is typed, so that one that is misspelt is found when
// the config is loaded.
type (
	exprEnv struct {
		Request  exprRequest  `expr:"request"`
		Identity exprIdentity `expr:"identity"`
		Session  exprSession  `expr:"session"`
	}
	exprRequest struct {
		Method  string                   `expr:"method"`
		Host    string                   `expr:"host"`
		Path    string                   `expr:"path"`
		Address string                   `expr:"address"`
		Time    time.Time                `expr:"time"`
		Header  func(name string) string `expr:"header"`
	}
	exprIdentity struct {
		User     string `expr:"user"`
		Subject  string `expr:"subject"`
		Provider string `expr:"provider"`
		Name     string `expr:"name"`
		// Email is "" unless the provider vouches for it.
		Email  string         `expr:"email"`
		Groups []string       `expr:"groups"`
		Claims map[string]any `expr:"claims"`
	}
	exprSession struct {
		ACR string   `expr:"acr"`
		AMR []string `expr:"amr"`
		// AuthAge is how long ago the sign-in was, for ever where nobody knows.
		AuthAge time.Duration `expr:"auth_age"`
	}
)

// maxNodes and maxInside bound an expression, and how deep predicates such as that of any
// may lie in one another: it is evaluated for each request, and nothing interrupts it.
const (
	maxNodes  = 1000
	maxInside = 2
)

// exprOptions leave out what would have a rule decide differently from one moment to the
// next without a word of it in the request (now), and what makes much of little.
var exprOptions = func() []expr.Option {
	options := []expr.Option{expr.Env(exprEnv{}), expr.AsBool(), expr.MaxNodes(maxNodes),
		expr.Function("within", func(params ...any) (any, error) { return within(params[0].(string), params[1].(string)) },
			new(func(address, network string) bool))}
	for _, name := range []string{"now", "repeat", "replace", "join", "split", "splitAfter", "toJSON", "fromJSON"} {
		options = append(options, expr.DisableBuiltin(name))
	}
	return options
}()

// within reports whether an address lies in a network.
func within(address, network string) (bool, error) {
	n, err := netip.ParsePrefix(network)
	if err != nil || n.Addr().Is4In6() {
		return false, fmt.Errorf("within: %q is no range of addresses such as 10.0.0.0/8", network)
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false, fmt.Errorf("within: %q is no address", address)
	}
	return n.Contains(a), nil
}

func compileExpression(text string) (*expression, *BadExpression) {
	bad := func(err error) *BadExpression {
		if e, ok := errors.AsType[*file.Error](err); ok {
			return &BadExpression{Line: max(e.Line, 1), Column: e.Column + 1, Msg: inOurWords(e.Message)}
		}
		return &BadExpression{Line: 1, Column: 1, Msg: err.Error()}
	}
	e := &expression{inside: map[ast.Node]int{}}
	program, err := expr.Compile(text, append(slices.Clone(exprOptions), expr.Patch(e))...)
	if err != nil {
		return nil, bad(err)
	}
	if e.fault != nil {
		at := e.fault.Column // so far it counts from the beginning
		before := []rune(text)[:min(at, len([]rune(text)))]
		e.fault.Line, e.fault.Column = 1, 1
		for _, r := range before {
			if e.fault.Column++; r == '\n' {
				e.fault.Line, e.fault.Column = e.fault.Line+1, 1
			}
		}
		return nil, e.fault
	}
	e.program, e.inside, e.groups = program, nil, e.whole > 0
	return e, nil
}

var (
	noField = regexp.MustCompile(`^type auth\.expr(\w+) has no field (\w+)$`)
	noName  = regexp.MustCompile(`^unknown name (\w+)$`)
)

// inOurWords says what the compiler means by its own types in words of the language.
func inOurWords(msg string) string {
	if m := noField.FindStringSubmatch(msg); m != nil {
		name := strings.ToLower(m[1])
		return fmt.Sprintf("%s has no %s; it has %s", name, m[2], strings.Join(exprWords[name], ", "))
	}
	if m := noName.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("there is no %s; there are request, identity and session", m[1])
	}
	return msg
}

// exprWords are the words below each of the three, in their order.
var exprWords = func() map[string][]string {
	words, env := map[string][]string{}, reflect.TypeFor[exprEnv]()
	for i := range env.NumField() {
		f := env.Field(i)
		for j := range f.Type.NumField() {
			words[f.Tag.Get("expr")] = append(words[f.Tag.Get("expr")], f.Type.Field(j).Tag.Get("expr"))
		}
	}
	return words
}()

// Visit implements ast.Visitor: it looks which words are read, and refuses what could
// take long or grow large. It comes by what lies inside a node first.
func (e *expression) Visit(node *ast.Node) {
	e.headers.visit(*node)
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		e.personal = e.personal || n.Value == "identity" || n.Value == "session" || n.Value == "$env"
		if n.Value == "identity" || n.Value == "$env" {
			e.whole++
		}
	case *ast.MemberNode:
		id, ok := n.Node.(*ast.IdentifierNode)
		name, plain := n.Property.(*ast.StringNode)
		if ok && plain && id.Value == "identity" && name.Value != "groups" {
			e.whole-- // it is about something else
		}
		if plain { // of whatever: the words are rare enough
			e.path, e.email, e.address = e.path || name.Value == "path", e.email || name.Value == "email", e.address || name.Value == "address"
		} else {
			e.path, e.email, e.address = true, true, true
		}
	case *ast.VariableDeclaratorNode:
		e.refuse(n, "let is no part of this language; write out what it stands for")
	case *ast.BinaryNode:
		if n.Operator == ".." {
			e.refuse(n, "ranges of numbers are no part of this language; compare with < and >")
		}
	case *ast.BuiltinNode:
		if n.Name == "reduce" { // the compiler disables none that takes a predicate
			e.refuse(n, "reduce is no part of this language; use any, all, one, none or count")
		}
	case *ast.PredicateNode:
		depth := deepest{e.inside, 0}
		ast.Walk(&n.Node, &depth)
		if e.inside[n] = depth.found + 1; depth.found+1 > maxInside {
			e.refuse(n, fmt.Sprintf("predicates lie in one another more than %d deep", maxInside))
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && id.Value == "within" && len(n.Arguments) == 2 {
			if network, ok := n.Arguments[1].(*ast.StringNode); ok {
				if _, err := within("::", network.Value); err != nil {
					e.refuse(network, err.Error())
				}
			}
		}
	}
}

func (e *expression) refuse(n ast.Node, msg string) {
	if e.fault == nil {
		e.fault = &BadExpression{Column: n.Location().From, Msg: msg}
	}
}

// deepest finds how deep the predicates below a node lie in one another.
type deepest struct {
	known map[ast.Node]int
	found int
}

func (d *deepest) Visit(node *ast.Node) { d.found = max(d.found, d.known[*node]) }

// isPersonal is for an expression that was compiled; one that was not holds for nobody,
// and refuses everybody.
func (e *expression) isPersonal() bool { return e != nil && e.personal }

// run evaluates e for one reading.
func (e *expression) run(q *Question, as reading) (bool, error) {
	if e == nil {
		return false, errors.New("the expression was not compiled")
	}
	if e.groups && q.Identity != nil && q.Identity.GroupsOmitted {
		return false, errors.New(groupsLeftOut)
	}
	if e.groups && q.Identity != nil && q.Identity.GroupsUnread {
		return false, errors.New(groupsUnread)
	}
	if e.email && q.Identity != nil && q.Identity.EmailUnread {
		return false, errors.New(emailUnread)
	}
	env := exprEnv{
		Request: exprRequest{Method: q.Method, Host: q.Host, Path: as.path, Time: q.Time.UTC(), Header: headerOf(q.Header)},
		Session: exprSession{ACR: q.ACR, AMR: q.AMR, AuthAge: math.MaxInt64},
	}
	if q.Address.IsValid() {
		env.Request.Address = q.Address.Unmap().WithZone("").String()
	}
	if id := q.Identity; id != nil {
		env.Identity = exprIdentity{User: id.User, Subject: id.Subject, Provider: id.Provider, Name: id.Name, Email: as.email, Groups: as.groups, Claims: id.Claims}
	}
	if !q.AuthTime.IsZero() {
		env.Session.AuthAge = max(q.Time.Sub(q.AuthTime), 0)
	}
	out, err := expr.Run(e.program, env)
	if err != nil {
		if fe, ok := errors.AsType[*file.Error](err); ok {
			return false, errors.New(fe.Message)
		}
		return false, errors.New("it cannot be evaluated")
	}
	holds, ok := out.(bool)
	if !ok {
		return false, fmt.Errorf("it gives a %T, not true or false", out)
	}
	return holds, nil
}
