//go:build unix

// Package cluster starts the services Concord runs on — a Kafka cluster, a schema registry, a Redis server — as
// processes of this machine, on loopback ports, without Docker. It is for `make services` and for the tests under e2e/,
// which kill, freeze and restart those processes; the product does not import it.
//
// Kafka and the registry come from Maven Central (pom.xml), once, into the user's cache folder. Java 17, Maven and
// redis-server must be installed; one error names everything that is missing.
//
// Ports are chosen free at start, outside the range of outgoing connections, and kept over restarts, so that nothing else
// takes the port of a service that is down. Readiness is polled, never slept.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Config says which services to start, and where.
type Config struct {
	// Dir is the folder of everything the services write, one folder each. What an earlier cluster left there is removed.
	Dir string
	// Nodes is the number of Kafka brokers, each a controller as well; 0 means one.
	Nodes int
	// Registry and Redis say whether to start them too.
	Registry, Redis bool
	// Security makes the brokers take only clients that say who they are, and only do what an ACL allows; nil is open.
	Security *Security
	// Props are broker settings that override the defaults, for every node.
	Props map[string]string
	// Detached lets the processes outlive this one, in sessions of their own; [Stop] ends them. Otherwise, on Linux,
	// they are killed when this process ends, however it ends.
	Detached bool
	// Log receives a line per step; nil drops them.
	Log io.Writer
}

// Cluster is the running services. Its methods may be used concurrently, those of one process one at a time.
type Cluster struct {
	cfg      Config
	jars     jars
	secrets  *secrets // nil without Security
	nodes    []*Node
	registry *Process
	redis    *Process
}

// Start starts the services and waits until each of them answers. On an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg.Nodes = max(cfg.Nodes, 1)
	if cfg.Dir == "" {
		return nil, errors.New("cluster: Dir is empty: name a folder for the services' files")
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	var err error
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	if alive, err := Running(cfg.Dir); err != nil {
		return nil, err
	} else if len(alive) > 0 {
		return nil, fmt.Errorf("cluster: %v run in %s already: stop them first", alive, cfg.Dir)
	}
	if err := requirements(cfg); err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg}
	if c.jars, err = download(ctx, cfg.Log); err != nil {
		return nil, err
	}
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}
	g, starting := errgroup.WithContext(ctx)
	for _, p := range c.processes() {
		g.Go(func() error { return p.Start(starting) })
	}
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// prepare writes the folders and files of every service and chooses their ports.
func (c *Cluster) prepare(ctx context.Context) error {
	for _, name := range []string{"kafka-*", "registry", "redis"} {
		old, err := filepath.Glob(filepath.Join(c.cfg.Dir, name))
		if err != nil {
			return err
		}
		for _, dir := range old {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove what an earlier cluster left: %w", err)
			}
		}
	}
	ports, err := freePorts(portsPerNode*c.cfg.Nodes + 2)
	if err != nil {
		return err
	}
	if err := c.secure(); err != nil {
		return err
	}
	if err := c.prepareKafka(ctx, ports[2:]); err != nil {
		return err
	}
	if c.cfg.Registry {
		if c.registry, err = c.newRegistry(ports[0]); err != nil {
			return err
		}
	}
	if c.cfg.Redis {
		if c.redis, err = c.newRedis(ports[1]); err != nil {
			return err
		}
	}
	return nil
}

// processes returns everything that was prepared.
func (c *Cluster) processes() []*Process {
	var out []*Process
	for _, n := range c.nodes {
		out = append(out, n.Process)
	}
	return slices.DeleteFunc(append(out, c.registry, c.redis), func(p *Process) bool { return p == nil })
}

// Brokers returns the bootstrap addresses, one a node, host:port.
func (c *Cluster) Brokers() []string {
	var out []string
	for _, n := range c.nodes {
		out = append(out, n.Addr())
	}
	return out
}

// Node returns a broker; i counts from 0, the broker's node.id from 1.
func (c *Cluster) Node(i int) *Node { return c.nodes[i] }

// Registry returns the base URL of the registry's Confluent-compatible API, as CONCORD_REGISTRY_URL takes it, or "".
func (c *Cluster) Registry() string {
	if c.registry == nil {
		return ""
	}
	return "http://" + c.registry.Addr() + registryPath
}

// RegistryServer returns the registry's process, nil without one. Its schemas survive a restart.
func (c *Cluster) RegistryServer() *Process { return c.registry }

// Redis returns the Redis server's host:port, or "".
func (c *Cluster) Redis() string {
	if c.redis == nil {
		return ""
	}
	return c.redis.Addr()
}

// RedisServer returns the process of Redis, nil without one. It keeps nothing on disk: a restart begins empty.
// Arguments of Start are appended to its command line, such as "--maxmemory", "1mb".
func (c *Cluster) RedisServer() *Process { return c.redis }

// Environment returns what `concord` needs to use these services, as KEY=value.
func (c *Cluster) Environment() []string {
	out := []string{
		"CONCORD_KAFKA_BROKERS=" + strings.Join(c.Brokers(), ","),
		"CONCORD_KAFKA_REPLICATION=" + strconv.Itoa(min(3, c.cfg.Nodes)),
	}
	out = append(out, c.securityEnvironment()...)
	if c.registry != nil {
		out = append(out, "CONCORD_REGISTRY_URL="+c.Registry())
	}
	if c.redis != nil {
		out = append(out, "CONCORD_REDIS_ADDR="+c.Redis())
	}
	return out
}

// Close kills every process that is still running. The files stay until the next Start in the same folder.
func (c *Cluster) Close() error {
	var g errgroup.Group
	for _, p := range c.processes() {
		g.Go(p.Kill)
	}
	return g.Wait()
}
