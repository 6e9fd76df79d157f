// Package contact turns the e-mail addresses and phone numbers of people into keyed hashes. Two profiles that share one can
// be told apart from two that do not, and nobody without the key learns the address, or tries addresses until one fits.
//
// A contact itself lives in memory from the webhook that shows it to the hash, and nowhere else: it prints as its kind.
package contact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/net/idna"
)

// Kind is what a contact is.
type Kind string

// The kinds.
const (
	Email Kind = "email"
	Phone Kind = "phone"
)

// Contact is one address or number as a system shows it. Personal.
type Contact struct {
	Kind  Kind
	value string
}

// New returns a contact.
func New(kind Kind, value string) Contact { return Contact{kind, value} }

// Equal compares the contacts as they were shown.
func (c Contact) Equal(other Contact) bool { return c == other }

// String is the kind: a contact does not get into a log.
func (c Contact) String() string { return string(c.Kind) }

// GoString is String.
func (c Contact) GoString() string { return c.String() }

// Key hashes contacts. The zero value hashes none. Safe for concurrent use.
type Key string

// Tokens returns the contacts of one candidate as <kind>:<keyed hash>, sorted, each once, without those that are none.
// Equal contacts of one system have equal tokens; of two systems they differ, as tenants are not compared. Region, such as DE,
// says which country's number one without a country code is; empty: such a number is left out.
func (k Key) Tokens(system, region string, contacts []Contact) []string {
	if k == "" {
		return nil
	}
	var out []string
	for _, c := range contacts {
		normal, ok := c.normal(region)
		if !ok {
			continue
		}
		mac := hmac.New(sha256.New, []byte(k))
		for _, part := range []string{system, string(c.Kind), normal} {
			mac.Write([]byte(part))
			mac.Write([]byte{0})
		}
		out = append(out, string(c.Kind)+":"+hex.EncodeToString(mac.Sum(nil)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// normal is one form for all ways to write a contact; false for what is none. An address loses its case and what follows a
// plus, which its owner may choose freely; a domain is in its ASCII form; a number is as E.164 has it.
func (c Contact) normal(region string) (string, bool) {
	switch c.Kind {
	case Email:
		local, domain, ok := strings.Cut(strings.ToLower(strings.TrimSpace(c.value)), "@")
		local, _, _ = strings.Cut(local, "+")
		domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(domain, "."))
		return local + "@" + domain, ok && err == nil && local != "" && strings.Contains(domain, ".")
	case Phone:
		if strings.ContainsFunc(c.value, unicode.IsLetter) {
			return "", false // "call me" spells a number
		}
		n, err := phonenumbers.Parse(c.value, region)
		if err != nil || !phonenumbers.IsValidNumber(n) {
			return "", false
		}
		return phonenumbers.Format(n, phonenumbers.E164), true
	default:
		return "", false
	}
}
