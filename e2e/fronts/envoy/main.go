// Command envoy reads a bootstrap configuration of Envoy's from standard input, as strictly
// as Envoy does: each field has to be known, and each value one that Envoy's own rules
// allow, also inside of what is wrapped by its type. It writes it to standard output as
// JSON, the way in which Envoy's protocol has it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "envoy:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	config := &bootstrap.Bootstrap{}
	if err := protojson.Unmarshal(asJSON, config); err != nil {
		return err
	}
	if err := valid(config); err != nil {
		return err
	}
	asJSON, err = protojson.Marshal(config)
	if err == nil {
		_, err = out.Write(asJSON)
	}
	return err
}

// valid runs the rules of a message, and those of all messages in it that are wrapped.
func valid(m proto.Message) (err error) {
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		err = v.ValidateAll()
	}
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap() && field.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				err = errors.Join(err, inside(v.Message().Interface()))
				return true
			})
		case field.IsList() && field.Message() != nil:
			for i := range v.List().Len() {
				err = errors.Join(err, inside(v.List().Get(i).Message().Interface()))
			}
		case field.Message() != nil && !field.IsMap():
			err = errors.Join(err, inside(v.Message().Interface()))
		}
		return true
	})
	return err
}

func inside(m proto.Message) error {
	wrapped, ok := m.(*anypb.Any)
	if !ok {
		return valid(m)
	}
	m, err := wrapped.UnmarshalNew()
	if err != nil {
		return err
	}
	return valid(m)
}
