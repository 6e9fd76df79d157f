package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// signaturesFolder is where a bundle's folder keeps its signatures: ROLE.PERSON is what was signed, ROLE.PERSON.sig the
// signature, as ssh-keygen writes it.
const signaturesFolder = "signatures"

// ProductOwner is the role of the one person a bundle names for its waves.
const ProductOwner = "product-owner"

// The roles whose word every bundle needs, see parts.
const (
	roleHiring   = "hiring"
	roleProcess  = "process"
	roleSecurity = "it-security"
)

// Signature is one person's word for a bundle, in one role.
type Signature struct {
	Role   string `json:"role"`
	Person string `json:"person"`

	blob []byte // SSHSIG, without its armour
}

// Statement is the text a person signs: the whole bundle by its digest, so that no part can be exchanged, and the role,
// so that a word given in one role does not count in another.
func (p *Policy) Statement(role, person string) []byte {
	return fmt.Appendf(nil, "concord policy\nbundle: %s %s\ndigest: sha256:%s\nrole: %s\nperson: %s\n", p.Bundle.Name, p.Bundle.Version, p.Digest(), role, person)
}

// Sign signs a bundle.
func (p *Policy) Sign(signer ssh.Signer, role, person string) (Signature, error) {
	sig, err := sshsig.Sign(bytes.NewReader(p.Statement(role, person)), signer, sshsig.HashSHA512, Namespace)
	if err != nil {
		return Signature{}, fmt.Errorf("sign: %w", err)
	}
	return Signature{role, person, sig.Marshal()}, nil
}

// Files are what a signature is kept as in a bundle's folder, by path.
func (s Signature) Files(p *Policy) (map[string][]byte, error) {
	sig, err := sshsig.ParseSignature(s.blob)
	if err != nil {
		return nil, fmt.Errorf("signature of %s as %s: %w", s.Person, s.Role, err)
	}
	name := path.Join(signaturesFolder, s.Role+"."+s.Person)
	return map[string][]byte{name: p.Statement(s.Role, s.Person), name + ".sig": sshsig.Armor(sig)}, nil
}

// ReadSignatures reads the signatures in a bundle's folder.
func ReadSignatures(dir fs.FS) ([]Signature, error) {
	entries, err := fs.ReadDir(dir, signaturesFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read signatures: %w", err)
	}
	var out []Signature
	var faults Faults
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".sig")
		if !ok {
			continue
		}
		file := path.Join(signaturesFolder, e.Name())
		text, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, fmt.Errorf("read signatures: %w", err)
		}
		role, person, named := strings.Cut(name, ".")
		sig, err := sshsig.Unarmor(text)
		switch {
		case !named:
			faults = append(faults, Fault{File: file, Problem: "does not name role and person", Fix: "call it ROLE.PERSON.sig"})
		case err != nil:
			faults = append(faults, Fault{File: file, Problem: "is no SSH signature: " + err.Error(), Fix: "sign again"})
		default:
			out = append(out, Signature{role, person, sig.Marshal()})
		}
	}
	if len(faults) > 0 {
		return nil, faults.Sorted()
	}
	return out, nil
}

// Verify proves that everybody signed who has to, at a time: each signature is of this bundle, by a key the keys file
// gives to that person for that role and that is neither expired nor revoked; each part has, for each of its roles, a
// person of its own. A signature that does not hold is a fault also where it is not needed. The error is [Faults].
func (p *Policy) Verify(signatures []Signature, signers *Signers, at time.Time) error {
	return p.verify(signatures, func(key []byte, person, role string) string { return signers.allows(key, person, role, at) })
}

// Provable reports whether a keys file may exist that proves the bundle at a time: everybody has signed who has to, and nothing speaks
// against it but that signers, nil for none, do not know a key, or have one revoked. When it was revoked they do not say.
func (p *Policy) Provable(signatures []Signature, signers *Signers, at time.Time) bool {
	return p.verify(signatures, func(key []byte, person, role string) string { return signers.mayAllow(key, person, role, at) }) == nil
}

// verify is Verify by what says why a key may not sign for a person in a role; "" when it may. The error is [Faults].
func (p *Policy) verify(signatures []Signature, allows func(key []byte, person, role string) string) error {
	var faults Faults
	persons := map[string][]string{} // by role
	for _, s := range signatures {
		if problem := p.holds(s, allows); problem != "" {
			faults = append(faults, Fault{File: s.file(), Problem: problem + " " + s.Person, Fix: "have it signed by who may, or remove it"})
			continue
		}
		if s.Role == ProductOwner && s.Person != p.Bundle.ProductOwner {
			faults = append(faults, Fault{File: s.file(), Problem: "is by " + s.Person + ", and the bundle names " + p.Bundle.ProductOwner, Fix: "have it signed by the product owner"})
			continue
		}
		persons[s.Role] = append(persons[s.Role], s.Person)
	}
	for _, part := range p.Bundle.Signatures.parts() {
		var missing []string
		for _, role := range part.roles {
			if len(persons[role]) == 0 {
				missing = append(missing, role)
			}
		}
		switch {
		case len(missing) > 0:
			faults = append(faults, p.fault(BundleFile, "signatures."+part.name, "", "is not signed as "+strings.Join(missing, " and as "), "`concord policy sign DIR --role %s --as PERSON --key KEY`", missing[0]))
		case !distinct(part.roles, persons, nil):
			faults = append(faults, p.fault(BundleFile, "signatures."+part.name, "", "is signed by one person in two roles", "a person counts once: have another one sign"))
		}
	}
	if len(faults) > 0 {
		return faults.Sorted()
	}
	return nil
}

// distinct reports whether every role can be given a person of its own.
func distinct(roles []string, persons map[string][]string, taken []string) bool {
	if len(roles) == 0 {
		return true
	}
	for _, person := range persons[roles[0]] {
		if !slices.Contains(taken, person) && distinct(roles[1:], persons, append(taken[:len(taken):len(taken)], person)) {
			return true
		}
	}
	return false
}

func (s Signature) file() string { return path.Join(signaturesFolder, s.Role+"."+s.Person+".sig") }

// holds says what is wrong with one signature; "" when it holds.
func (p *Policy) holds(s Signature, allows func(key []byte, person, role string) string) string {
	sig, err := sshsig.ParseSignature(s.blob)
	if err != nil || !bytes.Equal(sig.Marshal(), s.blob) {
		return "is no SSH signature, of"
	}
	if sig.Namespace != Namespace {
		return "is made for " + sig.Namespace + " and not for " + Namespace + ", by"
	}
	if why := allows(sig.PublicKey.Marshal(), s.Person, s.Role); why != "" {
		return why
	}
	if sshsig.Verify(bytes.NewReader(p.Statement(s.Role, s.Person)), sig, sig.PublicKey, sig.HashAlgorithm, Namespace) != nil {
		return "is not of this bundle, by"
	}
	return ""
}

func sortSignatures(list []Signature) {
	slices.SortFunc(list, func(a, b Signature) int { return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Person, b.Person)) })
}
