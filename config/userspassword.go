package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/evergate/evergate/internal/replace"
)

// ErrUserChanged reports that a user is not there any more, or has another password than the
// one that was to be replaced.
var ErrUserChanged = errors.New("the user was changed meanwhile")

// SetPassword puts the hash of a new password in the place of the one that was there. All
// else in the file stays as it stands, comments and order included: people change their
// passwords whenever they like, and a file that an operator keeps by hand must not look
// another way for it. It is replaced in one step, with mode 0600 and its owner.
//
// An edit that somebody makes meanwhile is not lost: SetPassword begins anew with what is
// there by then. The error is ErrUserChanged if that says something else of the user.
func SetPassword(path, name, was, hash string) error {
	err := replace.Edit(path, func(data []byte) ([]byte, error) {
		if len(data) > maxFile {
			return nil, fmt.Errorf("%s is larger than 16 MiB", path)
		}
		return withPassword(path, data, name, was, hash)
	})
	switch _, bad := errors.AsType[Faults](err); {
	case err == nil, bad, errors.Is(err, ErrUserChanged):
		return err
	}
	return fmt.Errorf("set the password of user %q in %s: %w", name, path, err)
}

// withPassword is the text of a users file with another password in it.
func withPassword(path string, data []byte, name, was, hash string) ([]byte, error) {
	before, err := ParseUsers(path, data)
	if err != nil {
		return nil, err
	}
	want := append([]User(nil), before...)
	at := -1
	for i := range want {
		if want[i].Name == name {
			at = i
		}
	}
	if at < 0 || want[at].Password != was {
		return nil, ErrUserChanged
	}
	want[at].Password = hash
	next, ok := exchanged(path, data, name, was, hash)
	if ok {
		after, err := ParseUsers(path, next)
		ok = err == nil && reflect.DeepEqual(after, want)
	}
	if !ok {
		return nil, fmt.Errorf("it is written in a way that cannot be changed in its place: put it on one line behind its key, or set it with: evergate user passwd %s", name)
	}
	return next, nil
}

// exchanged is data with hash in the place of the password of a user, where that stands on
// one line. Whoever asks looks whether it says what it should.
func exchanged(path string, data []byte, name, was, hash string) ([]byte, bool) {
	doc, err := parse(path, data)
	if err != nil {
		return nil, false
	}
	node := below(below(below(doc.root, "users"), name), "password")
	if node == nil || node.Kind != yaml.ScalarNode {
		return nil, false
	}
	begin := 0
	for range node.Line - 1 {
		n := bytes.IndexByte(data[begin:], '\n')
		if n < 0 {
			return nil, false
		}
		begin += n + 1
	}
	for range node.Column - 1 { // the parser counts characters
		_, n := utf8.DecodeRune(data[begin:])
		begin += n
	}
	line, _, _ := strings.Cut(string(data[begin:]), "\n")
	i := strings.Index(line, was)
	if i < 0 || strings.Trim(line[:i], `"'`) != "" {
		return nil, false
	}
	begin += i
	return append(append(append([]byte(nil), data[:begin]...), hash...), data[begin+len(was):]...), true
}

// below is the value of a key, or nil.
func below(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
