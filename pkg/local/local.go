// Package local runs what Concord needs around it inside this process, on the loopback
// interface: a Kafka broker (kfake), a Redis (miniredis) and a schema registry with the
// Confluent API (srfake). It serves the demo, tests, and installations of one machine.
//
// # What is kept
//
// With a folder, the broker writes every batch to disk and syncs it before it answers,
// so that what was acknowledged survives kill -9 and a power cut; topics, groups, their
// offsets and transactions survive too. A transaction that a crash interrupted is ended at
// the next start, in all its partitions alike; that start reads the log once. The registry
// journals every change before it applies it, so that ids stay the same. Redis is kept in
// memory only: in this product it is a net, never the authority, and an empty one costs
// work, not correctness.
//
// Without a folder nothing outlives Close.
//
// # What the broker is not
//
// It has one node, no replication and no throttling. Its compaction is not safe under
// open transactions and its default retention also deletes from compacted topics: create
// topics with cleanup.policy=delete and retention.ms=-1 on it (TopicConfigs). So its
// folder grows with its log.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/store"
)

// ClusterID is what the broker calls its cluster, so that a tool can tell that it is this one: its topics have settings of
// their own.
const ClusterID = "concord-embedded"

// Config says what to run. The zero value runs everything in memory on free ports.
type Config struct {
	// Dir is the folder of everything kept; empty keeps nothing. It is created if
	// missing and locked against a second process.
	Dir string
	// Partitions is the count a topic gets if whoever creates it names none (−1); zero
	// means 4. Topics are not created here.
	Partitions int
	// KafkaPort, RedisPort and RegistryPort listen on 127.0.0.1; zero takes a free one.
	KafkaPort, RedisPort, RegistryPort int
	// MaxMessageBytes bounds one produced batch; zero means 8 MiB.
	MaxMessageBytes int
	// BrokerConfigs are added to the broker's own configuration.
	BrokerConfigs map[string]string
	// Logger gets lifecycle lines and the broker's warnings; nil is silent.
	Logger *zap.Logger
}

// ErrInUse reports that another process runs on the folder.
var ErrInUse = errors.New("folder is in use by another process")

// Services are running services, until Close.
type Services struct {
	// Brokers are Kafka bootstrap addresses, host:port.
	Brokers []string
	// Redis is host:port.
	Redis string
	// Registry is the base URL of the schema registry.
	Registry string
	// Cluster is the broker itself, for tests that make it misbehave.
	Cluster *kfake.Cluster
	// RedisServer is the Redis itself, for tests that make it misbehave.
	RedisServer *miniredis.Miniredis

	dir      string
	logger   *zap.Logger
	lock     io.Closer
	registry *registry
	stop     chan struct{}
	aged     chan struct{}
	once     sync.Once
	closed   error
}

// TopicConfigs returns the settings every topic needs on the embedded broker. A topic
// that is compacted on a real cluster is not compacted here.
func TopicConfigs() map[string]string {
	return map[string]string{"cleanup.policy": "delete", "retention.ms": "-1"}
}

// Start starts the services and returns when all of them answer. ctx bounds starting
// only. The error is ErrInUse where another process holds the folder.
func Start(ctx context.Context, cfg Config) (_ *Services, err error) {
	if cfg.Partitions <= 0 {
		cfg.Partitions = 4
	}
	if cfg.MaxMessageBytes <= 0 {
		cfg.MaxMessageBytes = 8 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	s := &Services{dir: cfg.Dir, logger: cfg.Logger, stop: make(chan struct{}), aged: make(chan struct{})}
	close(s.aged)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("create data folder: %w", err)
		}
		lock, err := store.LockFile(filepath.Join(cfg.Dir, "lock"))
		if err != nil {
			if errors.Is(err, store.ErrLocked) {
				err = errors.Join(ErrInUse, err)
			}
			return nil, fmt.Errorf("lock %s: %w", cfg.Dir, err)
		}
		s.lock = lock
	}
	if err := s.startKafka(ctx, cfg); err != nil {
		return nil, err
	}
	if err := s.startRedis(ctx, cfg); err != nil {
		return nil, err
	}
	if s.registry, err = startRegistry(ctx, cfg); err != nil {
		return nil, err
	}
	s.Registry = "http://" + s.registry.addr
	cfg.Logger.Info("embedded services are up",
		zap.Strings("kafka", s.Brokers), zap.String("redis", s.Redis), zap.String("registry", s.Registry),
		zap.String("dir", cfg.Dir))
	return s, nil
}

func (s *Services) startKafka(ctx context.Context, cfg Config) error {
	configs := map[string]string{"message.max.bytes": strconv.Itoa(cfg.MaxMessageBytes)}
	for name, value := range cfg.BrokerConfigs {
		configs[name] = value
	}
	opts := []kfake.Opt{
		kfake.ClusterID(ClusterID),
		kfake.Ports(cfg.KafkaPort),
		kfake.DefaultNumPartitions(cfg.Partitions),
		kfake.BrokerConfigs(configs),
		kfake.WithLogger(kafkaLog{cfg.Logger.Named("kafka")}),
	}
	if cfg.Dir != "" {
		dir := filepath.Join(cfg.Dir, "kafka")
		opts = append(opts, kfake.DataDir(dir), kfake.SyncWrites())
		if err := recoverKafka(ctx, dir, opts, cfg.Logger.Named("kafka")); err != nil {
			return err
		}
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return fmt.Errorf("start embedded broker: %w", err)
	}
	s.Cluster = cluster
	s.Brokers = cluster.ListenAddrs()
	return nil
}

func (s *Services) startRedis(ctx context.Context, cfg Config) error {
	s.RedisServer = miniredis.NewMiniRedis()
	if err := s.RedisServer.StartAddr(loopback(cfg.RedisPort)); err != nil {
		s.RedisServer = nil
		return fmt.Errorf("start embedded redis: %w", err)
	}
	s.Redis = s.RedisServer.Addr()
	if err := ctx.Err(); err != nil {
		return err
	}
	// This Redis expires keys only when told how much time went by. Telling it at every
	// command would walk all keys each time; a step of seconds is far below any lifetime
	// in use.
	s.aged = make(chan struct{})
	go func() {
		defer close(s.aged)
		const step = 5 * time.Second
		tick := time.NewTicker(step)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-s.stop:
				return
			case now := <-tick.C:
				s.RedisServer.FastForward(now.Sub(last))
				last = now
			}
		}
	}()
	return nil
}

// Close stops the services and releases the folder. What was acknowledged is on disk
// with or without it. A second Close does nothing and returns what the first did.
func (s *Services) Close() error {
	s.once.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Services) close() error {
	var errs []error
	if s.registry != nil {
		errs = append(errs, s.registry.close())
	}
	close(s.stop)
	<-s.aged
	if s.RedisServer != nil {
		s.RedisServer.Close()
	}
	if s.Cluster != nil {
		s.Cluster.Close()
		if s.dir != "" {
			errs = append(errs, markClean(s.dir))
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// kafkaLog hands the broker's own lines on: its warnings and errors as such, the rest at
// debug level.
type kafkaLog struct{ logger *zap.Logger }

// Logf implements kfake.Logger.
func (l kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.logger.Error(fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.logger.Warn(fmt.Sprintf(format, args...))
	default:
		if ce := l.logger.Check(zap.DebugLevel, ""); ce != nil {
			l.logger.Debug(fmt.Sprintf(format, args...))
		}
	}
}
