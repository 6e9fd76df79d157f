//go:build e2e && unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/concord-ats/concord/e2e/cluster"
)

// markers writes the transaction markers that Kafka leaves out when its only broker restarts: docs/decisions/0006. What was
// decided of each transaction stands in the transaction log; no client of its own can know it.
type markers struct {
	node   *cluster.Node
	kafka  []kgo.Opt
	read   int // bytes of the broker's log seen
	mended int
}

// skipped is a line of the broker's log that says so.
var skipped = regexp.MustCompile(`(?m)^(\S+) INFO .*Couldn't find leader endpoint for partitions \w+\((.*)\) while trying to send transaction markers for (\S+), these partitions are likely deleted`)

// watchMarkers begins at the end of the broker's log as it is now.
func watchMarkers(node *cluster.Node, kafka []kgo.Opt) (*markers, error) {
	log, err := os.ReadFile(node.LogFile())
	return &markers{node: node, kafka: kafka, read: len(log)}, err
}

// mend writes what the broker's log says was left out since it was last read.
func (m *markers) mend(ctx context.Context) error {
	log, err := os.ReadFile(m.node.LogFile())
	if err != nil {
		return err
	}
	end := strings.LastIndexByte(string(log), '\n') + 1
	lines := skipped.FindAllStringSubmatch(string(log[m.read:end]), -1)
	m.read = end
	if len(lines) == 0 {
		return nil
	}
	client, err := kgo.NewClient(m.kafka...)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, line := range lines {
		at, err := time.ParseInLocation("2006-01-02T15:04:05,000", line[1], time.Local)
		if err != nil {
			return err
		}
		if err := m.write(ctx, client, line[3], strings.Split(line[2], ", "), at); err != nil {
			return fmt.Errorf("markers of %s in %s: %w", line[3], line[2], err)
		}
		m.mended++
	}
	return nil
}

// write writes the markers of the last transaction of an id that was decided before a moment.
func (m *markers) write(ctx context.Context, client *kgo.Client, id string, partitions []string, before time.Time) error {
	const transactions = "__transaction_state"
	admin := kadm.NewClient(client)
	var decided *kmsg.TxnMetadataValue
	var home int32
	if err := readCommitted(ctx, m.kafka, admin, transactions, func(r *kgo.Record) {
		key, value := kmsg.NewTxnMetadataKey(), kmsg.NewTxnMetadataValue()
		if key.ReadFrom(r.Key) != nil || key.TransactionalID != id || value.ReadFrom(r.Value) != nil {
			return
		}
		home = r.Partition
		prepared := value.State == kmsg.TransactionStatePrepareCommit || value.State == kmsg.TransactionStatePrepareAbort
		if prepared && value.LastUpdateTimestamp <= before.UnixMilli() {
			decided = &value
		}
	}); err != nil {
		return err
	}
	if decided == nil {
		return errors.New("the transaction log says nothing of it")
	}
	meta, err := admin.Metadata(ctx, transactions)
	if err != nil {
		return err
	}
	marker := kmsg.NewWriteTxnMarkersRequestMarker()
	marker.ProducerID, marker.ProducerEpoch, marker.Committed = decided.ProducerID, decided.ProducerEpoch, decided.State == kmsg.TransactionStatePrepareCommit
	marker.CoordinatorEpoch, marker.TransactionVersion = meta.Topics[transactions].Partitions[home].LeaderEpoch, 2
	for _, p := range partitions {
		dash := strings.LastIndexByte(p, '-')
		number, err := strconv.ParseInt(p[dash+1:], 10, 32)
		if err != nil {
			return err
		}
		topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		topic.Topic, topic.Partitions = p[:dash], []int32{int32(number)}
		marker.Topics = append(marker.Topics, topic)
	}
	request := kmsg.NewPtrWriteTxnMarkersRequest()
	request.Markers = append(request.Markers, marker)
	response, err := client.Broker(int(m.node.ID)).Request(ctx, request)
	if err != nil {
		return err
	}
	for _, answered := range response.(*kmsg.WriteTxnMarkersResponse).Markers {
		for _, topic := range answered.Topics {
			for _, p := range topic.Partitions {
				// A later transaction of the same producer has ended it meanwhile.
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil && !errors.Is(err, kerr.InvalidProducerEpoch) {
					return fmt.Errorf("%s/%d: %w", topic.Topic, p.Partition, err)
				}
			}
		}
	}
	return nil
}
