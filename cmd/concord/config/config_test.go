package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A burst that is configured has room for one write.
func TestBurstBelowOneWrite(t *testing.T) {
	small := Default()
	small.ATS = []ATS{DefaultATS()}
	small.ATS[0].Burst = WriteRequests - 1
	if err := small.Validate(); err == nil || !strings.Contains(err.Error(), "ats[0].burst = 3") {
		t.Errorf("a burst below one write: %v", err)
	}
}

// A dialect with an API key has no client id; one with OAuth2 needs it.
func TestCredentialsByDialect(t *testing.T) {
	for kind, needed := range map[string]bool{"greenhouse": true, "lever": false, "ashby": false, "workable": false, "smartrecruiters": false, "generic": false} {
		c := Default()
		c.ATS = []ATS{DefaultATS()}
		c.ATS[0].Kind = kind
		if err := c.Validate(); err == nil || strings.Contains(err.Error(), "ats[0].client_id") != needed || !strings.Contains(err.Error(), "ats[0].client_secret") || strings.Contains(err.Error(), "ats[0].user_id") != (kind == "workable") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A team without an ATS gives its instance and nothing that belongs to one; an ATS may say since when the instance has it.
func TestATeamWithoutATS(t *testing.T) {
	t.Parallel()
	l, err := Load(Input{Env: []string{"CONCORD_ATS=[{instance: team, kind: none}, {instance: gh, url: 'https://h', client_id: c, client_secret: s, since: 2026-11-01T09:00:00Z}]"}})
	if err != nil {
		t.Fatal(err)
	}
	if at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC); !l.ATS[1].Since.Equal(at) || !l.ATS[0].Since.IsZero() {
		t.Errorf("since %s and %s, want none and %s", l.ATS[0].Since, l.ATS[1].Since, at)
	}
	for entry, want := range map[string]string{
		"{instance: team, kind: none, url: 'https://h', client_secret: s}":                   "ats[0].client_secret = [cut]: belongs to an ATS",
		"{instance: gh, url: 'https://h', client_id: c, client_secret: s, since: yesterday}": "ats[0].since = yesterday: give a time such as",
	} {
		if _, err := Load(Input{Env: []string{"CONCORD_ATS=[" + entry + "]"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", entry, err, want)
		}
	}
	c := l.Config
	c.Policy.Archives, c.Policy.Signers = []string{"a"}, "keys"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "ats[1].since = 2026-11-01T09:00:00Z: is for the built-in policy") {
		t.Errorf("since beside archives: %v", err)
	}
}

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	l, err := Load(Input{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), l.Config); diff != "" {
		t.Errorf("an empty input is the default (-want +got):\n%s", diff)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := write(t, "concord.yaml", "stream:\n  sessions: 3\n  commit_interval: 30ms\nreconciler:\n  grace: 3s\n")
	env := []string{"CONCORD_STREAM_COMMIT_INTERVAL=40ms", "CONCORD_RECONCILER_GRACE=4s", "HOME=/", "CONCORD_TEST_REDIS=1"}
	flags := map[string]string{"reconciler.grace": "5s"}
	l, err := Load(Input{File: file, Env: env, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key        string
		got, want  any
		wantSource Source
	}{
		{"stream.session_timeout", l.Stream.SessionTimeout, 45 * time.Second, ""},
		{"stream.sessions", l.Stream.Sessions, 3, FromFile},
		{"stream.commit_interval", l.Stream.CommitInterval, 40 * time.Millisecond, FromEnvironment},
		{"reconciler.grace", l.Reconciler.Grace, 5 * time.Second, FromFlag},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.key, c.got, c.want)
		}
		if l.Sources[c.key] != c.wantSource {
			t.Errorf("%s came from %q, want %q", c.key, l.Sources[c.key], c.wantSource)
		}
	}
}

// Every key must be settable through its environment variable, or a container cannot be configured.
func TestEveryKeyHasItsVariable(t *testing.T) {
	t.Parallel()
	want := Default()
	var env []string
	for _, f := range fields("", reflect.ValueOf(&want).Elem()) {
		if f.table() {
			continue
		}
		value := f.text()
		if list, ok := f.value.Interface().([]string); ok {
			value = strings.Join(list, ",")
		}
		env = append(env, variable(f.key)+"="+value)
	}
	l, err := Load(Input{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, l.Config); diff != "" {
		t.Errorf("printed values read back (-want +got):\n%s", diff)
	}
	if len(l.Sources) != len(env) {
		t.Errorf("%d keys came from the environment, want %d", len(l.Sources), len(env))
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	file := write(t, "concord.yaml", `
stream:
  sessions: many
  comit_interval: 5ms
kafka:
  brokers: [kafka]
  sasl: {mechanism: plain, username: concord, password: hunter2}
reconciler:
  grace: 2m
ats:
  - {instance: gh/main, url: ftp://x, client_id: c, rate: -1}
`)
	_, err := Load(Input{
		File:  file,
		Env:   []string{"CONCORD_WRITEBACK_HTTP_TIMEOUT=20s", "CONCORD_KAFKA_PARTITION=4", "CONCORD_REDIS_PASWORD=hunter2"},
		Flags: map[string]string{"log.level": "loud"},
	})
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("Load = %v, want Faults", err)
	}
	for _, want := range []string{
		"stream.sessions = many: give a whole number",
		"stream.comit_interval = 5ms: no such key in " + file + "; did you mean stream.commit_interval?",
		"kafka.brokers = kafka: give host:port",
		"kafka.sasl.mechanism = plain: sends the password readable; set kafka.tls.enabled, or use scram-sha-512",
		"reconciler.settle = 1m0s: give at least reconciler.grace (2m0s)",
		"ats[0].instance = gh/main: leave out slashes and spaces",
		"ats[0].url = ftp://x: give a URL, http:// or https://",
		"ats[0].client_secret: not set: give it, or ats[0].client_secret_file",
		"ats[0].rate = -1: give requests a second, or 0 for the vendor's",
		"writeback.http_timeout = 20s: keep it below writeback.session_timeout (10s), or a lost partition could still write",
		"CONCORD_KAFKA_PARTITION = 4: no such variable; did you mean CONCORD_KAFKA_PARTITIONS?",
		"CONCORD_REDIS_PASWORD = [cut]: no such variable; did you mean CONCORD_REDIS_PASSWORD?",
		"log.level = loud: give debug, info, warn, error",
	} {
		if !strings.Contains(err.Error(), "\n  "+want) {
			t.Errorf("missing: %s", want)
		}
	}
	if len(faults) != 13 {
		t.Errorf("%d faults, want 13:\n%v", len(faults), err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is in the message:\n%v", err)
	}
}

func TestSecretsAreCut(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	path := write(t, "password", secret+"\n")
	l, err := Load(Input{Env: []string{
		"CONCORD_REDIS_PASSWORD_FILE=" + path,
		"CONCORD_KAFKA_SASL_MECHANISM=scram-sha-512", "CONCORD_KAFKA_SASL_USERNAME=u", "CONCORD_KAFKA_SASL_PASSWORD=" + secret,
		"CONCORD_ATS=[{instance: gh-main, url: 'https://h', client_id: c, client_secret: " + secret + ", webhook_secrets_file: " + path + "}]",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]Secret{
		"redis": l.Redis.Password, "sasl": l.Kafka.SASL.Password,
		"ats": l.ATS[0].ClientSecret, "webhook": l.ATS[0].WebhookSecrets[0],
	} {
		if got.Reveal() != secret {
			t.Errorf("%s secret = %q, want what was given", name, got.Reveal())
		}
	}
	var out bytes.Buffer
	if err := l.Print(&out); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%s %v %+v %#v %v %v", asJSON, l, l, l, l.Changed(), l.Entries())
	if strings.Contains(out.String(), secret) {
		t.Errorf("a secret is printed:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "redis.password = [cut]  (environment)") {
		t.Errorf("a set secret is not marked:\n%s", out.String())
	}
}

func TestSecretFromTheStrongerLayer(t *testing.T) {
	t.Parallel()
	file := write(t, "concord.yaml", "redis:\n  password_file: /does/not/exist\n")
	l, err := Load(Input{File: file, Env: []string{"CONCORD_REDIS_PASSWORD=direct"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Redis.Password.Reveal(); got != "direct" {
		t.Errorf("password = %q, want the environment's over the file's", got)
	}
	for name, in := range map[string]Input{
		"both in one layer": {Env: []string{"CONCORD_REDIS_PASSWORD=a", "CONCORD_REDIS_PASSWORD_FILE=/b"}},
		"file missing":      {Env: []string{"CONCORD_REDIS_PASSWORD_FILE=/does/not/exist"}},
		"a number in YAML":  {File: write(t, "n.yaml", "redis: {password: 0123}\n")},
	} {
		if _, err := Load(in); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Bytes{"0": 0, "4096": 4096, "512KiB": 512 << 10, "256 MiB": 256 << 20, "1GiB": 1 << 30, "7B": 7} {
		got, err := ParseBytes(text)
		if err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
		if back, err := ParseBytes(got.String()); err != nil || back != want {
			t.Errorf("%q does not read back from %q", text, got)
		}
	}
	for _, text := range []string{"", "x", "-1", "1KB", "99999999999GiB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func TestReferenceNamesEveryKey(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Reference(&b); err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(committed), b.String()) {
		t.Error("docs/configuration.md is out of date: run go generate ./cmd/...")
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if strings.HasSuffix(line, "|  |") {
			t.Errorf("a key says nothing of its meaning: %s", line)
		}
	}
}
