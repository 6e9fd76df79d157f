package stream

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// balancer assigns partition p of every input to one member, and prefers the
// member whose local store is furthest along p's changelog, so that a restart
// or a rebalance rarely rebuilds a store. It is eager: every member gives up
// everything before partitions move.
type balancer struct {
	// stored returns the changelog offset of each partition in the local store.
	stored func() map[int32]int64
	// joining is called before each join, when nothing is owned any more.
	joining func()
}

const protocolName = "copartition-by-store"

// ProtocolName implements [kgo.GroupBalancer].
func (b *balancer) ProtocolName() string { return protocolName }

// IsCooperative implements [kgo.GroupBalancer].
func (b *balancer) IsCooperative() bool { return false }

// JoinGroupMetadata implements [kgo.GroupBalancer].
func (b *balancer) JoinGroupMetadata(interests []string, _ map[string][]int32, generation int32) []byte {
	b.joining()
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3
	meta.Topics = interests
	meta.UserData = encodeStored(b.stored())
	meta.Generation = generation
	return meta.AppendTo(nil)
}

// ParseSyncAssignment implements [kgo.GroupBalancer].
func (b *balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

// MemberBalancer implements [kgo.GroupBalancer].
func (b *balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(b, members)
	if err != nil {
		return nil, nil, err
	}
	return cb, cb.MemberTopics(), nil
}

// Balance implements [kgo.ConsumerBalancerBalance].
func (b *balancer) Balance(cb *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	var (
		ids    []string
		stored []map[int32]int64
		inputs []string
		failed error
	)
	cb.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		names := slices.Sorted(slices.Values(meta.Topics))
		if inputs != nil && !slices.Equal(inputs, names) {
			failed = fmt.Errorf("members of the group consume different inputs: %v and %v", inputs, names)
		}
		inputs = names
		ids = append(ids, m.MemberID)
		stored = append(stored, decodeStored(meta.UserData))
	})
	count := int32(-1)
	for _, name := range inputs {
		n := topics[name]
		if count >= 0 && n != count {
			failed = fmt.Errorf("%w: %v", ErrPartitionCount, topics)
		}
		count = n
	}
	if failed != nil {
		cb.SetError(failed)
		return nil
	}
	plan := cb.NewPlan()
	owners := assign(count, stored)
	for p, owner := range owners {
		for _, name := range inputs {
			plan.AddPartition(&kmsg.JoinGroupResponseMember{MemberID: ids[owner]}, name, int32(p))
		}
	}
	return plan
}

// assign returns the owner (an index into stored) of each of n partitions. No
// member gets more than its even share; within that a partition goes to the
// member with the highest stored offset, then to the least loaded, then to the
// first.
func assign(n int32, stored []map[int32]int64) []int {
	if n <= 0 || len(stored) == 0 {
		return nil
	}
	members := len(stored)
	owners := make([]int, n)
	load := make([]int, members)
	floor, extra := int(n)/members, int(n)%members
	full := func(m int) bool {
		return load[m] > floor || load[m] == floor && extra == 0
	}
	take := func(p int32, m int) {
		owners[p] = m
		load[m]++
		if load[m] == floor+1 {
			extra--
		}
	}
	// Partitions somebody has stored choose first, the furthest along first.
	type claim struct {
		p      int32
		offset int64
	}
	var claims []claim
	for p := range n {
		best := int64(0)
		for m := range members {
			best = max(best, stored[m][p])
		}
		claims = append(claims, claim{p, best})
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(b.offset, a.offset) })
	for _, c := range claims {
		pick := -1
		for m := range members {
			if full(m) {
				continue
			}
			if pick < 0 || stored[m][c.p] > stored[pick][c.p] ||
				stored[m][c.p] == stored[pick][c.p] && load[m] < load[pick] {
				pick = m
			}
		}
		take(c.p, pick)
	}
	return owners
}

const storedVersion = 1

func encodeStored(stored map[int32]int64) []byte {
	out := []byte{storedVersion}
	parts := make([]int32, 0, len(stored))
	for p := range stored {
		parts = append(parts, p)
	}
	slices.Sort(parts)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(p))
		out = binary.BigEndian.AppendUint64(out, uint64(stored[p]))
	}
	return out
}

// decodeStored reads what encodeStored wrote; anything else is an empty store.
func decodeStored(b []byte) map[int32]int64 {
	out := make(map[int32]int64)
	if len(b) == 0 || b[0] != storedVersion {
		return out
	}
	for b = b[1:]; len(b) >= 12; b = b[12:] {
		out[int32(binary.BigEndian.Uint32(b))] = int64(binary.BigEndian.Uint64(b[4:]))
	}
	return out
}
