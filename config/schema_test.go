package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the schema and the golden files anew")

// TestSchemaIsFresh: the schema is what the structs, their comments and the checks make
// of it. Write it anew with: go generate ./config
func TestSchemaIsFresh(t *testing.T) {
	all := samples(t)
	want := buildSchema(reflect.ValueOf(Default()), readComments(t), wanted(t, all))
	if *update {
		if err := os.WriteFile("evergate.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(Schema(), want) {
		t.Error("evergate.schema.json is stale; try: go generate ./config")
	}
	t.Logf("%d samples", len(all))
}

// TestSchemaSaysWhatIsMissing: a type that the schema does not know is not passed over.
func TestSchemaSaysWhatIsMissing(t *testing.T) {
	type unknownKind struct {
		Share float64 `yaml:"share"`
	}
	type selfReading struct {
		Odd odd `yaml:"odd"`
	}
	type silent struct {
		Word string `yaml:"word"`
	}
	said := comments{"unknownKind.Share": "Share is a part.", "selfReading.Odd": "Odd is odd."}
	for _, row := range []struct {
		name string
		of   any
		want string
	}{
		{"a kind that nobody reads", unknownKind{}, "knows no values of type float64 (unknownKind.share): add them"},
		{"a type that reads itself", selfReading{}, "config.odd (selfReading.odd) reads itself from text: add what it looks like to shapes"},
		{"a key without a comment", silent{}, "config.silent.Word has no comment"},
	} {
		t.Run(row.name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, row.want) {
					t.Errorf("got %s, want %s", got, row.want)
				}
			}()
			buildSchema(reflect.ValueOf(row.of), said, nil)
		})
	}
}

type odd struct{ n int }

func (o *odd) fromText(text string) (err error) {
	o.n, err = strconv.Atoi(text)
	return err
}

// TestSchemaTells: keys come with what they mean, their defaults and ranges.
func TestSchemaTells(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	at := func(path ...string) any {
		var v any = s
		for _, step := range path {
			v = v.(map[string]any)[step]
		}
		return v
	}
	for _, row := range []struct {
		path []string
		want any
	}{
		{[]string{"$schema"}, "https://json-schema.org/draft/2020-12/schema"},
		{[]string{"additionalProperties"}, false},
		{[]string{"$defs", "ForwardAuth", "properties", "listen", "description"}, "listen is where it asks: an address for that proxy alone."},
		{[]string{"properties", "listen", "default"}, "127.0.0.1:8080"},
		{[]string{"properties", "public_url", "description"}, "public_url is how browsers reach it: https, or http on a loopback name."},
		{[]string{"$defs", "AccessToken", "properties", "ttl", "description"}, "ttl is its life. From 30s to 24h."},
		{[]string{"$defs", "AccessToken", "properties", "ttl", "default"}, "15m"},
		{[]string{"$defs", "Upstream", "properties", "retries", "default"}, 1.0},
		{[]string{"$defs", "OIDC", "properties", "client_auth", "default"}, "client_secret_basic"},
		{[]string{"$defs", "TLS", "properties", "key_file", "description"}, "cert_file and key_file are the certificate chain and its key (PEM)."},
		{[]string{"$defs", "Route", "additionalProperties"}, false},
	} {
		if got := at(row.path...); got != row.want {
			t.Errorf("%v: got %v, want %v", row.path, got, row.want)
		}
	}
	for _, want := range []string{`"enum":["bolt","redis","cookie"]`, `"enum":["GET","HEAD","POST","PUT","PATCH","DELETE","OPTIONS"]`, `"minimum":500,"maximum":599`} {
		var compact bytes.Buffer
		if err := json.Compact(&compact, Schema()); err != nil || !strings.Contains(compact.String(), want) {
			t.Errorf("the schema lacks %s (%v)", want, err)
		}
	}
}
