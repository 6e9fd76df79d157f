//go:build e2e && unix

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/concord-ats/concord/e2e/cluster"
	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
)

const userPrefix = "concord-"

// sender is who sends the world's events: publisher, ATS connector and operator in one.
const sender = userPrefix + "sender"

// secured is a broker with TLS, SCRAM and ACLs, and a user for each role.
type secured struct {
	t       *testing.T
	cluster *cluster.Cluster
	admin   *kadm.Client
	users   map[string]string
	groups  topics.Groups
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{t: t, users: map[string]string{sender: rand.Text()}}
	for _, role := range topics.Roles() {
		s.users[userPrefix+string(role)] = rand.Text()
	}
	var err error
	s.cluster, err = cluster.Start(t.Context(), cluster.Config{
		Dir: filepath.Join(scratch, "secured"), Props: props, Log: t.Output(),
		Security: &cluster.Security{Users: s.users, User: userPrefix + string(topics.RoleSetup)},
	})
	must(t, err)
	client, err := kgo.NewClient(s.cluster.Options()...)
	must(t, err)
	s.admin = kadm.NewClient(client)
	t.Cleanup(func() {
		client.Close()
		if err := s.cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// allow gives a user the least access of some roles.
func (s *secured) allow(user string, roles ...topics.Role) {
	s.t.Helper()
	for _, role := range roles {
		for _, g := range topics.Access(role, s.groups) {
			op, err := kmsg.ParseACLOperation(string(g.Operation))
			must(s.t, err)
			b := kadm.NewACLs().Allow("User:" + user).AllowHosts().Operations(op)
			b.ResourcePatternType(kadm.ACLPatternLiteral)
			if g.Prefixed {
				b.ResourcePatternType(kadm.ACLPatternPrefixed)
			}
			switch g.Resource {
			case topics.ResourceTopic:
				b.Topics(g.Name)
			case topics.ResourceGroup:
				b.Groups(g.Name)
			case topics.ResourceTransactionalID:
				b.TransactionalIDs(g.Name)
			}
			results, err := s.admin.CreateACLs(s.t.Context(), b)
			must(s.t, err)
			for _, r := range results {
				must(s.t, r.Err)
			}
		}
	}
}

// as are the settings with which a process is a role's user.
func (s *secured) as(role topics.Role) []string {
	user := userPrefix + string(role)
	return []string{"kafka.sasl.username=" + user, "kafka.sasl.password=" + s.users[user]}
}

// client is a client of a role's user that speaks versions which name topics, for requests made by hand.
func (s *secured) client(role topics.Role) *kgo.Client {
	s.t.Helper()
	cl, err := kgo.NewClient(append(s.cluster.UserOptions(userPrefix+string(role)), kgo.MaxVersions(kversion.V3_0_0()))...)
	must(s.t, err)
	s.t.Cleanup(cl.Close)
	return cl
}

// With the documented access and no more every role does its work over TLS and SCRAM, the audit is clean, people's commands
// work, and each role is denied everything else.
func TestLeastAccess(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	s.allow(userPrefix+string(topics.RoleSetup), topics.RoleSetup)
	r := newRun(t, config{Applications: long(150, 1000), Cluster: s.cluster, Feed: s.cluster.UserOptions(sender)})
	s.groups = topics.Groups{
		Reconciler: r.group + ".reconciler", Writeback: r.group + ".writeback", KPI: r.group + ".kpi", Identity: r.group + ".identity", Gateway: r.group + ".gateway",
		Poller: r.group + ".poller",
	}
	for _, role := range topics.Roles() {
		if role != topics.RoleSetup {
			s.allow(userPrefix+string(role), role)
		}
	}
	s.allow(sender, topics.RolePublisher, topics.RoleGateway, topics.RoleOperator)

	r.up("gateway", 1, s.as(topics.RoleGateway)...)
	r.up("reconciler", 2, s.as(topics.RoleReconciler)...)
	r.up("writeback", 1, s.as(topics.RoleWriteback)...)
	r.up("kpi", 1, s.as(topics.RoleKPI)...)
	r.up("identity", 1, s.as(topics.RoleIdentity)...)
	r.ready()
	must(t, r.tell(t.Context(), 0))
	r.finish()
	for _, p := range r.procs {
		if log := p.whole(t); strings.Contains(log, "AUTHORIZATION_FAILED") || strings.Contains(log, "not allowed to") {
			t.Errorf("%s lacks a permission; see its log", p.name)
			t.Log(p.tail())
		}
	}

	t.Run("people", func(t *testing.T) { s.people(t, r) })
	t.Run("denied", s.denied)
	t.Run("everything else", s.matrix)
	t.Run("kafka-acls", s.commands)
}

// whole is everything a process has logged.
func (p *process) whole(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(p.log())
	must(t, err)
	return string(b)
}

// people runs what an analyst, a publisher, an operator and who sets the cluster up would.
func (s *secured) people(t *testing.T, r *run) {
	tool := func(role topics.Role, args ...string) string {
		t.Helper()
		for _, set := range s.as(role) {
			args = append(args, "--set", set)
		}
		return r.tool(args...)
	}
	app := r.world.Applications[0].ID
	if out := tool(topics.RoleAnalyst, "app", "show", app, "--json"); !strings.Contains(out, app) {
		t.Errorf("an analyst is shown %q", out)
	}
	var windows []any
	must(t, json.Unmarshal([]byte(tool(topics.RoleAnalyst, "kpi", "--json")), &windows))
	if len(windows) == 0 {
		t.Error("an analyst sees no window")
	}
	event := filepath.Join(r.dir, "event.json")
	must(t, os.WriteFile(event, fmt.Appendf(nil, `{"id":"least-1","source":"assess","type":"screening.invited","system":"assess","occurred_at":%q,"application_id":%q,"order_id":"o-least","attempt":1}`+"\n",
		time.Now().UTC().Format(time.RFC3339), app), 0o644))
	tool(topics.RolePublisher, "publish", topics.ScreeningEvents, "--file", event)
	var letters []deadletter.Letter
	must(t, json.Unmarshal([]byte(tool(topics.RoleOperator, "dlq", "ls", "--json", "--limit", "1")), &letters))
	if len(letters) != 1 {
		t.Fatalf("an operator sees %d dead letters, want one of the world's malformed records", len(letters))
	}
	tool(topics.RoleOperator, "dlq", "replay", letters[0].At.String(), "--yes")
	tool(topics.RoleOperator, "control", "hold", app, "--actor", "u-1", "--reason", "least access", "--yes")
	if out := tool(topics.RolePolicy, "policy", "history", "--json"); !strings.Contains(out, `"partitions"`) {
		t.Errorf("who publishes the policy is shown %q", out)
	}
	tool(topics.RoleSetup, "topics", "check")
}

// denied are the doors that must be shut, one test a door.
func (s *secured) denied(t *testing.T) {
	for _, d := range []struct {
		role topics.Role
		what string
		try  func(*testing.T, *kgo.Client) error
		want *kerr.Error
	}{
		{topics.RoleGateway, "write ats.commands", writes(topics.ATSCommands), kerr.TopicAuthorizationFailed},
		{topics.RoleGateway, "override by hiring.control", writes(topics.HiringControl), kerr.TopicAuthorizationFailed},
		{topics.RoleGateway, "read hiring.state", reads(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RoleWriteback, "write hiring.state", writes(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RoleWriteback, "command itself", writes(topics.ATSCommands), kerr.TopicAuthorizationFailed},
		{topics.RoleWriteback, "write hiring.decisions", writes(topics.HiringDecisions), kerr.TopicAuthorizationFailed},
		{topics.RoleKPI, "write ats.commands", writes(topics.ATSCommands), kerr.TopicAuthorizationFailed},
		{topics.RoleKPI, "write ats.outcomes", writes(topics.ATSOutcomes), kerr.TopicAuthorizationFailed},
		{topics.RoleReconciler, "write ats.outcomes", writes(topics.ATSOutcomes), kerr.TopicAuthorizationFailed},
		{topics.RoleReconciler, "write kpi.writeback", writes(topics.KPIWriteback), kerr.TopicAuthorizationFailed},
		{topics.RolePublisher, "read hiring.state", reads(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RolePublisher, "write ats.changes", writes(topics.ATSChanges), kerr.TopicAuthorizationFailed},
		{topics.RoleAnalyst, "write screening.events", writes(topics.ScreeningEvents), kerr.TopicAuthorizationFailed},
		{topics.RoleAnalyst, "write hiring.state", writes(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RoleAnalyst, "read dead letters", reads(topics.DeadLetter(topics.ScreeningEvents)), kerr.TopicAuthorizationFailed},
		{topics.RoleOperator, "write hiring.state", writes(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RoleOperator, "publish a policy", writes(topics.Policy), kerr.TopicAuthorizationFailed},
		{topics.RoleReconciler, "publish a policy", writes(topics.Policy), kerr.TopicAuthorizationFailed},
		{topics.RolePolicy, "write hiring.state", writes(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RoleGateway, "fence who publishes the policy", begins(topics.PolicyPublisher), kerr.TransactionalIDAuthorizationFailed},
		{topics.RoleSetup, "read hiring.state", reads(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RoleSetup, "write hiring.control", writes(topics.HiringControl), kerr.TopicAuthorizationFailed},

		{topics.RoleReconciler, "take write-back's transactional id", begins(s.groups.Writeback + ".writeback-1-0"), kerr.TransactionalIDAuthorizationFailed},
		{topics.RoleWriteback, "fence a reconciler", begins(s.groups.Reconciler + ".reconciler-1-0"), kerr.TransactionalIDAuthorizationFailed},
		{topics.RoleKPI, "fence write-back", begins(s.groups.Writeback + ".writeback-1-0"), kerr.TransactionalIDAuthorizationFailed},
		{topics.RoleGateway, "begin a transaction", begins("gateway"), kerr.TransactionalIDAuthorizationFailed},
		{topics.RoleKPI, "join the reconcilers", joins(s.groups.Reconciler), kerr.GroupAuthorizationFailed},
		{topics.RoleWriteback, "join the reconcilers", joins(s.groups.Reconciler), kerr.GroupAuthorizationFailed},
		{topics.RoleAnalyst, "join the reconcilers", joins(s.groups.Reconciler), kerr.GroupAuthorizationFailed},

		{topics.RoleReconciler, "delete a topic", deletes(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RoleSetup, "delete a topic", deletes(topics.HiringState), kerr.TopicAuthorizationFailed},
		{topics.RoleOperator, "create a topic", creates("anything"), kerr.TopicAuthorizationFailed},
		{topics.RoleSetup, "create a topic of another name", creates("anything"), kerr.TopicAuthorizationFailed},
		{topics.RoleSetup, "allow itself more", allowsItself, kerr.ClusterAuthorizationFailed},
	} {
		t.Run(string(d.role)+" cannot "+d.what, func(t *testing.T) {
			if err := d.try(t, s.client(d.role)); !errors.Is(err, d.want) {
				t.Errorf("answered %v, want %v", err, d.want)
			}
		})
	}
	t.Run("a client without TLS and credentials is not answered", func(t *testing.T) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.Brokers()...), kgo.RetryTimeout(2*time.Second))
		must(t, err)
		defer cl.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := cl.Ping(ctx); err == nil {
			t.Error("a client without TLS and credentials is answered")
		}
	})
	t.Run("a wrong password is refused", func(t *testing.T) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.Brokers()...), kgo.DialTLSConfig(s.cluster.TLS()),
			kgo.SASL(scram.Auth{User: sender, Pass: "not it"}.AsSha512Mechanism()))
		must(t, err)
		defer cl.Close()
		if err := cl.Ping(t.Context()); !errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.Errorf("answered %v, want %v", err, kerr.SaslAuthenticationFailed)
		}
	})
}

// matrix asks for every topic as every role: exactly what the documentation grants is allowed.
func (s *secured) matrix(t *testing.T) {
	for _, role := range topics.Roles() {
		cl := s.client(role)
		granted := topics.Access(role, s.groups)
		for _, topic := range topics.Table() {
			for op, try := range map[topics.Operation]func(*testing.T, *kgo.Client) error{
				topics.OperationRead: reads(topic.Name), topics.OperationWrite: writes(topic.Name),
			} {
				err := try(t, cl)
				want := slices.Contains(granted, topics.Grant{Role: role, Operation: op, Resource: topics.ResourceTopic, Name: topic.Name})
				if got := !errors.Is(err, kerr.TopicAuthorizationFailed); got != want {
					t.Errorf("%s: %s %s is allowed: %v, want %v (%v)", role, op, topic.Name, got, want, err)
				}
			}
		}
	}
}

// commands runs what `concord topics acls` prints for a role, and finds that nothing was left to allow.
func (s *secured) commands(t *testing.T) {
	const twin = "User:twin-writeback"
	grants := topics.Access(topics.RoleWriteback, s.groups)
	for _, args := range topics.Commands(twin, grants) {
		_, err := s.cluster.Tool(t.Context(), "org.apache.kafka.tools.AclCommand",
			append([]string{"--bootstrap-server", s.cluster.Brokers()[0], "--command-config", s.cluster.AdminProperties()}, args...)...)
		must(t, err)
	}
	of := func(principal string) []string {
		results, err := s.admin.DescribeACLs(t.Context(), kadm.NewACLs().Allow(principal).AllowHosts().
			AnyResource().ResourcePatternType(kadm.ACLPatternAny).Operations(kadm.OpAny))
		must(t, err)
		var out []string
		for _, r := range results {
			must(t, r.Err)
			for _, d := range r.Described {
				out = append(out, fmt.Sprint(d.Type, d.Name, d.Pattern, d.Operation))
			}
		}
		slices.Sort(out)
		return out
	}
	got, want := of(twin), of("User:"+userPrefix+string(topics.RoleWriteback))
	if len(want) != len(grants) || !slices.Equal(got, want) {
		t.Errorf("kafka-acls made\n%q\nwant the %d grants\n%q", got, len(grants), want)
	}
}

// code turns an answer into an error.
func code(err error, codes ...int16) error {
	if err != nil {
		return err
	}
	for _, c := range codes {
		if err := kerr.ErrorForCode(c); err != nil {
			return err
		}
	}
	return nil
}

// writes asks to append a batch that is none, to partition 0: who may write is told that, and the topic stays as it is.
func writes(topic string) func(*testing.T, *kgo.Client) error {
	return func(t *testing.T, cl *kgo.Client) error {
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = -1, 5000
		part := kmsg.NewProduceRequestTopicPartition()
		part.Records = []byte("no batch")
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic, rt.Partitions = topic, []kmsg.ProduceRequestTopicPartition{part}
		req.Topics = []kmsg.ProduceRequestTopic{rt}
		resp, err := req.RequestWith(t.Context(), cl.Broker(1))
		if err != nil {
			return err
		}
		return code(nil, resp.Topics[0].Partitions[0].ErrorCode)
	}
}

func reads(topic string) func(*testing.T, *kgo.Client) error {
	return func(t *testing.T, cl *kgo.Client) error {
		req := kmsg.NewPtrFetchRequest()
		req.MaxBytes, req.SessionEpoch = 1<<20, -1
		part := kmsg.NewFetchRequestTopicPartition()
		part.PartitionMaxBytes = 1 << 10
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.Partitions = topic, []kmsg.FetchRequestTopicPartition{part}
		req.Topics = []kmsg.FetchRequestTopic{rt}
		resp, err := req.RequestWith(t.Context(), cl.Broker(1))
		if err != nil {
			return err
		}
		return code(nil, resp.ErrorCode, resp.Topics[0].Partitions[0].ErrorCode)
	}
}

func begins(transactionalID string) func(*testing.T, *kgo.Client) error {
	return func(t *testing.T, cl *kgo.Client) error {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &transactionalID, 1000
		resp, err := req.RequestWith(t.Context(), cl)
		if err != nil {
			return err
		}
		return code(nil, resp.ErrorCode)
	}
}

func joins(group string) func(*testing.T, *kgo.Client) error {
	return func(t *testing.T, cl *kgo.Client) error {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID = group, "nobody"
		resp, err := req.RequestWith(t.Context(), cl)
		if err != nil {
			return err
		}
		return code(nil, resp.ErrorCode)
	}
}

func deletes(topic string) func(*testing.T, *kgo.Client) error {
	return func(t *testing.T, cl *kgo.Client) error {
		return errorOf(kadm.NewClient(cl).DeleteTopic(t.Context(), topic))
	}
}

func creates(topic string) func(*testing.T, *kgo.Client) error {
	return func(t *testing.T, cl *kgo.Client) error {
		return errorOf(kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, topic))
	}
}

func errorOf[T any](_ T, err error) error { return err }

func allowsItself(t *testing.T, cl *kgo.Client) error {
	results, err := kadm.NewClient(cl).CreateACLs(t.Context(), kadm.NewACLs().Allow("User:"+userPrefix+string(topics.RoleSetup)).AllowHosts().
		Topics(topics.HiringState).ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpAll))
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}
