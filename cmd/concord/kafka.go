package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/stream"
)

// kafka connects to the cluster and waits for it to answer. The caller closes the client.
func (a *app) kafka(ctx context.Context, extra ...kgo.Opt) (*kgo.Client, error) {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(opts, extra...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	if err := a.retry(ctx, "kafka", cl.Ping); err != nil {
		cl.Close()
		return nil, refused(err)
	}
	return cl, nil
}

// refused says of a permanent answer that the cluster is not fit.
func refused(err error) error {
	if permanent(err) && code(err) != exitRefused {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

// permanent says that an answer will be the same however often one asks.
func permanent(err error) bool {
	for _, refusal := range []error{
		errRefused, stream.ErrTopicsMissing,
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.ClusterAuthorizationFailed, kerr.TopicAuthorizationFailed,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
