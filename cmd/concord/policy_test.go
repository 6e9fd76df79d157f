package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
)

// rewrite replaces one text of a file.
func rewrite(t *testing.T, file, old, replacement string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, replacement, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A bundle from the first copy to its comparison, as the person who owns it works.
func TestPolicyCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policy")
	must := func(code int, args ...string) result {
		t.Helper()
		r := concord(t, nil, "", append([]string{"policy"}, args...)...)
		if r.code != code {
			t.Fatalf("%v: exit %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
		return r
	}
	must(exitOK, "init", dir)
	builtIn := strings.TrimSpace(must(exitOK, "digest").stdout)
	if got := strings.TrimSpace(must(exitOK, "digest", dir).stdout); got != builtIn {
		t.Errorf("the copy has digest %s, the built-in bundle %s", got, builtIn)
	}
	must(exitOK, "check", dir)
	if r := must(exitOK, "check", dir, "--at", "2031-01-01"); !strings.Contains(r.stdout, "warning: bundle.yaml:7:12: review_by = 2027-12-31: has passed") {
		t.Errorf("five years on: %s", r.stdout)
	}
	if r := must(exitOK, "show", dir); !strings.Contains(r.stdout, "reopen              hired, rejected, withdrawn") {
		t.Errorf("show leaves out how a closed application is reopened: %s", r.stdout)
	}
	must(exitFailure, "init", dir)
	must(exitUsage, "check", dir+"/none")
	must(exitUsage, "check", "--at", "soon")
	must(exitUsage, "diagram", "--format", "png")

	rewrite(t, filepath.Join(dir, "machine.yaml"), "hiring manager, sla: 14d, authority", "hiring manager, sla: 10d, authority")
	if r := must(exitOK, "diff", filepath.Join(dir, "..", "policy"), dir); r.stdout != "" {
		t.Errorf("a bundle differs from itself: %s", r.stdout)
	}
	old := filepath.Join(t.TempDir(), "old")
	must(exitOK, "init", old)
	if r := must(exitOK, "diff", old, dir); r.stdout != "screening → interviews: SLA 14d → 10d\n" {
		t.Errorf("got %s", r.stdout)
	}

	rewrite(t, filepath.Join(dir, "machine.yaml"), "to: offer, owner: recruiter", "to: offer, owner: nobody")
	rewrite(t, filepath.Join(dir, "waves.yaml"), "default: write", "default: write\npause: [{region: mars, by: legal, why: Not cleared, since: 2026-01-01}]")
	r := must(exitFailure, "check", dir, "--json")
	var got checked
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults) != 2 || got.Faults[0].Path != "transitions[5].owner" || got.Faults[1].Value != "mars" || got.Faults[1].Line != 4 {
		t.Errorf("got %+v", got.Faults)
	}
}

// A bundle is signed by a key, by an agent and by ssh-keygen alone, and packed once everybody has who must.
func TestPolicySigning(t *testing.T) {
	home := t.TempDir()
	dir, keysFile := filepath.Join(home, "policy"), filepath.Join(home, "allowed_signers")
	must := func(code int, args ...string) result {
		t.Helper()
		r := concord(t, []string{"SSH_AUTH_SOCK=" + filepath.Join(home, "agent")}, "", append([]string{"policy"}, args...)...)
		if r.code != code {
			t.Fatalf("%v: exit %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
		return r
	}
	shell := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	must(exitOK, "init", dir)
	rewrite(t, filepath.Join(dir, "bundle.yaml"), `id: "9003"`, `id: "4711"`)
	keyring := agent.NewKeyring()
	var roster strings.Builder
	for _, person := range []string{"ada/hiring", "ben/process", "cleo/it-security", "product-owner/product-owner"} {
		name, _, _ := strings.Cut(person, "/")
		key := filepath.Join(home, name)
		shell("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
		public, err := os.ReadFile(key + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		roster.WriteString(person + " " + string(public))
	}
	if err := os.WriteFile(keysFile, []byte(roster.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(home, "ben"))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(home, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() { listener.Close(); <-served })
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(keyring, conn) // ends with the client
			conn.Close()
		}
	}()

	for _, role := range []string{"Bad!", "hirin"} {
		if r := must(exitUsage, "sign", dir, "--role", role, "--as", "ada", "--key", filepath.Join(home, "ada")); !strings.Contains(r.stderr, "give one of hiring, it-security, process, product-owner") {
			t.Errorf("got %s", r.stderr)
		}
	}
	must(exitOK, "sign", dir, "--role", "hiring", "--as", "ada", "--key", filepath.Join(home, "ada"))
	must(exitOK, "sign", dir, "--role", "process", "--as", "ben", "--key", filepath.Join(home, "ben.pub"))
	must(exitUsage, "sign", dir, "--role", "it-security", "--as", "cleo", "--key", filepath.Join(home, "cleo.pub"))
	must(exitOK, "sign", dir, "--role", "it-security", "--as", "cleo", "--statement")
	shell("ssh-keygen", "-q", "-Y", "sign", "-n", "concord-policy", "-f", filepath.Join(home, "cleo"), filepath.Join(dir, "signatures", "it-security.cleo"))
	archive := filepath.Join(home, "policy.archive")
	if r := must(exitFailure, "pack", dir, "--signers", keysFile, "--out", archive); !strings.Contains(r.stdout, "signatures.waves: is not signed as product-owner") {
		t.Errorf("got %s", r.stdout)
	}
	must(exitOK, "sign", dir, "--role", "product-owner", "--as", "product-owner", "--key", filepath.Join(home, "product-owner"))
	must(exitOK, "pack", dir, "--signers", keysFile, "--out", archive)
	for _, at := range []string{dir, archive} {
		if r := must(exitOK, "verify", at, "--signers", keysFile); !strings.Contains(r.stdout, "it-security    cleo") {
			t.Errorf("got %s", r.stdout)
		}
	}
	// A process takes the archive by its signatures alone.
	a := &app{stdin: strings.NewReader(""), stdout: t.Output(), stderr: t.Output()}
	a.cfg.Policy = config.Policy{Archives: []string{archive}, Signers: keysFile}
	a.cfg.ATS = []config.ATS{{Instance: "gh-main"}}
	digest := strings.TrimSpace(must(exitOK, "digest", dir).stdout)
	bundles, err := a.bundles()
	if err != nil || len(bundles) != 1 || !strings.HasPrefix(digest, fmt.Sprintf("%x", bundles[0].Digest)) {
		t.Fatalf("%v, %v", bundles, err)
	}
	if m, err := a.translation("gh-main"); err != nil || !slices.ContainsFunc(m.Fields, func(f ats.Field) bool { return f.Element == "screening_score" && f.ID == 4711 }) {
		t.Errorf("the client is told %+v, %v; want the field of the bundle", m, err)
	}
	refuses := func(what, want string) {
		t.Helper()
		if _, err := a.bundles(); code(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	a.cfg.Policy.Revoked = filepath.Join(home, "ada.pub")
	refuses("a revoked key", "revoked key of ada")
	a.cfg.Policy.Revoked, a.cfg.Policy.Archives = "", []string{archive, archive}
	refuses("one time twice", "two bundles have one effective_from")
	a.cfg.Policy.Archives, a.cfg.ATS[0].Instance = []string{archive}, "elsewhere"
	refuses("an ATS that is not in the inventory", "ats[0].instance = elsewhere: is no ATS of the policy's inventory")
	a.cfg.Policy.Archives = []string{filepath.Join(dir, "waves.yaml")}
	refuses("no archive", "is no policy archive")

	rewrite(t, filepath.Join(dir, "machine.yaml"), "hiring manager, sla: 14d, authority", "hiring manager, sla: 10d, authority")
	if r := must(exitFailure, "verify", dir, "--signers", keysFile); !strings.Contains(r.stdout, "signatures/hiring.ada.sig: is not of this bundle, by ada") {
		t.Errorf("got %s", r.stdout)
	}
	rewrite(t, archive, `"name":"concord-default"`, `"name":"concord-defaulT"`)
	must(exitFailure, "verify", archive, "--signers", keysFile)
}
