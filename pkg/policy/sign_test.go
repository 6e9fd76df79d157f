package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policy/policytest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A bundle holds when everybody has signed who must, and in no other case.
func TestVerify(t *testing.T) {
	p := parse(t, policy.Default())
	other := parse(t, edit(t, "waves.yaml", "write", "off"))
	for _, c := range []struct {
		name   string
		change func(*policytest.Company, []policy.Signature) []policy.Signature
		want   string
	}{
		{"all", func(_ *policytest.Company, s []policy.Signature) []policy.Signature { return s }, ""},
		{"nobody", func(*policytest.Company, []policy.Signature) []policy.Signature { return nil }, "signatures.machine: is not signed as hiring and as process"},
		{"one role only", func(_ *policytest.Company, s []policy.Signature) []policy.Signature { return s[:1] }, "signatures.machine: is not signed as process"},
		{"another bundle", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			s[0] = c.Sign(t, other, "ada", "hiring")
			return s
		}, "signatures/hiring.ada.sig: is not of this bundle, by ada"},
		{"one person in two roles", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Roster[0] = strings.Replace(c.Roster[0], "ada/hiring", "ada/hiring,ada/process", 1)
			s[1] = c.Sign(t, p, "ada", "process")
			return s
		}, "signatures.machine: is signed by one person in two roles"},
		{"one person in two roles, and another beside", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Roster[0] = strings.Replace(c.Roster[0], "ada/hiring", "ada/hiring,ada/process", 1)
			return append(s, c.Sign(t, p, "ada", "process"))
		}, ""},
		{"a role the keys file does not give", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			s[0] = c.Sign(t, p, "ben", "hiring")
			return s
		}, "signatures/hiring.ben.sig: is for a role the keys file does not give to ben"},
		{"another person's key", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Keys["ada"] = c.Keys["ben"]
			s[0] = c.Sign(t, p, "ada", "hiring")
			return s
		}, "signatures/hiring.ada.sig: is made with the key of ben, not of ada"},
		{"an unknown key", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Keys["ada"] = policytest.NewKey(t, "mallory")
			s[0] = c.Sign(t, p, "ada", "hiring")
			return s
		}, "signatures/hiring.ada.sig: the keys file does not know the key of ada"},
		{"an expired key", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Roster[0] = strings.Replace(c.Roster[0], "namespaces", `valid-before="20260301115959Z",namespaces`, 1)
			return s
		}, "signatures/hiring.ada.sig: is made with a key that expired at 2026-03-01T11:59:59Z, of ada"},
		{"a key of tomorrow", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Roster[0] = strings.Replace(c.Roster[0], "namespaces", `valid-after="20260302Z",namespaces`, 1)
			return s
		}, "signatures/hiring.ada.sig: is made with a key that is not valid before 2026-03-02T00:00:00Z, of ada"},
		{"an old key that has a successor", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Roster = append(c.Roster, "ada/hiring "+policytest.NewKey(t, "ada's next").Public)
			return s
		}, ""},
		{"a key for something else", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Roster[0] = strings.Replace(c.Roster[0], "concord-policy", "git", 1)
			return s
		}, "signatures/hiring.ada.sig: is made with a key that is not for concord-policy, of ada"},
		{"not the named product owner", func(c *policytest.Company, s []policy.Signature) []policy.Signature {
			c.Roster[0] = strings.Replace(c.Roster[0], "ada/hiring", "ada/hiring,ada/product-owner", 1)
			s[3] = c.Sign(t, p, "ada", "product-owner")
			return s
		}, "signatures/product-owner.ada.sig: is by ada, and the bundle names product-owner"},
	} {
		t.Run(c.name, func(t *testing.T) {
			co := policytest.NewCompany(t)
			signatures := c.change(co, co.All(t, p))
			err := p.Verify(signatures, co.Signers(t, ""), now)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
			if may := p.Provable(signatures, co.Signers(t, ""), now); may != (c.want == "" || c.name == "an unknown key") {
				t.Errorf("another keys file may prove it: %v", may)
			}
		})
	}
	co := policytest.NewCompany(t)
	if !p.Provable(co.All(t, p), co.Signers(t, co.Keys["ada"].Public+"\n"), now) || !p.Provable(co.All(t, p), nil, now) || p.Provable(co.All(t, p)[1:], nil, now) {
		t.Error("a key that was revoked, or is not known, may have counted; a role nobody signed in may not")
	}
	if err := p.Verify(co.All(t, p), co.Signers(t, "# lost\n"+co.Keys["ada"].Public+"\n"), now); err == nil || !strings.Contains(err.Error(), "revoked key of ada") {
		t.Errorf("a revoked key: %v", err)
	}
}

// An archive gives back what was packed, and with any one byte changed it is refused.
func TestArchive(t *testing.T) {
	p, co := parse(t, policy.Default()), policytest.NewCompany(t)
	signers := co.Signers(t, "")
	archive, err := p.Pack(co.All(t, p))
	if err != nil {
		t.Fatal(err)
	}
	accepted := func(archive []byte) error {
		p, signatures, err := policy.Unpack(archive)
		if err != nil {
			return err
		}
		return p.Verify(signatures, signers, now)
	}
	if err := accepted(archive); err != nil {
		t.Fatal(err)
	}
	got, _, err := policy.Unpack(archive)
	if err != nil || got.Digest() != p.Digest() {
		t.Fatalf("%v, another digest", err)
	}
	// The canonical form is cheap to tell apart by itself: every byte of it is under the digest that is signed.
	head := bytes.IndexByte(archive, '\n')
	for i := range archive {
		if i < head && i%199 != 0 {
			changed := bytes.Clone(archive[:head])
			changed[i] ^= 1
			if policy.DigestOf(changed) == p.Digest() {
				t.Fatalf("byte %d of the canonical form is not under the digest", i)
			}
			continue
		}
		for _, mask := range []byte{1, 0x20} {
			changed := bytes.Clone(archive)
			changed[i] ^= mask
			if accepted(changed) == nil {
				t.Fatalf("byte %d of %d changed from %q to %q, and it is accepted", i, len(archive), archive[i], changed[i])
			}
		}
	}
	for name, changed := range map[string][]byte{
		"cut short": archive[:len(archive)-1], "a line more": append(bytes.Clone(archive), '\n'), "nothing": nil,
		"a signature twice": append(bytes.Clone(archive), archive[bytes.LastIndexByte(archive[:len(archive)-1], '\n')+1:]...),
	} {
		if accepted(changed) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// A keys file that would give someone an unclear role is refused, with the line.
func TestSignersFaults(t *testing.T) {
	k := policytest.NewKey(t, "ada").Public
	for line, want := range map[string]string{
		"ada " + k:                                                         "principal ada gives no role",
		"*/hiring " + k:                                                    "principal */hiring is a pattern",
		"ada/hiring,ben/process " + k:                                      "names ada and ben",
		"ada/hiring":                                                       "has no public key",
		"ada/hiring ssh-ed25519 AAAA":                                      "has no public key",
		"ada/hiring cert-authority " + k:                                   "is a certificate authority",
		`ada/hiring namespaces="*" ` + k:                                   "namespace * is a pattern",
		`ada/hiring namespaces=git ` + k:                                   "option namespaces=git has no value in quotes",
		`ada/hiring valid-before="20260101" ` + k:                          "valid-before = 20260101 is no time in UTC",
		`ada/hiring valid-before="20261301Z" ` + k:                         "valid-before = 20261301Z is no time in UTC",
		`ada/hiring valid-before="Z" ` + k:                                 "valid-before = Z is no time in UTC",
		`ada/hiring no-touch-required ` + k:                                "option no-touch-required is not known",
		"ada/hiring " + k + "\nben/process " + k:                           "has the key of ada",
		"ada/hiring ssh-rsa " + strings.Fields(k)[1]:                       "has no public key",
		`ada/hiring valid-after="20260102Z",valid-before="20260101Z" ` + k: "is never valid",
	} {
		_, err := policy.ParseSigners("allowed_signers", []byte(line), "", nil)
		var faults policy.Faults
		if !errors.As(err, &faults) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
	if _, err := policy.ParseSigners("k", nil, "revoked", []byte("SSHKRL\x00")); err == nil || !strings.Contains(err.Error(), "revoked:1: is no public key") {
		t.Errorf("a binary list: %v", err)
	}
}

// keygen runs the real ssh-keygen.
func keygen(t *testing.T, stdin []byte, args ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ssh-keygen", args...)
	cmd.Stdin, cmd.Env = bytes.NewReader(stdin), append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("ssh-keygen is needed (Debian package openssh-client): %v", err)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// What ssh-keygen signs holds here, and what is signed here holds for ssh-keygen, with each kind of key.
func TestSSHKeygenAgrees(t *testing.T) {
	p := parse(t, policy.Default())
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		dir := t.TempDir()
		private := filepath.Join(dir, "key")
		if err := keygen(t, nil, "-q", "-t", kind, "-N", "", "-C", "a comment", "-f", private); err != nil {
			t.Fatal(err)
		}
		public, err := os.ReadFile(private + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		statement := filepath.Join(dir, "hiring.ada")
		if err := os.WriteFile(statement, p.Statement("hiring", "ada"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := keygen(t, nil, "-q", "-Y", "sign", "-n", policy.Namespace, "-f", private, statement); err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(statement + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		signatures, err := policy.ReadSignatures(fstest.MapFS{"signatures/hiring.ada.sig": &fstest.MapFile{Data: theirs}})
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(private)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := p.Sign(signer, "hiring", "ada")
		if err != nil {
			t.Fatal(err)
		}
		kept, err := ours.Files(p)
		if err != nil {
			t.Fatal(err)
		}
		sig := filepath.Join(dir, "ours.sig")
		if err := os.WriteFile(sig, kept["signatures/hiring.ada.sig"], 0o600); err != nil {
			t.Fatal(err)
		}
		// Both judge one keys file alike, at each time.
		for _, options := range []string{
			"", `namespaces="concord-policy" `, `namespaces="git,concord-policy" `, `namespaces="git" `, `valid-after="20260301Z" `, `valid-after="20260301120001Z" `,
			`valid-before="20260301Z" `, `valid-before="202603011200Z" `, `valid-before="20260301120001Z",namespaces="concord-policy" `, `Valid-Before="20270101Z" `,
		} {
			for _, principals := range []string{"ada/hiring", "ada/process,ada/hiring", "ada/process"} {
				line := principals + " " + options + string(public)
				file := filepath.Join(dir, "allowed_signers")
				if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
					t.Fatal(err)
				}
				verify := func(sig string) error {
					return keygen(t, p.Statement("hiring", "ada"), "-Y", "verify", "-q", "-f", file, "-I", "ada/hiring", "-n", policy.Namespace, "-s", sig, "-O", "verify-time=20260301120000Z")
				}
				want, other := verify(statement+".sig"), verify(sig)
				if (want == nil) != (other == nil) {
					t.Fatalf("%s: %q: ssh-keygen says %v of its signature and %v of ours", kind, line, want, other)
				}
				signers, err := policy.ParseSigners("allowed_signers", []byte(line), "", nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range append(signatures[:1:1], ours) {
					problem := p.Verify([]policy.Signature{s}, signers, now).Error()
					if holds := !strings.Contains(problem, "hiring.ada.sig"); holds != (want == nil) {
						t.Errorf("%s: %q: ssh-keygen says %v, we say %s", kind, line, want, problem)
					}
				}
			}
		}
	}
}

// Signatures in a bundle's folder are found there again.
func TestSignaturesFolder(t *testing.T) {
	p, co := parse(t, policy.Default()), policytest.NewCompany(t)
	folder := fstest.MapFS{}
	for _, s := range co.All(t, p) {
		files, err := s.Files(p)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			folder[name] = &fstest.MapFile{Data: text}
		}
	}
	got, err := policy.ReadSignatures(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(got, co.Signers(t, ""), now); err != nil {
		t.Error(err)
	}
	broken := maps.Clone(folder)
	broken["signatures/hiring.bob.sig"] = &fstest.MapFile{Data: []byte("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n")}
	if _, err := policy.ReadSignatures(broken); err == nil || !strings.Contains(err.Error(), "signatures/hiring.bob.sig: is no SSH signature") {
		t.Errorf("got %v", err)
	}
}
