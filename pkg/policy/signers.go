package policy

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Namespace is the namespace of signatures of a policy, as in `ssh-keygen -Y sign -n concord-policy`.
const Namespace = "concord-policy"

// Signers are who may sign, from a keys file in the form of OpenSSH's allowed_signers (see ssh-keygen(1)). A principal
// is PERSON/ROLE, so that the file gives the roles and `ssh-keygen -Y verify -I PERSON/ROLE` agrees.
type Signers struct {
	keys    []signerKey
	revoked [][]byte // marshalled public keys
}

// signerKey is one line: one key of one person.
type signerKey struct {
	person        string
	roles         []string
	key           []byte    // marshalled
	namespaces    []string  // patterns; empty = any
	after, before time.Time // zero = no limit
}

// ParseSigners reads a keys file, and a list of revoked public keys, one a line (nil = none). Its error is [Faults]: every
// line that would not mean what it shows. Lines that would do with ssh-keygen, and give nobody a clear role (wildcards,
// negations, certificate authorities, local times), are refused.
func ParseSigners(name string, text []byte, revokedName string, revoked []byte) (*Signers, error) {
	s := &Signers{}
	var faults Faults
	owner := map[string]string{}
	for i, line := range lines(text) {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, problem, fix := parseSigner(line)
		if problem == "" {
			if other, taken := owner[string(k.key)]; taken && other != k.person {
				problem, fix = "has the key of "+other, "give every person a key of their own: one person would count twice"
			}
			owner[string(k.key)] = k.person
		}
		if problem != "" {
			faults = append(faults, Fault{File: name, Line: i + 1, Problem: problem, Fix: fix})
			continue
		}
		s.keys = append(s.keys, *k)
	}
	for i, line := range lines(revoked) {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(rest) > 0 {
			faults = append(faults, Fault{File: revokedName, Line: i + 1, Problem: "is no public key", Fix: "list public keys, one a line; a binary revocation list is not read"})
			continue
		}
		s.revoked = append(s.revoked, key.Marshal())
	}
	if len(faults) > 0 {
		return nil, faults.Sorted()
	}
	return s, nil
}

func lines(text []byte) []string {
	out := strings.Split(string(text), "\n")
	for i := range out {
		out[i] = strings.Trim(out[i], " \t\r")
	}
	return out
}

// parseSigner reads one line: principals [options] keytype base64 [comment].
func parseSigner(line string) (k *signerKey, problem, fix string) {
	principals, rest := field(line)
	k = &signerKey{}
	for _, p := range strings.Split(principals, ",") {
		if strings.ContainsAny(p, "*?!") {
			return nil, "principal " + p + " is a pattern", "name persons: PERSON/ROLE"
		}
		person, role, ok := strings.Cut(p, "/")
		if !ok || !personText.MatchString(person) || !roleText.MatchString(role) {
			return nil, "principal " + p + " gives no role", "write PERSON/ROLE, such as ada/hiring, several with commas"
		}
		if k.person != "" && k.person != person {
			return nil, "names " + k.person + " and " + person, "give every person lines of their own"
		}
		k.person, k.roles = person, append(k.roles, role)
	}
	first, after := field(rest)
	if first != "" && !keyType(first) { // options stand before the key
		for _, o := range options(first) {
			if problem, fix = k.option(o); problem != "" {
				return nil, problem, fix
			}
		}
		rest = after
		first, after = field(rest)
	}
	encoded, _ := field(after)
	key, err := parseKey(first, encoded)
	if err != nil {
		return nil, "has no public key", "write: PERSON/ROLE [options] ssh-ed25519 AAAA…"
	}
	k.key = key
	if !k.after.IsZero() && !k.before.IsZero() && !k.after.Before(k.before) {
		return nil, "is never valid", "let valid-before be later than valid-after"
	}
	return k, "", ""
}

func parseKey(kind, encoded string) ([]byte, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(kind + " " + encoded))
	if err != nil {
		return nil, err
	}
	if key.Type() != kind {
		return nil, fmt.Errorf("the key is %s", key.Type())
	}
	return key.Marshal(), nil
}

// keyType reports whether a word is the type of a key, as ssh-keygen tells options from keys.
func keyType(word string) bool {
	switch word {
	case ssh.KeyAlgoRSA, ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return true
	}
	return false
}

// field splits off the first word; quotes keep spaces and commas together.
func field(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && (s[i] == ' ' || s[i] == '\t'):
			return s[:i], strings.TrimLeft(s[i:], " \t")
		}
	}
	return s, ""
}

// options splits at commas outside quotes.
func options(s string) (out []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			out, from = append(out, s[from:i]), i+1
		}
	}
	return append(out, s[from:])
}

func (k *signerKey) option(option string) (problem, fix string) {
	name, value, given := strings.Cut(option, "=")
	value, quoted := strings.CutPrefix(value, `"`)
	value, closed := strings.CutSuffix(value, `"`)
	if given && (!quoted || !closed || value == "" || strings.Contains(value, `"`)) {
		return "option " + option + " has no value in quotes", `write ` + name + `="…"`
	}
	switch strings.ToLower(name) {
	case "namespaces":
		if k.namespaces != nil {
			return "option namespaces is given twice", "keep one"
		}
		k.namespaces = strings.Split(value, ",")
		for _, n := range k.namespaces {
			if strings.ContainsAny(n, "*?!") {
				return "namespace " + n + " is a pattern", "write " + Namespace
			}
		}
	case "valid-after":
		return k.moment(&k.after, name, value)
	case "valid-before":
		return k.moment(&k.before, name, value)
	case "cert-authority":
		return "is a certificate authority", "list the persons' own keys"
	default:
		return "option " + name + " is not known", "known are namespaces, valid-after and valid-before"
	}
	return "", ""
}

var signerTime = regexp.MustCompile(`^[0-9]{8}([0-9]{4}([0-9]{2})?)?Z$`)

// moment reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, each with the Z that makes it the same time everywhere.
func (k *signerKey) moment(into *time.Time, name, value string) (problem, fix string) {
	if !into.IsZero() {
		return "option " + name + " is given twice", "keep one"
	}
	var t time.Time
	ok := signerTime.MatchString(value)
	if ok {
		var err error
		t, err = time.Parse("20060102150405Z"[:len(value)-1], value[:len(value)-1])
		ok = err == nil
	}
	if !ok {
		return name + " = " + value + " is no time in UTC", "write YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ"
	}
	*into = t
	return "", ""
}

// allows says why a key may not sign for a person in a role at a time; "" when it may.
func (s *Signers) allows(key []byte, person, role string, at time.Time) string {
	why := "the keys file does not know the key of"
	for i := range s.keys {
		k := &s.keys[i]
		if !bytes.Equal(k.key, key) {
			continue
		}
		switch {
		case slices.ContainsFunc(s.revoked, func(r []byte) bool { return bytes.Equal(r, key) }):
			return "is made with a revoked key of"
		case k.person != person:
			why = "is made with the key of " + k.person + ", not of"
		case len(k.namespaces) > 0 && !slices.Contains(k.namespaces, Namespace):
			why = "is made with a key that is not for " + Namespace + ", of"
		case !slices.Contains(k.roles, role):
			why = "is for a role the keys file does not give to"
		case !k.after.IsZero() && at.Before(k.after):
			why = "is made with a key that is not valid before " + k.after.Format(time.RFC3339) + ", of"
		case !k.before.IsZero() && at.After(k.before):
			why = "is made with a key that expired at " + k.before.Format(time.RFC3339) + ", of"
		default:
			return ""
		}
	}
	return why
}

// mayAllow is allows of a keys file that may know keys that s does not, and have none revoked. A nil s knows no key.
func (s *Signers) mayAllow(key []byte, person, role string, at time.Time) string {
	if s == nil || !slices.ContainsFunc(s.keys, func(k signerKey) bool { return bytes.Equal(k.key, key) }) {
		return ""
	}
	return (&Signers{keys: s.keys}).allows(key, person, role, at)
}
