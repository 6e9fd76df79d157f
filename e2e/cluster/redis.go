//go:build unix

package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// probeTimeout bounds one question whether a service is ready.
const probeTimeout = 2 * time.Second

// newRedis prepares a server as Concord wants it: nothing on disk, and an error, never an eviction, when it is full.
func (c *Cluster) newRedis(port int) (*Process, error) {
	p := c.process("redis", port)
	p.command = func(extra []string) []string {
		return append([]string{
			"redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", p.dir,
			"--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction",
		}, extra...)
	}
	p.ready = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		client := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: -1})
		defer client.Close()
		return client.Ping(ctx).Err()
	}
	return p, os.MkdirAll(p.dir, 0o755)
}

func (c *Cluster) process(name string, port int) *Process {
	return &Process{
		name: name, dir: filepath.Join(c.cfg.Dir, name), addr: loopback(port), detached: c.cfg.Detached, log: c.cfg.Log,
	}
}
