package topics

import (
	"fmt"
	"slices"
	"strings"
)

// Role is one kind of user of the cluster, with credentials of its own.
type Role string

// The roles. Reconciler to gateway are those of `concord run`; the others are people and programs.
const (
	RoleReconciler Role = "reconciler"
	RoleWriteback  Role = "writeback"
	RoleKPI        Role = "kpi"
	RoleIdentity   Role = "identity"
	RolePoller     Role = "poller"
	RoleGateway    Role = "gateway"
	// RolePublisher is a program that publishes screening events itself.
	RolePublisher Role = "publisher"
	// RoleAnalyst reads, and cannot change anything.
	RoleAnalyst Role = "analyst"
	// RoleOperator replays dead letters, holds, releases and overrides, and reads the inputs to explain and to simulate. A
	// replay writes where the letter came from.
	RoleOperator Role = "operator"
	// RolePolicy publishes bundles of the policy. What it publishes is believed by its signatures alone.
	RolePolicy Role = "policy"
	// RoleSetup creates and checks the topics. Nothing that runs needs it.
	RoleSetup Role = "setup"
)

// Roles returns every role, in the order of the documentation.
func Roles() []Role {
	return []Role{RoleReconciler, RoleWriteback, RoleKPI, RoleIdentity, RolePoller, RoleGateway, RolePublisher, RoleAnalyst, RoleOperator, RolePolicy, RoleSetup}
}

// use says who reads and who writes a topic. Dead letters follow from their source, see [Access].
type use struct{ read, written []Role }

var uses = map[string]use{
	ScreeningEvents:        {read: []Role{RoleReconciler, RoleOperator}, written: []Role{RolePublisher, RoleGateway}},
	ATSChanges:             {read: []Role{RoleReconciler, RoleOperator}, written: []Role{RoleGateway, RoleWriteback, RoleIdentity, RolePoller}}, // write-back, poller: snapshots; identity: hints
	CandidateEvents:        {read: []Role{RoleIdentity}, written: []Role{RoleGateway, RoleReconciler, RoleIdentity, RoleWriteback, RolePoller}}, // reconciler: links; write-back, poller: who is shown as anonymised
	HiringControl:          {read: []Role{RoleReconciler, RoleOperator}, written: []Role{RoleOperator, RolePolicy, RoleIdentity}},
	ScreeningOrders:        {read: []Role{RolePublisher}, written: []Role{RoleReconciler}},
	HiringState:            {read: []Role{RoleReconciler, RoleAnalyst, RoleOperator, RolePolicy}, written: []Role{RoleReconciler}},
	HiringDecisions:        {read: []Role{RoleKPI, RoleAnalyst, RoleOperator, RolePolicy}, written: []Role{RoleReconciler}},
	HiringConflicts:        {read: []Role{RoleKPI, RoleAnalyst, RoleOperator}, written: []Role{RoleReconciler, RoleWriteback}}, // write-back: parked systems
	ATSCommands:            {read: []Role{RoleWriteback, RoleAnalyst, RoleOperator}, written: []Role{RoleReconciler}},
	ATSOutcomes:            {read: []Role{RoleReconciler, RoleKPI, RoleAnalyst, RoleOperator}, written: []Role{RoleWriteback}},
	KPIWriteback:           {read: []Role{RoleAnalyst, RoleOperator}, written: []Role{RoleKPI}},
	KPIConflicts:           {read: []Role{RoleAnalyst, RoleOperator}, written: []Role{RoleKPI}},
	KPIQuality:             {read: []Role{RoleAnalyst, RoleOperator}, written: []Role{RoleKPI}},
	GatewayUnresolved:      {read: []Role{RoleGateway}, written: []Role{RoleGateway}},
	WritebackState:         {read: []Role{RoleWriteback}, written: []Role{RoleWriteback}},
	KPIState:               {read: []Role{RoleKPI}, written: []Role{RoleKPI}},
	Policy:                 {read: []Role{RoleReconciler, RoleWriteback, RoleGateway, RolePoller, RoleAnalyst, RoleOperator, RolePolicy}, written: []Role{RolePolicy}},
	ATSCursors:             {read: []Role{RolePoller}, written: []Role{RolePoller}}, // a backfill runs as the poller
	IdentityState:          {read: []Role{RoleIdentity}, written: []Role{RoleIdentity}},
	DeadLetterDispositions: {read: []Role{RoleOperator}, written: []Role{RoleOperator}},
}

// Resource is what a grant is about, in the words of kafka-acls.
type Resource string

// The resources.
const (
	ResourceTopic           Resource = "topic"
	ResourceGroup           Resource = "group"
	ResourceTransactionalID Resource = "transactional-id"
)

// Operation is what a grant allows, in the words of kafka-acls. Reading and writing include describing.
type Operation string

// The operations.
const (
	OperationRead            Operation = "Read"
	OperationWrite           Operation = "Write"
	OperationCreate          Operation = "Create"
	OperationDescribe        Operation = "Describe"
	OperationDescribeConfigs Operation = "DescribeConfigs"
	OperationAlterConfigs    Operation = "AlterConfigs"
)

// Grant is one permission.
type Grant struct {
	Role      Role      `json:"role"`
	Operation Operation `json:"operation"`
	Resource  Resource  `json:"resource"`
	Name      string    `json:"name"`
	// Prefixed means every name that starts so.
	Prefixed bool `json:"prefixed"`
}

// PolicyPublisher is the transactional id under which the policy is published: of two at once one is fenced.
const PolicyPublisher = "concord.policy"

// Groups are the consumer groups of the roles that have one. The transactional ids of a processor start with its group and a
// dot; the gateway and the poller have none.
type Groups struct{ Reconciler, Writeback, KPI, Identity, Gateway, Poller string }

// Access returns the least a role needs, topics in the order of the table. Dead letters of a topic are written by
// whoever reads it, and by the gateway for what it would have written there; they are read by the operator, who writes to
// the topics they came from.
func Access(role Role, groups Groups) []Grant {
	var out []Grant
	add := func(resource Resource, name string, prefixed bool, operations ...Operation) {
		for _, op := range operations {
			out = append(out, Grant{role, op, resource, name, prefixed})
		}
	}
	for _, t := range table {
		if role == RoleSetup {
			add(ResourceTopic, t.Name, false, OperationCreate, OperationDescribe, OperationDescribeConfigs, OperationAlterConfigs)
			continue
		}
		read, written := accessOf(t, role)
		if read {
			add(ResourceTopic, t.Name, false, OperationRead)
		}
		if written {
			add(ResourceTopic, t.Name, false, OperationWrite)
		}
		if t.Kind == Changelog && read && written && groups.of(role) != "" && role != RolePoller {
			// How long a deleted key stays in it decides when a local store is too old.
			add(ResourceTopic, t.Name, false, OperationDescribeConfigs)
		}
	}
	if role == RolePolicy {
		add(ResourceTransactionalID, PolicyPublisher, false, OperationWrite)
	}
	if group := groups.of(role); group != "" {
		add(ResourceGroup, group, false, OperationRead)
		if role == RoleGateway {
			add(ResourceGroup, group+".", true, OperationRead) // one for each ATS it looks webhooks up in
		}
		if role != RoleGateway && role != RolePoller {
			add(ResourceTransactionalID, group+".", true, OperationWrite)
		}
	}
	return out
}

func accessOf(t Topic, role Role) (read, written bool) {
	if t.Kind != Letters {
		u := uses[t.Name]
		written = slices.Contains(u.written, role) || (role == RoleOperator && slices.Contains(Sources(), t.Name))
		return slices.Contains(u.read, role), written
	}
	source := strings.TrimSuffix(t.Name, DeadLetterSuffix)
	if role == RoleGateway {
		return false, source == ATSChanges || source == ScreeningEvents || source == GatewayUnresolved
	}
	runs := role == RoleReconciler || role == RoleWriteback || role == RoleKPI || role == RoleIdentity
	return role == RoleOperator, runs && slices.Contains(uses[source].read, role)
}

func (g Groups) of(role Role) string {
	switch role {
	case RoleReconciler:
		return g.Reconciler
	case RoleWriteback:
		return g.Writeback
	case RoleKPI:
		return g.KPI
	case RoleGateway:
		return g.Gateway
	case RoleIdentity:
		return g.Identity
	case RolePoller:
		return g.Poller
	default:
		return ""
	}
}

// Commands returns the arguments of kafka-acls that give a principal the grants of a role, such as
// User:concord-kpi: one command for all names of the same kind and operations.
func Commands(principal string, grants []Grant) [][]string {
	type target struct {
		resource Resource
		name     string
		prefixed bool
	}
	var order []target
	operations := map[target][]string{}
	for _, g := range grants {
		at := target{g.Resource, g.Name, g.Prefixed}
		if operations[at] == nil {
			order = append(order, at)
		}
		operations[at] = append(operations[at], string(g.Operation))
	}
	var out [][]string
	index := map[string]int{}
	for _, at := range order {
		same := fmt.Sprint(at.resource, at.prefixed, operations[at])
		i, ok := index[same]
		if !ok {
			i = len(out)
			index[same] = i
			command := []string{"--add", "--allow-principal", principal}
			for _, op := range operations[at] {
				command = append(command, "--operation", op)
			}
			if at.prefixed {
				command = append(command, "--resource-pattern-type", "prefixed")
			}
			out = append(out, command)
		}
		out[i] = append(out[i], "--"+string(at.resource), at.name)
	}
	return out
}
