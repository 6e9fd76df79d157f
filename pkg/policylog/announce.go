package policylog

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Activate is the type of the control that puts a bundle in force.
const Activate = "policy.activate"

const activationKey = "activation/"

// PartitionKey is the key of what concerns the policy of a partition.
func PartitionKey(partition int32) string { return hiring.PolicyPrefix + strconv.Itoa(int(partition)) }

// Records are what publishing a bundle writes, in one transaction: the archive, and its activation for the history and for
// every partition of hiring.control. The first two have no partition yet: their keys decide.
func Records(schemas *wire.Schemas, p *policy.Policy, archive []byte, activation *wire.Control, partitions int32) []*kgo.Record {
	activation.Type, activation.Policy = Activate, p.Digest().String()
	activation.ApplicationID = hiring.PolicyPrefix
	out := []*kgo.Record{
		{Topic: topics.Policy, Key: []byte(activation.Policy), Value: archive, Partition: -1},
		{Topic: topics.Policy, Key: []byte(activationKey + activation.ID), Value: schemas.Append(nil, activation), Partition: -1},
	}
	for n := range partitions {
		activation.ApplicationID = PartitionKey(n)
		out = append(out, &kgo.Record{Topic: topics.HiringControl, Key: []byte(activation.ApplicationID), Value: schemas.Append(nil, activation), Partition: n})
	}
	return out
}

// Refused says why a bundle is not taken up.
type Refused struct {
	Cause Cause
	Err   error // in words, for the log
}

// Error implements error.
func (r *Refused) Error() string { return fmt.Sprintf("%s: %v", r.Cause, r.Err) }

// Unwrap implements errors.Unwrap.
func (r *Refused) Unwrap() error { return r.Err }

// Cause is the closed set of causes for which a bundle is refused.
type Cause string

// Causes.
const (
	CauseUnknown  Cause = "unknown"  // no archive of it is in the topic
	CauseAltered  Cause = "altered"  // what stands under its digest is no archive, or another bundle
	CauseFaulty   Cause = "faulty"   // it does not hold together, see policy check
	CauseUnproven Cause = "unproven" // not signed by all who must, or by a key that may not
	CauseNoKeys   Cause = "no_keys"  // this process has no keys file to prove it by
)

// Causes returns every cause.
func Causes() []Cause {
	return []Cause{CauseUnknown, CauseAltered, CauseFaulty, CauseUnproven, CauseNoKeys}
}
