package dedupe

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestOwnerRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Owner{
			Cluster:   rapid.String().Draw(t, "cluster"),
			Group:     rapid.String().Draw(t, "group"),
			Partition: rapid.Int32Min(0).Draw(t, "partition"),
			Offset:    rapid.Int64Min(0).Draw(t, "offset"),
		}
		copy(want.Topic[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic"))
		copy(want.Digest[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "digest"))
		b := want.appendTo(nil)
		got, err := parseOwner(string(b))
		if err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := parseOwner(string(b[:cut])); !errors.Is(err, errOwner) {
			t.Fatalf("cut at %d of %d: %v", cut, len(b), err)
		}
	})
}

func FuzzParseOwner(f *testing.F) {
	f.Add(string(owner(3, 9).appendTo(nil)))
	f.Add("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOwner(s)
		if err == nil {
			if again, err := parseOwner(string(o.appendTo(nil))); err != nil || again != o {
				t.Fatalf("%+v: %+v, %v", o, again, err)
			}
		}
	})
}

func TestIdentitiesDoNotRunIntoEachOther(t *testing.T) {
	if IdentityOf("ab", "c") == IdentityOf("a", "bc") {
		t.Error("source and id are not kept apart")
	}
}
