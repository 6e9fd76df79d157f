package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Machine is where figures were measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Kafka  string `json:"kafka"`
	Redis  string `json:"redis"`
}

// String is one line.
func (m Machine) String() string {
	return fmt.Sprintf("%d × %s, %d GiB, %s, %s, Kafka %s, Redis %s", m.Cores, m.CPU, m.Memory>>30, m.Kernel, m.Go, m.Kafka, m.Redis)
}

func (b *Bench) machine(ctx context.Context) (Machine, error) {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Kernel: runtime.GOOS, Go: runtime.Version()}
	value := func(path, key string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			return "" // another system says it elsewhere
		}
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	if cpu := value("/proc/cpuinfo", "model name"); cpu != "" {
		m.CPU = cpu
	}
	if kib, err := strconv.ParseInt(strings.TrimSuffix(value("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = kib << 10
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(release))
	}
	versions, err := b.adm.ApiVersions(ctx)
	if err != nil {
		return m, fmt.Errorf("broker version: %w", err)
	}
	versions.Each(func(v kadm.BrokerApiVersions) { m.Kafka = v.VersionGuess() })
	info, err := b.Redis.Info(ctx, "server").Result()
	if err != nil {
		return m, fmt.Errorf("redis version: %w", err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "redis_version:"); ok {
			m.Redis = strings.TrimSpace(v)
		}
	}
	return m, nil
}
