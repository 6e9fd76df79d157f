package contact

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func token(t *testing.T, system string, c Contact) string {
	t.Helper()
	got := Key("k").Tokens(system, "DE", []Contact{c})
	if len(got) == 0 {
		return ""
	}
	return got[0]
}

func TestOneContactHasOneToken(t *testing.T) {
	t.Parallel()
	for name, same := range map[string][]Contact{
		"address": {New(Email, "Jo.Doe@Example.org"), New(Email, " jo.doe@example.org "), New(Email, "jo.doe+jobs@example.ORG.")},
		"domain":  {New(Email, "a@bücher.example"), New(Email, "a@xn--bcher-kva.example")},
		"number":  {New(Phone, "+49 30 901820"), New(Phone, "030/901820"), New(Phone, "0049 (30) 9018-20")},
	} {
		for _, c := range same {
			if got, want := token(t, "gh", c), token(t, "gh", same[0]); got != want || got == "" {
				t.Errorf("%s: %q and %q", name, got, want)
			}
		}
	}
}

func TestDifferentContactsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, got := range []string{
		token(t, "gh", New(Email, "a@example.org")), token(t, "gh", New(Email, "b@example.org")), token(t, "other", New(Email, "a@example.org")),
		token(t, "gh", New(Phone, "+4930901820")), Key("another").Tokens("gh", "", []Contact{New(Email, "a@example.org")})[0],
	} {
		if seen[got] || len(got) != len("email:")+64 {
			t.Errorf("token %q", got)
		}
		seen[got] = true
	}
}

func TestWhatIsNoContactHasNone(t *testing.T) {
	t.Parallel()
	for _, c := range []Contact{
		New(Email, ""), New(Email, "nobody"), New(Email, "@example.org"), New(Email, "+x@example.org"), New(Email, "a@localhost"),
		New(Phone, ""), New(Phone, "call me"), New(Phone, "12"), New("fax", "+4930901820"),
	} {
		if got := token(t, "gh", c); got != "" {
			t.Errorf("%s has the token %q", c, got)
		}
	}
	if got := Key("").Tokens("gh", "", []Contact{New(Email, "a@example.org")}); got != nil {
		t.Errorf("without a key: %q", got)
	}
	if got := Key("k").Tokens("gh", "", []Contact{New(Phone, "030 901820")}); len(got) != 0 {
		t.Errorf("a number of no country: %q", got)
	}
}

func TestTokensAreSortedAndOnce(t *testing.T) {
	t.Parallel()
	got := Key("k").Tokens("gh", "", []Contact{New(Phone, "+4930901820"), New(Email, "a@example.org"), New(Email, "A@example.org")})
	if len(got) != 2 || !slices.IsSorted(got) {
		t.Errorf("tokens %q", got)
	}
}

func TestAContactDoesNotPrint(t *testing.T) {
	t.Parallel()
	c := New(Email, "jo.doe@example.org")
	if got := fmt.Sprintf("%v %+v %#v %s", c, c, c, []Contact{c}); strings.Contains(got, "jo") {
		t.Errorf("prints %q", got)
	}
}
