package policylog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

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

// Activation is what an announcement is known by, however often it comes: it does nothing more the second time.
func Activation(c *wire.Control) wire.Digest { return wire.Digest(hiring.IdentityKey(c.Source, c.ID)) }

// Activated reports whether a bundle in the record of a partition stands there because of an announcement. Records older than the
// identity go by bundle and time.
func Activated(in wire.ActiveBundle, c *wire.Control) bool {
	if in.Activation != (wire.Digest{}) {
		return in.Activation == Activation(c)
	}
	return strings.HasPrefix(c.Policy, in.Policy.String()) && in.EffectiveAt == c.EffectiveAt
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

	// Of the announcement, whatever the bundle.
	CauseUnannounced Cause = "unannounced" // it does not stand in topic policy: who wrote it may write hiring.control, and not the policy
	CauseLate        Cause = "late"        // it was written after the time it names: an old one, told again
	CauseTooMany     Cause = "too_many"    // as many as a partition keeps are announced for times to come already
)

// Causes returns every cause.
func Causes() []Cause {
	return []Cause{CauseUnknown, CauseAltered, CauseFaulty, CauseUnproven, CauseNoKeys, CauseUnannounced, CauseLate, CauseTooMany}
}

// Crowded says why no more can be announced where so many are scheduled for times to come; nil where there is room.
func Crowded(scheduled int) *Refused {
	if scheduled < hiring.MaxScheduled {
		return nil
	}
	return &Refused{CauseTooMany, fmt.Errorf("%d bundles are announced for times to come, as many as are kept beside the one in force: publish it again once the next of them is in force", scheduled)}
}

// MaxLate is how long before it was written an announcement may lie in effect: more than clocks differ by and a transaction takes.
const MaxLate = time.Minute

// late says why an announcement that was written at a time is too old to be taken; nil when it is not.
func late(c *wire.Control, written time.Time) *Refused {
	if at := c.EffectiveAt.Time(); at.Before(written.Add(-MaxLate)) {
		return &Refused{CauseLate, fmt.Errorf("it asks to be in force from %s on and was written at %s: an announcement looks ahead, publish the bundle again", at.UTC().Format(time.RFC3339), written.UTC().Format(time.RFC3339))}
	}
	return nil
}
