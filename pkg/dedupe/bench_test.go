package dedupe_test

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/concord-ats/concord/pkg/dedupe"
)

// BenchmarkClaim claims the identities of one poll, one in ten a duplicate, on the Redis of CONCORD_TEST_REDIS.
func BenchmarkClaim(b *testing.B) {
	addr := os.Getenv("CONCORD_TEST_REDIS")
	if addr == "" {
		b.Fatal("CONCORD_TEST_REDIS is not set: give the address of a Redis server")
	}
	c := dedupe.New(&redis.Options{Addr: addr}, dedupe.Config{Prefix: "bench:", Timeout: 5 * time.Second})
	claims := make([]dedupe.Claim, 2_000)
	next := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range claims {
			next++
			id := next
			if i%10 == 9 {
				id--
			}
			claims[i].Owner = dedupe.Owner{Cluster: "MkU3OEVBNTcwNTJENDM2Qk", Group: "concord.reconciler", Offset: int64(next)}
			binary.BigEndian.PutUint64(claims[i].Identity[:], id)
		}
		for i, r := range c.Claim(b.Context(), claims) {
			if r.Verdict == dedupe.Unknown || (r.Verdict == dedupe.Other) != (i%10 == 9) {
				b.Fatalf("claim %d is %s", i, r.Verdict)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(claims)), "ns/claim")
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
}
