package schemas_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/linkedin/goavro/v2"
	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/schemas"
)

// TestEverySchemaStandsAlone parses every file with our parser and with goavro, and checks what strict registries
// check: defaults that fit, documentation on every field, a default on every enum.
func TestEverySchemaStandsAlone(t *testing.T) {
	t.Parallel()
	files, err := schemas.Load(schemas.FS())
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(schemas.FS(), "*.avsc")
	if err != nil || len(names) != len(files) || len(files) == 0 {
		t.Fatalf("loaded %d of %d files: %v", len(files), len(names), err)
	}
	for _, f := range files {
		if _, err := goavro.NewCodec(f.Text); err != nil {
			t.Errorf("%s: goavro refuses it: %v", f.Name, err)
		}
		if _, err := goavro.NewCodec(f.Schema.Plain()); err != nil {
			t.Errorf("%s: goavro refuses its plain form: %v", f.Name, err)
		}
		if err := f.Schema.CheckDefaults(); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		if f.Schema.Namespace != "concord" {
			t.Errorf("%s: namespace %q", f.Name, f.Schema.Namespace)
		}
		checkDocs(t, f.Name, f.Schema, map[*schemas.Type]bool{})
		if !slices.Contains(schemas.Records(), f.Schema.Name) {
			t.Errorf("%s: no topic carries %s", f.Name, f.Schema.Name)
		}
		if text, err := schemas.Text(f.Schema.Name); err != nil || text != f.Text {
			t.Errorf("Text(%s) is not the file: %v", f.Schema.Name, err)
		}
	}
	if _, err := schemas.Text("Nothing"); err == nil {
		t.Error("Text of an unknown record has no error")
	}
}

func checkDocs(t *testing.T, file string, s *schemas.Type, done map[*schemas.Type]bool) {
	t.Helper()
	if done[s] {
		return
	}
	done[s] = true
	if s.Kind.Named() && s.Doc == "" {
		t.Errorf("%s: %s has no doc", file, s.FullName())
	}
	if s.Kind == schemas.KindEnum && s.Default == nil {
		t.Errorf("%s: enum %s has no default", file, s.FullName())
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Doc == "" {
			t.Errorf("%s: %s.%s has no doc", file, s.FullName(), f.Name)
		}
		checkDocs(t, file, f.Type, done)
	}
	for _, m := range s.Members {
		checkDocs(t, file, m, done)
	}
	if s.Items != nil {
		checkDocs(t, file, s.Items, done)
	}
}

func TestTopics(t *testing.T) {
	t.Parallel()
	for _, topic := range schemas.Topics() {
		got, ok := schemas.ByTopic(topic.Name)
		if !ok || got != topic || got.Subject() != topic.Name+"-value" {
			t.Errorf("ByTopic(%s) = %+v, %v", topic.Name, got, ok)
		}
		if _, err := schemas.Get(topic.Record); err != nil {
			t.Errorf("topic %s: %v", topic.Name, err)
		}
	}
	if _, ok := schemas.ByTopic("nothing"); ok {
		t.Error("an unknown topic is known")
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"type":"array","items":`, 100) + `"int"` + strings.Repeat("}", 100)
	for name, text := range map[string]string{
		"not JSON":          `{`,
		"two values":        `"int" "int"`,
		"unknown type":      `"thing"`,
		"recursion":         `{"type":"record","name":"A","fields":[{"name":"a","type":["null","A"]}]}`,
		"use before":        `{"type":"record","name":"A","fields":[{"name":"a","type":"E"},{"name":"b","type":{"type":"enum","name":"E","symbols":["x"]}}]}`,
		"defined twice":     `{"type":"record","name":"A","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":{"type":"fixed","name":"F","size":1}}]}`,
		"field twice":       `{"type":"record","name":"A","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`,
		"no name":           `{"type":"enum","symbols":["x"]}`,
		"no symbols":        `{"type":"enum","name":"E","symbols":[]}`,
		"no size":           `{"type":"fixed","name":"F"}`,
		"no items":          `{"type":"array"}`,
		"empty union":       `[]`,
		"union in a union":  `["null",["int","string"]]`,
		"nested too deeply": deep,
	} {
		if _, err := schemas.Parse([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	_, err := schemas.Load(fstest.MapFS{"bad.avsc": {Data: []byte("{")}})
	if err == nil || !strings.Contains(err.Error(), "bad.avsc") {
		t.Errorf("error = %v, want the file's name", err)
	}
}

func TestCheckDefaultsRefuses(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]string{
		"int not whole":         `{"name":"f","type":"int","default":1.5}`,
		"int too large":         `{"name":"f","type":"int","default":3000000000}`,
		"string for a number":   `{"name":"f","type":"long","default":"0"}`,
		"fixed too short":       `{"name":"f","type":{"type":"fixed","name":"F","size":2},"default":"\u0000"}`,
		"no such symbol":        `{"name":"f","type":{"type":"enum","name":"E","symbols":["a"]},"default":"b"}`,
		"enum's own default":    `{"name":"f","type":{"type":"enum","name":"E","symbols":["a"],"default":"b"}}`,
		"union's second member": `{"name":"f","type":["int","null"],"default":null}`,
		"record leaves out":     `{"name":"f","type":{"type":"record","name":"R","fields":[{"name":"x","type":"int"}]},"default":{}}`,
		"array item":            `{"name":"f","type":{"type":"array","items":"int"},"default":["a"]}`,
		"bytes beyond a byte":   `{"name":"f","type":"bytes","default":"\u0100"}`,
	} {
		s, err := schemas.Parse([]byte(`{"type":"record","name":"A","fields":[` + field + `]}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.CheckDefaults() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestAsyncAPI holds the document to the contract: every topic with its dead letters, every message its schema.
func TestAsyncAPI(t *testing.T) {
	t.Parallel()
	var doc struct {
		AsyncAPI string `yaml:"asyncapi"`
		Channels map[string]struct {
			Address  string `yaml:"address"`
			Messages map[string]struct {
				Ref string `yaml:"$ref"`
			} `yaml:"messages"`
		} `yaml:"channels"`
		Operations map[string]struct {
			Action  string `yaml:"action"`
			Channel struct {
				Ref string `yaml:"$ref"`
			} `yaml:"channel"`
		} `yaml:"operations"`
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Format string `yaml:"schemaFormat"`
					Schema struct {
						Ref string `yaml:"$ref"`
					} `yaml:"schema"`
				} `yaml:"payload"`
			} `yaml:"messages"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(schemas.AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.AsyncAPI != "3.0.0" {
		t.Errorf("asyncapi %q", doc.AsyncAPI)
	}
	want := 0
	for _, topic := range schemas.Topics() {
		want++
		channel := doc.Channels[topic.Name]
		if channel.Address != topic.Name {
			t.Errorf("channel %s has address %q", topic.Name, channel.Address)
		}
		if got := channel.Messages[topic.Record].Ref; got != "#/components/messages/"+topic.Record {
			t.Errorf("channel %s refers to %q", topic.Name, got)
		}
		payload := doc.Components.Messages[topic.Record].Payload
		file := strings.TrimPrefix(payload.Schema.Ref, "./")
		text, err := fs.ReadFile(schemas.FS(), file)
		if err != nil {
			t.Errorf("message %s refers to %q: %v", topic.Record, payload.Schema.Ref, err)
			continue
		}
		if own, err := schemas.Text(topic.Record); err != nil || own != string(text) {
			t.Errorf("message %s refers to the schema of another record", topic.Record)
		}
		if payload.Format != "application/vnd.apache.avro+json;version=1.12.0" {
			t.Errorf("message %s has format %q", topic.Record, payload.Format)
		}
		if topic.DeadLetters {
			want++
			if doc.Channels[topic.Name+".dlq"].Address != topic.Name+".dlq" {
				t.Errorf("channel %s.dlq is missing", topic.Name)
			}
		}
	}
	if len(doc.Channels) != want {
		t.Errorf("%d channels, want %d", len(doc.Channels), want)
	}
	for name, op := range doc.Operations {
		channel := strings.ReplaceAll(strings.TrimPrefix(op.Channel.Ref, "#/channels/"), "~1", "/")
		if _, ok := doc.Channels[channel]; !ok || op.Action != "send" && op.Action != "receive" {
			t.Errorf("operation %s: %s on %s", name, op.Action, op.Channel.Ref)
		}
	}
}
