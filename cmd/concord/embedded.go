package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/local"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/topics"
)

// embed starts Kafka, Redis and the registry in this process, on data_dir, creates the topics, and points the
// configuration at them. They are closed after every part.
func (a *app) embed(ctx context.Context) error {
	return a.embedIn(ctx, filepath.Join(a.cfg.DataDir, "services"))
}

// embedIn is embed on a folder of its own; an empty one keeps nothing.
func (a *app) embedIn(ctx context.Context, dir string) error {
	services, err := local.Start(ctx, local.Config{
		Dir:        dir,
		Partitions: a.cfg.Kafka.Partitions,
		KafkaPort:  a.cfg.Local.KafkaPort, RedisPort: a.cfg.Local.RedisPort, RegistryPort: a.cfg.Local.RegistryPort,
		Logger: a.log.Named("embedded"),
	})
	if errors.Is(err, local.ErrInUse) {
		return fmt.Errorf("%w: %w", store.ErrLocked, err)
	}
	if err != nil {
		return err
	}
	a.closeLast("embedded services", services.Close)
	a.cfg.Kafka.Brokers, a.cfg.Redis.Addr, a.cfg.Registry.URL = services.Brokers, services.Redis, services.Registry

	cl, err := kgo.NewClient(kgo.SeedBrokers(services.Brokers...))
	if err != nil {
		return fmt.Errorf("embedded kafka: %w", err)
	}
	defer cl.Close()
	o, err := a.topicOptions(ctx, cl)
	if err != nil {
		return err
	}
	o.Replication = 1
	if _, err := topics.Create(ctx, cl, o, false); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return nil
}
