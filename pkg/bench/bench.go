package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Config is what a Bench needs.
type Config struct {
	// Opts reach every Kafka client, Client is connected. Topics say how topics are created.
	Opts   []kgo.Opt
	Client *kgo.Client
	Topics topics.Options
	Redis  *redis.Client
	// Schemas are registered.
	Schemas *wire.Schemas
	// Sessions is how many members of a group a process is.
	Sessions int
	// Launch is the command that runs a role as a process of its own.
	Launch func(Role) *exec.Cmd
	// Profiles is the folder for a CPU profile and the log of each process; empty keeps none.
	Profiles string
	Plan     Plan
	// Say reports progress, one line each.
	Say func(format string, args ...any)
}

// Role is what a process of its own runs.
type Role struct {
	Name    string            // reconciler, writeback, kpi, or copy
	Set     map[string]string // configuration keys
	Cores   int               // how many it may use; 0 is all
	Shape   string            // of a copy: the file Shape was saved to
	Profile string            // file for a CPU profile; empty takes none
}

// Bench is one run. Its methods are not safe for concurrent use.
type Bench struct {
	Config
	adm      *kadm.Client
	dir      string // scratch
	run      string // name of this run, start of its groups and keys
	deploy   int    // deployments so far
	launched int    // processes so far
	groups   []string
}

// marker is the topic that says that the topics of a cluster are a benchmark's.
const marker = "concord.bench"

// ErrInUse says that the cluster holds records that are not the benchmark's own.
var ErrInUse = errors.New("the cluster holds records of Concord's topics")

// Open checks that the cluster has nothing to lose and marks it. Close undoes it.
func Open(ctx context.Context, cfg Config) (*Bench, error) {
	b := &Bench{Config: cfg, adm: kadm.NewClient(cfg.Client), run: fmt.Sprintf("bench-%d", time.Now().UnixMilli())}
	existing, err := b.adm.ListTopics(ctx)
	if err == nil {
		err = existing.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	if !existing.Has(marker) {
		if err := b.unused(ctx, existing); err != nil {
			return nil, err
		}
		if _, err := b.adm.CreateTopic(ctx, 1, b.Topics.Replication, nil, marker); err != nil {
			return nil, fmt.Errorf("create topic %s: %w", marker, err)
		}
	}
	if b.dir, err = os.MkdirTemp("", "concord-bench-"); err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	return b, nil
}

// unused refuses a cluster with records in one of our topics.
func (b *Bench) unused(ctx context.Context, existing kadm.TopicDetails) error {
	var names []string
	for _, t := range topics.Table() {
		if existing.Has(t.Name) {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	ends, err := b.adm.ListEndOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	var used error
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 && used == nil {
			used = fmt.Errorf("%w: %s/%d has been written to; the benchmark deletes these topics, so give it a cluster of its own", ErrInUse, o.Topic, o.Partition)
		}
	})
	return used
}

// Close removes what the benchmark made: topics, groups, keys and files.
func (b *Bench) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	names := []string{marker}
	for _, t := range topics.Table() {
		names = append(names, t.Name)
	}
	errs := []error{b.deleteTopics(ctx, names...), b.deleteTopics(ctx, b.copies()...), b.forgetKeys(ctx, b.run), os.RemoveAll(b.dir)}
	if len(b.groups) > 0 {
		deleted, err := b.adm.DeleteGroups(ctx, b.groups...)
		errs = append(errs, err)
		for _, r := range deleted.Sorted() {
			if !errors.Is(r.Err, kerr.GroupIDNotFound) { // one that never committed is not there
				errs = append(errs, r.Err)
			}
		}
	}
	return errors.Join(errs...)
}

// deployment is one consumer group with its own local store and Redis keys. A process may be started on it several times.
type deployment struct {
	b                *Bench
	group, keys, dir string
}

// newDeployment empties the named topics and everything else a group could remember, and creates what is missing.
func (b *Bench) newDeployment(ctx context.Context, empty ...string) (*deployment, error) {
	b.deploy++
	name := fmt.Sprintf("%s.%d", b.run, b.deploy)
	d := &deployment{b: b, group: name, keys: name + ":", dir: filepath.Join(b.dir, name)}
	if err := b.deleteTopics(ctx, empty...); err != nil {
		return nil, err
	}
	if err := b.createTopics(ctx); err != nil {
		return nil, err
	}
	b.groups = append(b.groups, name)
	return d, nil
}

// createTopics creates what is missing and waits until the brokers know it: a deleted topic may still be listed.
func (b *Bench) createTopics(ctx context.Context) error {
	var names []string
	for _, t := range topics.Table() {
		names = append(names, t.Name)
	}
	return b.until(ctx, 30*time.Second, "topics are created", func() (bool, error) {
		if _, err := topics.Create(ctx, b.Client, b.Topics, false); err != nil {
			return false, fmt.Errorf("create topics: %w", err)
		}
		err := b.known(ctx, names)
		return err == nil, err
	})
}

// known returns nil once every broker that has to knows the topics.
func (b *Bench) known(ctx context.Context, names []string) error {
	there, err := b.adm.ListTopics(ctx, names...)
	if err == nil {
		err = there.Error()
	}
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	ends, err := b.adm.ListEndOffsets(ctx, names...) // asks the leader of each partition
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	return nil
}

// end removes the keys and files of a deployment. Its topics stay, for others to read.
func (d *deployment) end(ctx context.Context) error {
	return errors.Join(d.b.forgetKeys(ctx, d.keys), os.RemoveAll(d.dir))
}

func (b *Bench) deleteTopics(ctx context.Context, names ...string) error {
	existing, err := b.adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var there []string
	for _, name := range names {
		if existing.Has(name) {
			there = append(there, name)
		}
	}
	if len(there) == 0 {
		return nil
	}
	deleted, err := b.adm.DeleteTopics(ctx, there...)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	return b.until(ctx, 30*time.Second, "topics are deleted", func() (bool, error) {
		existing, err := b.adm.ListTopics(ctx)
		for _, name := range there {
			if existing.Has(name) {
				return false, err
			}
		}
		return true, err
	})
}

// forgetKeys deletes the Redis keys with a prefix, so many at a time that no call takes long.
func (b *Bench) forgetKeys(ctx context.Context, prefix string) error {
	const atOnce = 1_000
	it := b.Redis.Scan(ctx, 0, prefix+"*", atOnce).Iterator()
	var keys []string
	unlink := func() error {
		if len(keys) == 0 {
			return nil
		}
		err := b.Redis.Unlink(ctx, keys...).Err()
		keys = keys[:0]
		return err
	}
	for it.Next(ctx) {
		if keys = append(keys, it.Val()); len(keys) == atOnce {
			if err := unlink(); err != nil {
				return fmt.Errorf("delete keys %s*: %w", prefix, err)
			}
		}
	}
	if err := errors.Join(it.Err(), unlink()); err != nil {
		return fmt.Errorf("delete keys %s*: %w", prefix, err)
	}
	return nil
}

// until polls cond.
func (b *Bench) until(ctx context.Context, patience time.Duration, what string, cond func() (bool, error)) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := cond()
		if err == nil && ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-limit.Done():
			return errors.Join(fmt.Errorf("not after %s: %s", patience, what), err, ctx.Err())
		}
	}
}
