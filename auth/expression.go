package auth

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
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
	headers  headersRead
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

// maxNodes bounds an expression. It is evaluated for each request.
const maxNodes = 1000

// exprOptions leave out what would have a rule decide differently from one moment to the
// next without a word of it in the request (now), and what makes much of little.
var exprOptions = []expr.Option{
	expr.Env(exprEnv{}), expr.AsBool(), expr.MaxNodes(maxNodes),
	expr.DisableBuiltin("now"), expr.DisableBuiltin("repeat"), expr.DisableBuiltin("toJSON"), expr.DisableBuiltin("fromJSON"),
	expr.Function("within", func(params ...any) (any, error) { return within(params[0].(string), params[1].(string)) },
		new(func(address, network string) bool)),
}

// within reports whether an address lies in a network.
func within(address, network string) (bool, error) {
	n, err := netip.ParsePrefix(network)
	if err != nil {
		return false, fmt.Errorf("within: %q is no range of addresses", network)
	}
	a, err := netip.ParseAddr(address)
	return err == nil && n.Contains(a), nil
}

func compileExpression(text string) (*expression, *BadExpression) {
	bad := func(err error) *BadExpression {
		if e, ok := errors.AsType[*file.Error](err); ok {
			return &BadExpression{Line: max(e.Line, 1), Column: e.Column + 1, Msg: inOurWords(e.Message)}
		}
		return &BadExpression{Line: 1, Column: 1, Msg: err.Error()}
	}
	e := &expression{}
	program, err := expr.Compile(text, append(exprOptions, expr.Patch(e))...)
	if err != nil {
		return nil, bad(err)
	}
	e.program = program
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

// Visit implements ast.Visitor: it looks which words are read.
func (e *expression) Visit(node *ast.Node) {
	e.headers.visit(*node)
	if id, ok := (*node).(*ast.IdentifierNode); ok && (id.Value == "identity" || id.Value == "session" || id.Value == "$env") {
		e.personal = true
	}
}

func (e *expression) isPersonal() bool { return e == nil || e.personal }

// holds evaluates e. The error says that it could not be: a claim that is not what the
// expression takes it for, say.
func (e *expression) holds(q *Question) (bool, error) {
	if e == nil {
		return false, errors.New("the expression was not compiled")
	}
	env := exprEnv{
		Request: exprRequest{Method: q.Method, Host: q.Host, Path: q.Path, Time: q.Time.UTC(), Header: headerOf(q.Header)},
		Session: exprSession{ACR: q.ACR, AMR: q.AMR, AuthAge: math.MaxInt64},
	}
	if q.Address.IsValid() {
		env.Request.Address = q.Address.Unmap().WithZone("").String()
	}
	if id := q.Identity; id != nil {
		env.Identity = exprIdentity{User: id.User, Subject: id.Subject, Provider: id.Provider, Name: id.Name, Groups: id.Groups, Claims: id.Claims}
		if id.EmailVerified {
			env.Identity.Email = id.Email
		}
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
