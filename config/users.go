package config

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"github.com/evergate/evergate/internal/replace"
)

// User is an entry of the users file.
type User struct {
	Name string
	// Password is an argon2id hash as a PHC string.
	Password    string   `yaml:"password"`
	Groups      []string `yaml:"groups"`
	Email       string   `yaml:"email"`
	DisplayName string   `yaml:"name"`
	Disabled    bool     `yaml:"disabled"`
}

// LoadUsers reads a users file: a mapping `users:` from names to entries. Its
// values are taken as they are; no variables are filled in. The error is
// Faults, or the reason why the file cannot be read.
func LoadUsers(path string) ([]User, error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the users file %s is not there (%w); make it with: evergate user add NAME", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return ParseUsers(path, data)
}

// ParseUsers is LoadUsers for text that is at hand.
func ParseUsers(name string, data []byte) ([]User, error) {
	doc, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	d := &decoder{document: doc, getenv: func(string) (string, bool) { return "", false }}
	var users []User
	if doc.root.Kind != yaml.MappingNode {
		d.fault(doc.root, "", "want users: and the users below it", "")
		return nil, doc.faults.asError()
	}
	for i := 0; i+1 < len(doc.root.Content); i += 2 {
		k, v := doc.root.Content[i], doc.root.Content[i+1]
		if k.Value != "users" {
			d.unknown(k, "", []string{"users"})
			continue
		}
		users = d.users(v)
	}
	if err := doc.faults.asError(); err != nil {
		return nil, err
	}
	return users, nil
}

func (d *decoder) users(n *yaml.Node) (users []User) {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		d.fault(n, "users", "want a name and its entry on each line, got "+kindOf(n), "")
		return nil
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		path := "users." + k.Value
		if msg := badUserName(k.Value); msg != "" {
			d.fault(k, "", msg, "")
			continue
		}
		if first, twice := seen[folded(k.Value)]; twice {
			d.fault(k, path, fmt.Sprintf("the name is there on line %d, %s", first.Line, difference(first.Value, k.Value)), "")
		}
		seen[folded(k.Value)] = k
		u := User{Name: k.Value}
		escape(v)
		d.decode(v, reflect.ValueOf(&u).Elem(), path)
		switch {
		case u.Password == "":
			d.fault(k, path, "there is no password", "set it with: evergate user passwd "+k.Value)
		case !strings.HasPrefix(u.Password, "$argon2id$"):
			d.fault(d.node(path+".password"), path+".password", "it is no argon2id hash", "set it with: evergate user passwd "+k.Value)
		}
		for _, g := range u.Groups {
			if msg := badGroupName(g); msg != "" {
				d.fault(d.node(path+".groups"), path+".groups", msg, "")
			}
		}
		if u.Email != "" && (!validEmail(u.Email) || strings.Contains(u.Email, "*")) {
			d.fault(d.node(path+".email"), path+".email", "it is no mail address", "")
		}
		users = append(users, u)
	}
	return users
}

// escape keeps expand from looking into the values under n.
func escape(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		n.Value = strings.ReplaceAll(n.Value, "${", "$${")
	}
	for _, c := range n.Content {
		escape(c)
	}
}

func badUserName(name string) string {
	switch {
	case name == "" || len(name) > 64:
		return fmt.Sprintf("a user name has 1 to 64 bytes, got %d", len(name))
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd || strings.ContainsRune(`/\,;"'<>`, r) }):
		return fmt.Sprintf("the user name %q has a space, a control character or one of / \\ , ; \" ' < >", name)
	case strings.ContainsFunc(name, isUnseen), strings.ContainsFunc(name, unicode.IsSpace):
		return fmt.Sprintf("the user name %+q has a blank or another character that does not show, so that it looks like another name; take it out", name)
	}
	return ""
}

const usersHeader = "# The users of Evergate. Change it by hand or with `evergate user`; a running\n# gateway reads it again by itself.\n"

// SaveUsers writes a users file in one step, with mode 0600, and with the owner of the one
// before: a crash leaves the old file or the new one. Comments at the head of the old one are kept.
func SaveUsers(path string, users []User) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, u := range users {
		if msg := badUserName(u.Name); msg != "" {
			return errors.New(msg)
		}
		for _, g := range u.Groups {
			if msg := badGroupName(g); msg != "" {
				return errors.New(msg)
			}
		}
		root.Content = append(root.Content, text(u.Name), u.node())
	}
	if len(users) == 0 {
		root.Style = yaml.FlowStyle
	}
	body, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("users"), root}})
	if err != nil {
		return fmt.Errorf("write the users file: %w", err)
	}
	return writeFile(path, append([]byte(head(path)), body...))
}

// head is the comment that the file begins with.
func head(path string) string {
	data, err := readFile(path)
	if err != nil {
		return usersHeader
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

func (u User) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value *yaml.Node) { n.Content = append(n.Content, text(key), value) }
	add("password", text(u.Password))
	if len(u.Groups) > 0 {
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, g := range u.Groups {
			list.Content = append(list.Content, text(g))
		}
		add("groups", list)
	}
	if u.Email != "" {
		add("email", text(u.Email))
	}
	if u.DisplayName != "" {
		add("name", text(u.DisplayName))
	}
	if u.Disabled {
		add("disabled", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
	return n
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func writeFile(path string, data []byte) error {
	if err := replace.File(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
