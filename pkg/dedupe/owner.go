package dedupe

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// Identity is a digest of an event's identity (its source and id).
type Identity [16]byte

// IdentityOf returns the digest of source and id: the first 16 bytes of the SHA-256
// of both, each preceded by its length, so that no two pairs run into one another.
func IdentityOf(source, id string) Identity {
	b := make([]byte, 0, 2*binary.MaxVarintLen64+len(source)+len(id))
	b = binary.AppendUvarint(b, uint64(len(source)))
	b = append(b, source...)
	b = binary.AppendUvarint(b, uint64(len(id)))
	b = append(b, id...)
	sum := sha256.Sum256(b)
	return Identity(sum[:16])
}

// appendKey appends the Redis key of an identity: the prefix and 22 characters.
func (i Identity) appendKey(b []byte, prefix string) []byte {
	return base64.RawURLEncoding.AppendEncode(append(b, prefix...), i[:])
}

// Owner names one record: who read it, where it stands and what it said. Two
// deliveries of one record to one group have equal owners, whatever happened in
// between. A topic deleted and made anew has another id, so its offsets do not
// collide with those of the old one.
type Owner struct {
	// Cluster is the Kafka cluster id.
	Cluster string
	// Group is the consumer group that processes the record.
	Group string
	// Topic is the topic id (a UUID), not the name.
	Topic [16]byte
	// Partition and Offset are the record's coordinates; neither is negative.
	Partition int32
	Offset    int64
	// Digest is the digest of the event's content.
	Digest [16]byte
}

// SameContent reports whether two owners carried the same content. Equal identity
// with other content is a contradiction, not a duplicate.
func (o Owner) SameContent(p Owner) bool { return o.Digest == p.Digest }

// ownerFormat is the first byte of every stored owner.
const ownerFormat = 1

var errOwner = errors.New("owner not readable")

// appendTo appends the stored form: format byte, cluster and group with their
// lengths, topic id, partition and offset as varints, digest.
func (o Owner) appendTo(b []byte) []byte {
	b = append(b, ownerFormat)
	b = binary.AppendUvarint(b, uint64(len(o.Cluster)))
	b = append(b, o.Cluster...)
	b = binary.AppendUvarint(b, uint64(len(o.Group)))
	b = append(b, o.Group...)
	b = append(b, o.Topic[:]...)
	b = binary.AppendVarint(b, int64(o.Partition))
	b = binary.AppendVarint(b, o.Offset)
	return append(b, o.Digest[:]...)
}

// parseOwner reads the stored form. Anything else is errOwner: another program, or a
// newer version of this one, wrote the key.
func parseOwner(s string) (Owner, error) {
	b := []byte(s)
	var o Owner
	if len(b) == 0 || b[0] != ownerFormat {
		return o, fmt.Errorf("parse owner: unknown format: %w", errOwner)
	}
	b = b[1:]
	text := func() (string, bool) {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return "", false
		}
		t := string(b[w : w+int(n)])
		b = b[w+int(n):]
		return t, true
	}
	number := func() (int64, bool) {
		n, w := binary.Varint(b)
		if w <= 0 {
			return 0, false
		}
		b = b[w:]
		return n, true
	}
	var ok bool
	if o.Cluster, ok = text(); !ok {
		return Owner{}, fmt.Errorf("parse owner: cluster: %w", errOwner)
	}
	if o.Group, ok = text(); !ok {
		return Owner{}, fmt.Errorf("parse owner: group: %w", errOwner)
	}
	if len(b) < len(o.Topic) {
		return Owner{}, fmt.Errorf("parse owner: topic: %w", errOwner)
	}
	b = b[copy(o.Topic[:], b):]
	partition, ok := number()
	if !ok || partition != int64(int32(partition)) {
		return Owner{}, fmt.Errorf("parse owner: partition: %w", errOwner)
	}
	o.Partition = int32(partition)
	if o.Offset, ok = number(); !ok {
		return Owner{}, fmt.Errorf("parse owner: offset: %w", errOwner)
	}
	if len(b) != len(o.Digest) {
		return Owner{}, fmt.Errorf("parse owner: digest: %w", errOwner)
	}
	copy(o.Digest[:], b)
	return o, nil
}
