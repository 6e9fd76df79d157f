package hiring_test

import (
	"slices"
	"sync"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
)

// builtIn compiles the built-in bundle once. The tests of the core judge by what a deployment without a policy of its own
// judges by, so that the two cannot drift apart.
var builtIn = sync.OnceValue(func() *hiring.Bundle {
	b, err := policy.Compile(policy.Default())
	if err != nil {
		panic(err)
	}
	return b
})

// defaultBundle returns the built-in bundle, for the caller to change.
func defaultBundle() *hiring.Bundle {
	b := *builtIn()
	everywhere(&b, func(*hiring.Bundle) {})
	return &b
}

// defaultRules returns the built-in bundle with the default bounds, for the caller to change.
func defaultRules() *hiring.Rules {
	return &hiring.Rules{Bundles: []*hiring.Bundle{defaultBundle()}, Bounds: hiring.DefaultBounds()}
}

// everywhere applies a change to a bundle and to a copy of each of its variants, as a change of a bundle's files would.
func everywhere(b *hiring.Bundle, change func(*hiring.Bundle)) {
	change(b)
	b.Variants = slices.Clone(b.Variants)
	for i := range b.Variants {
		of := *b.Variants[i].Bundle
		change(&of)
		b.Variants[i].Bundle = &of
	}
}

// stageOf is the canonical stage of a native stage of the built-in Greenhouse mapping; "" for none.
func stageOf(native string) hiring.Stage {
	sys, _ := builtIn().System(atsSystem)
	return sys.Mapping.Stages[native]
}
