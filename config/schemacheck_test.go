package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// stock is the schema as a validator of somebody else's reads it.
func stock(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("evergate.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("evergate.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is YAML as an editor hands it to a validator.
func instance(t testing.TB, data []byte) any {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal(data, &n); err != nil {
		t.Fatal(err)
	}
	return instanceOf(t, &n)
}

func instanceOf(t testing.TB, n *yaml.Node) any {
	t.Helper()
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(plainKeys(v))
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func plainKeys(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = plainKeys(x)
		}
	case map[any]any:
		out := map[string]any{}
		for k, x := range v {
			out[fmt.Sprint(k)] = plainKeys(x)
		}
		return out
	case []any:
		for i, x := range v {
			v[i] = plainKeys(x)
		}
	}
	return v
}

// misread are the faults of keys and kinds of values in a file, without what the checks
// have to say of the values. What the environment lacks is no fault here.
func misread(t testing.TB, data []byte) Faults {
	t.Helper()
	_, faults := read(t, data)
	return faults
}

// read returns the file too.
func read(t testing.TB, data []byte) (*yaml.Node, Faults) {
	t.Helper()
	doc, err := parse("x", data)
	if err != nil {
		t.Fatal(err)
	}
	d := &decoder{document: doc, getenv: func(string) (string, bool) { return "1", true }}
	c := Default()
	d.decode(doc.root, reflect.ValueOf(&c).Elem(), "")
	return doc.root, doc.faults
}

// TestSchemaAllowsWhatLoads: the example, the guides, and the configs of all tests.
func TestSchemaAllowsWhatLoads(t *testing.T) {
	s, all := stock(t), samples(t)
	for _, sample := range all {
		if err := s.Validate(instance(t, []byte(sample.text))); err != nil {
			t.Errorf("%s: %v in\n%s", sample.where, err, sample.text)
		}
	}
	for _, part := range []string{"config.example.yaml (1)", "config.example.yaml (2)", "config.example.yaml (3)", "README.md", "docs/redis.md", "docs/providers/", "testdata/cli/", "_test.go"} {
		if !slices.ContainsFunc(all, func(s sample) bool { return strings.Contains(s.where, part) }) {
			t.Errorf("no config of %s was looked at", part)
		}
	}
}

// TestSchemaRefusesWhatCannotBeRead: of the bad files those with unknown keys and values
// of wrong types.
func TestSchemaRefusesWhatCannotBeRead(t *testing.T) {
	s, refused := stock(t), 0
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if doc, err := parse("x", data); err != nil || len(doc.faults) > 0 {
			continue // no YAML, or more of it than we take: no question for a schema
		}
		faults := misread(t, data)
		if len(faults) == 0 {
			continue
		}
		refused++
		if err := s.Validate(instance(t, data)); err == nil && !beyondSchemas(faults) {
			t.Errorf("%s: the schema allows it, and check says\n%v", file, faults)
		}
	}
	if refused < 15 {
		t.Errorf("got %d bad files with unknown keys and wrong types, want 15", refused)
	}
}

// TestSchemaRefusesWrongWords: words, ranges and signs that only the checks know, in the
// long forms and the short ones.
func TestSchemaRefusesWrongWords(t *testing.T) {
	const start = "public_url: https://apps.example.com\nidentity: [{ local: { users_file: users.yaml } }]\n"
	s := stock(t)
	for _, row := range []struct{ right, wrong string }{
		{"routes: [{ upstream: \"http://a:1\", secure_headers: basic }]", "secure_headers: off"},
		{"routes: [{ upstream: \"http://a:1\", secure_headers: { level: strict } }]", "secure_headers: { level: Strict }"},
		{"routes: [{ upstream: \"http://a:1\" }]\ntests: [{ request: /, expect: allowed }]", "expect: Allowed"},
		{"routes: [{ upstream: \"http://a:1\" }]\ntests: [{ request: /, expect: { decision: own, status: 200 } }]", "status: 99"},
		{"routes: [{ match: { path: /a }, respond: { status: 204 } }, { upstream: \"http://a:1\" }]", "status: 99"},
		{"routes: [{ match: { path: /a }, redirect: { to: /b, status: 308 } }, { upstream: \"http://a:1\" }]", "status: 99"},
		{"routes: [{ upstream: \"http://a:1\", timeouts: { response_header: 10s } }]", "response_header: -10s"},
	} {
		key, _, _ := strings.Cut(row.wrong, ":")
		wrong := regexp.MustCompile(key+`: (\{[^}]*\}|[^ ,}\]]+)`).ReplaceAllString(row.right, row.wrong)
		if _, err := Parse("x", []byte(start+row.right), noEnvironment); err != nil {
			t.Errorf("%s: %v", row.right, err)
		}
		if err := s.Validate(instance(t, []byte(start+row.right))); err != nil {
			t.Errorf("%s: %v", row.right, err)
		}
		if _, err := Parse("x", []byte(start+wrong), noEnvironment); err == nil {
			t.Errorf("%s loads", wrong)
		}
		if err := s.Validate(instance(t, []byte(start+wrong))); err == nil {
			t.Errorf("the schema allows %s", wrong)
		}
	}
}

// TestWhatTheSchemaLetsThrough is as docs/config-checking.md says: check alone refuses it.
func TestWhatTheSchemaLetsThrough(t *testing.T) {
	const start = "public_url: https://apps.example.com\nidentity: [{ local: { users_file: users.yaml } }]\n"
	const app = "routes: [{ upstream: \"http://a:1\" }]\n"
	s := stock(t)
	for _, text := range []string{
		app + "access_token: { ttl: 5s }",
		"routes: [{ upstream: \"http://a:1\", allow: [{ max_auth_age: 30s, users: [ann] }] }]",
		app + "tests: [{ request: /, expect: { decision: own, status: \"99\" } }]",
		"routes: [{ redirect: { to: /b, status: 305 } }]",
		"routes: []",
		"routes: [{ upstream: \"http://a:1\", redirect: /b }]",
		"routes: [{ upstream: \"ftp://a\" }]",
		"routes: [{ upstream: \"http://a:1\", rules: [nobody-named-these] }]",
		"routes: [{ upstream: \"http://a:1\" }, { upstream: \"http://a:2\" }]",
	} {
		if _, err := Parse("x", []byte(start+text), noEnvironment); err == nil {
			t.Errorf("%s loads", text)
		} else if misread := misread(t, []byte(start+text)); len(misread) > 0 {
			t.Errorf("%s: %v", text, misread)
		}
		if err := s.Validate(instance(t, []byte(start+text))); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// beyondSchemas reports whether all faults are of values whose kind is right: a ${ that
// is not closed, a range with too many bits, a URL that is none, a number too large.
func beyondSchemas(faults Faults) bool {
	return !slices.ContainsFunc(faults, func(f *Fault) bool {
		return !strings.Contains(f.Msg, "${") && !strings.Contains(f.Msg, "has bits beyond") && !strings.Contains(f.Msg, "is not a URL")
	})
}

// TestSchemaGoesWithTheDecoder changes each value of each config of the repository into
// others of the wrong kind, and each mapping by a key: the schema refuses what the
// decoder cannot read, and allows what loads.
func TestSchemaGoesWithTheDecoder(t *testing.T) {
	if raced {
		t.Skip("it is work for one goroutine: make measured does it without the race detector")
	}
	t.Parallel()
	s := stock(t)
	refused, allowed := 0, 0
	all := samples(t)
	slices.SortFunc(all, func(a, b sample) int { return len(a.text) - len(b.text) })
	seen := map[string]bool{} // each key is changed once, in the smallest config that has it
	for _, sample := range all {
		for path, text := range mutants(t, sample.text, seen) {
			data := []byte(text)
			root, faults := read(t, data)
			variable := strings.HasSuffix(path, "a variable")
			loads := false // what the decoder cannot read does not; what a variable stands for it does not know
			if len(faults) == 0 || variable {
				_, err := Parse("x", data, noEnvironment)
				loads = err == nil
			}
			switch {
			case loads:
				allowed++
				// Nobody looks at session.redis where the store is another.
				if wrong := s.Validate(instanceOf(t, root)); wrong != nil && path != "session.redis.timeout as a time before now" {
					t.Errorf("%s, %s: the schema refuses what loads:\n%v", sample.where, path, wrong)
				}
			case variable: // what it stands for no schema can see
			case len(faults) > 0 && !beyondSchemas(faults):
				refused++
				if s.Validate(instanceOf(t, root)) == nil {
					t.Errorf("%s, %s: the schema allows what check refuses:\n%v", sample.where, path, faults)
				}
			}
		}
	}
	t.Logf("%d changed configs were refused, %d load", refused, allowed)
	if refused < 1000 || allowed < 300 {
		t.Errorf("got %d changed configs that were refused and %d that load, want more", refused, allowed)
	}
}

// mutants are a config with one value changed, by what was changed.
func mutants(t *testing.T, text string, seen map[string]bool) map[string]string {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	uncomment(&root)
	out := map[string]string{}
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		was := *n
		place := fmt.Sprint(placeOf(reflect.TypeFor[Config](), path), n.Kind)
		done := seen[place] && path != ""
		seen[place] = true
		with := func(what string, now yaml.Node) {
			if done {
				return
			}
			*n = now
			b, err := yaml.Marshal(&root)
			if err != nil {
				t.Fatal(err)
			}
			out[path+" as "+what], *n = string(b), was
		}
		word := func(value string) yaml.Node { return yaml.Node{Kind: yaml.ScalarNode, Value: value} }
		one := word("x")
		with("a word", word("x-y"))
		with("a number", word("7"))
		if path != "" {
			with("nothing", word("null"))
		}
		with("true", word("true"))
		with("a time before now", word("-5s"))
		with("a variable", word("${X:-30s}"))
		with("a list", yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{&one}})
		with("an empty list", yaml.Node{Kind: yaml.SequenceNode})
		with("an empty mapping", yaml.Node{Kind: yaml.MappingNode})
		key := word("no_such_key")
		if n.Kind == yaml.MappingNode {
			more := was
			more.Content = append(slices.Clone(was.Content), &key, &one)
			with("one with another key", more)
		} else {
			with("a mapping", yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{&key, &one}})
		}
		for i, c := range n.Content {
			switch {
			case n.Kind == yaml.SequenceNode:
				walk(c, fmt.Sprintf("%s[%d]", path, i))
			case i%2 == 1:
				walk(c, sub(path, n.Content[i-1].Value))
			}
		}
	}
	walk(root.Content[0], "")
	return out
}

// uncomment takes away comments, which are most of the example and say nothing to a schema.
func uncomment(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		uncomment(c)
	}
}
