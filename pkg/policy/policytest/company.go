// Package policytest is people who sign bundles, for tests.
package policytest

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/concord-ats/concord/pkg/policy"
)

// Key is one person's key, the same in every run.
type Key struct {
	ssh.Signer
	Public string // in the form of a keys file
}

// NewKey returns the key of a seed.
func NewKey(t *testing.T, seed string) Key {
	t.Helper()
	private := ed25519.NewKeyFromSeed([]byte((seed + strings.Repeat(".", 32))[:32]))
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return Key{signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}
}

// Company is who signs the built-in bundle.
type Company struct {
	Keys   map[string]Key
	Roster []string // lines of the keys file
}

// NewCompany returns ada, ben, cleo and the product owner, each with one role.
func NewCompany(t *testing.T) *Company {
	t.Helper()
	c := &Company{Keys: map[string]Key{}}
	for _, line := range []string{"ada/hiring", "ben/process", "cleo/it-security", "product-owner/product-owner"} {
		person, _, _ := strings.Cut(line, "/")
		c.Keys[person] = NewKey(t, person)
		c.Roster = append(c.Roster, fmt.Sprintf(`%s namespaces="concord-policy" %s`, line, c.Keys[person].Public))
	}
	return c
}

// KeysFile is the text of the keys file.
func (c *Company) KeysFile() string { return strings.Join(c.Roster, "\n") + "\n" }

// Signers reads the keys file, with a list of revoked keys.
func (c *Company) Signers(t *testing.T, revoked string) *policy.Signers {
	t.Helper()
	s, err := policy.ParseSigners("allowed_signers", []byte(c.KeysFile()), "revoked", []byte(revoked))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Sign signs as one person, in one role.
func (c *Company) Sign(t *testing.T, p *policy.Policy, person, role string) policy.Signature {
	t.Helper()
	s, err := p.Sign(c.Keys[person], role, person)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// All is the signatures of everybody who must sign.
func (c *Company) All(t *testing.T, p *policy.Policy) []policy.Signature {
	t.Helper()
	return []policy.Signature{c.Sign(t, p, "ada", "hiring"), c.Sign(t, p, "ben", "process"), c.Sign(t, p, "cleo", "it-security"), c.Sign(t, p, "product-owner", "product-owner")}
}

// Edited is the built-in bundle with texts replaced wherever they stand: old, new, old, new, …
func Edited(t *testing.T, replacements ...string) *policy.Policy {
	t.Helper()
	files := policy.Default()
	for i := 0; i < len(replacements); i += 2 {
		found := false
		for name, text := range files {
			if changed := strings.ReplaceAll(string(text), replacements[i], replacements[i+1]); changed != string(text) {
				files[name], found = []byte(changed), true
			}
		}
		if !found {
			t.Fatalf("the built-in bundle does not hold %q", replacements[i])
		}
	}
	p, err := policy.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
