//go:build unix

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// Ports of one node: for clients, for clients through a proxy, for the proxy itself, for brokers, and for controllers.
const portsPerNode = 5

// Node is one Kafka broker, which is a controller too.
type Node struct {
	*Process
	// ID is the broker's node.id.
	ID         int32
	proxied    string // where the broker listens for what comes through a proxy
	proxy      string // what it tells those clients: where the proxy listens
	internal   string // for the other brokers
	controller string
}

// Proxy says how to put a proxy in front of this broker: make it listen on listen and pass on to upstream. A client that
// bootstraps from the listen addresses is told those, not the brokers' own, and so stays behind the proxies.
func (n *Node) Proxy() (listen, upstream string) { return n.proxy, n.proxied }

// log4j keeps the brokers' log short and on standard output.
const log4j = `rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
logger.kafka.name = kafka
logger.kafka.level = info
`

// prepareKafka chooses the nodes' addresses, writes their settings and formats their folders.
func (c *Cluster) prepareKafka(ctx context.Context, ports []int) error {
	for i := range c.cfg.Nodes {
		p := ports[i*portsPerNode:]
		node := &Node{
			Process: c.process("kafka-"+strconv.Itoa(i+1), p[0]), ID: int32(i + 1),
			proxied: loopback(p[1]), proxy: loopback(p[2]), internal: loopback(p[3]), controller: loopback(p[4]),
		}
		node.command = func(extra []string) []string {
			return append(c.java(c.heap(), "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
				"-Dlog4j2.configurationFile="+filepath.Join(node.dir, "log4j2.properties"), "kafka.Kafka",
				node.settings()), extra...)
		}
		node.ready = func(ctx context.Context) error { return c.listed(ctx, node) }
		c.nodes = append(c.nodes, node)
	}
	clusterID := make([]byte, 16)
	if _, err := rand.Read(clusterID); err != nil {
		return err
	}
	clusterID[0] &= 0x7f // a leading dash would be read as an option
	var g errgroup.Group
	for _, node := range c.nodes {
		g.Go(func() error {
			if err := os.MkdirAll(node.dir, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(node.dir, "log4j2.properties"), []byte(log4j), 0o644); err != nil {
				return err
			}
			if err := os.WriteFile(node.settings(), c.properties(node), 0o600); err != nil {
				return err
			}
			format := []string{"format", "-t", base64.RawURLEncoding.EncodeToString(clusterID), "-c", node.settings()}
			if c.secrets != nil {
				format = append(format, c.secrets.scram()...)
			}
			_, err := c.Tool(ctx, "kafka.tools.StorageTool", format...)
			return err
		})
	}
	return g.Wait()
}

func (n *Node) settings() string { return filepath.Join(n.dir, "server.properties") }

func (c *Cluster) heap() string {
	if c.cfg.Nodes > 1 {
		return "-Xmx512m"
	}
	return "-Xmx1g"
}

// properties are the settings of one node.
func (c *Cluster) properties(n *Node) []byte {
	var voters []string
	for _, other := range c.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s", other.ID, other.controller))
	}
	replicas := min(3, c.cfg.Nodes)
	insync := strconv.Itoa(max(1, replicas-1))
	props := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(int(n.ID)),
		"controller.quorum.voters":                         strings.Join(voters, ","),
		"controller.listener.names":                        "CONTROLLER",
		"listeners":                                        fmt.Sprintf("CLIENT://%s,PROXY://%s,INTERNAL://%s,CONTROLLER://%s", n.addr, n.proxied, n.internal, n.controller),
		"advertised.listeners":                             fmt.Sprintf("CLIENT://%s,PROXY://%s,INTERNAL://%s", n.addr, n.proxy, n.internal),
		"listener.security.protocol.map":                   plain,
		"inter.broker.listener.name":                       "INTERNAL",
		"log.dirs":                                         filepath.Join(n.dir, "data"),
		"auto.create.topics.enable":                        "false",
		"group.initial.rebalance.delay.ms":                 "0",
		"default.replication.factor":                       strconv.Itoa(replicas),
		"min.insync.replicas":                              insync,
		"offsets.topic.replication.factor":                 strconv.Itoa(replicas),
		"offsets.topic.num.partitions":                     "12",
		"transaction.state.log.replication.factor":         strconv.Itoa(replicas),
		"transaction.state.log.min.isr":                    insync,
		"transaction.state.log.num.partitions":             "12",
		"share.coordinator.state.topic.replication.factor": strconv.Itoa(replicas),
		"share.coordinator.state.topic.min.isr":            insync,
	}
	if c.cfg.Nodes == 1 {
		// There is nobody to hand its partitions to, and a transaction that ends meanwhile gets no markers:
		// docs/decisions/0006.
		props["controlled.shutdown.enable"] = "false"
	}
	if c.secrets != nil {
		maps.Copy(props, c.secrets.properties())
	}
	maps.Copy(props, c.cfg.Props)
	var out bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(props)) {
		fmt.Fprintf(&out, "%s=%s\n", key, props[key])
	}
	return out.Bytes()
}

// listed asks a node for the brokers it knows: with it among them it takes part in the cluster.
func (c *Cluster) listed(ctx context.Context, n *Node) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cl, err := kgo.NewClient(c.at(superUser, n.addr)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	response, err := request.RequestWith(ctx, cl.SeedBrokers()[0])
	if err != nil {
		return err
	}
	for _, b := range response.Brokers {
		if b.NodeID == n.ID {
			return nil
		}
	}
	return fmt.Errorf("node %d is up and not yet in the cluster", n.ID)
}

// java is a command line for the Kafka jars: Java options, the class, its arguments.
func (c *Cluster) java(args ...string) []string {
	return append([]string{"java", "-cp", c.jars.kafka()}, args...)
}

// Tool runs a Java program of Kafka's, such as org.apache.kafka.tools.consumer.ConsoleConsumer or kafka.tools.StorageTool, and
// returns what it printed on standard output. The error carries its standard error. It is killed when ctx ends; what it
// had printed until then is returned with the error.
func (c *Cluster) Tool(ctx context.Context, class string, args ...string) (string, error) {
	line := append(c.java("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=warn", class), args...)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", class, strings.Join(args, " "), err, stderr.Bytes(), stdout.Bytes())
	}
	return stdout.String(), nil
}
