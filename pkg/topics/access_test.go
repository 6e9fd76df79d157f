package topics

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var testGroups = Groups{Reconciler: "r", Writeback: "w", KPI: "k", Gateway: "g"}

// Every topic is written by somebody and created by one; what is read by a processor can be dead-lettered by it.
func TestEveryTopicHasItsUsers(t *testing.T) {
	t.Parallel()
	grants := map[string][]Role{}
	for _, role := range Roles() {
		for _, g := range Access(role, testGroups) {
			key := fmt.Sprintf("%s %s", g.Operation, g.Name)
			if slices.Contains(grants[key], role) {
				t.Errorf("%s has %s twice", role, key)
			}
			grants[key] = append(grants[key], role)
		}
	}
	for _, topic := range table {
		if len(grants["Write "+topic.Name]) == 0 {
			t.Errorf("nobody may write %s: name its users in uses", topic.Name)
		}
		if len(grants["Read "+topic.Name]) == 0 {
			t.Errorf("nobody may read %s: name its users in uses", topic.Name)
		}
		if got := grants["Create "+topic.Name]; !slices.Equal(got, []Role{RoleSetup}) {
			t.Errorf("%s may be created by %v, want only %s", topic.Name, got, RoleSetup)
		}
		if topic.Kind == Changelog && topic.Name != DeadLetterDispositions {
			if got := grants["Write "+topic.Name]; len(got) != 1 {
				t.Errorf("the changelog %s is written by %v, want its owner alone", topic.Name, got)
			}
		}
	}
	for name := range uses {
		if !slices.ContainsFunc(table, func(topic Topic) bool { return topic.Name == name }) {
			t.Errorf("%s has users and is not in the table", name)
		}
	}
	for _, source := range Sources() {
		for _, role := range []Role{RoleReconciler, RoleWriteback, RoleKPI} {
			if slices.Contains(grants["Read "+source], role) && !slices.Contains(grants["Write "+DeadLetter(source)], role) {
				t.Errorf("%s reads %s and may not write its dead letters", role, source)
			}
		}
		if !slices.Contains(grants["Write "+source], RoleOperator) || !slices.Contains(grants["Read "+DeadLetter(source)], RoleOperator) {
			t.Errorf("an operator cannot replay the dead letters of %s", source)
		}
	}
}

// What must stay so whatever the table says: each line is a door that would be wide open otherwise.
func TestWhatNoRoleMayDo(t *testing.T) {
	t.Parallel()
	for _, denied := range []struct {
		role      Role
		operation Operation
		topic     string
	}{
		{RoleGateway, OperationWrite, ATSCommands},
		{RoleGateway, OperationWrite, HiringControl},
		{RoleGateway, OperationRead, HiringState},
		{RoleWriteback, OperationWrite, HiringState},
		{RoleWriteback, OperationWrite, HiringDecisions},
		{RoleWriteback, OperationWrite, ATSCommands},
		{RoleKPI, OperationWrite, ATSCommands},
		{RoleKPI, OperationWrite, ATSOutcomes},
		{RoleReconciler, OperationWrite, ATSOutcomes},
		{RoleReconciler, OperationWrite, KPIWriteback},
		{RolePublisher, OperationRead, HiringState},
		{RolePublisher, OperationWrite, ATSChanges},
		{RolePublisher, OperationWrite, HiringControl},
		{RoleOperator, OperationWrite, HiringState},
		{RoleSetup, OperationRead, HiringState},
		{RoleSetup, OperationWrite, ScreeningEvents},
	} {
		if slices.Contains(Access(denied.role, testGroups), Grant{denied.role, denied.operation, ResourceTopic, denied.topic, false}) {
			t.Errorf("%s has %s on %s", denied.role, denied.operation, denied.topic)
		}
	}
	for _, role := range Roles() { // the gateway has a group for each ATS, everyone else one
		for _, g := range Access(role, testGroups) {
			if g.Resource == ResourceGroup && g.Prefixed != (g.Name == "g.") || g.Name == "g." && role != RoleGateway {
				t.Errorf("%s has the group %s, prefixed %v", role, g.Name, g.Prefixed)
			}
		}
	}
	if !slices.Contains(Access(RoleGateway, testGroups), Grant{RoleGateway, OperationRead, ResourceGroup, "g.", true}) {
		t.Error("the gateway may not join the group of an ATS")
	}
	for _, g := range Access(RoleAnalyst, testGroups) {
		if g.Operation != OperationRead || strings.HasSuffix(g.Name, DeadLetterSuffix) {
			t.Errorf("an analyst has %s on %s", g.Operation, g.Name)
		}
	}
}

func TestCommandsJoinNamesOfOneKind(t *testing.T) {
	t.Parallel()
	got := Commands("User:k", []Grant{
		{RoleKPI, OperationRead, ResourceTopic, "a", false},
		{RoleKPI, OperationRead, ResourceTopic, "b", false},
		{RoleKPI, OperationWrite, ResourceTopic, "b", false},
		{RoleKPI, OperationRead, ResourceTopic, "c", false},
		{RoleKPI, OperationWrite, ResourceTransactionalID, "k.", true},
	})
	want := []string{
		"--add --allow-principal User:k --operation Read --topic a --topic c",
		"--add --allow-principal User:k --operation Read --operation Write --topic b",
		"--add --allow-principal User:k --operation Write --resource-pattern-type prefixed --transactional-id k.",
	}
	var lines []string
	for _, c := range got {
		lines = append(lines, strings.Join(c, " "))
	}
	if !slices.Equal(lines, want) {
		t.Errorf("commands\n%q\nwant\n%q", lines, want)
	}
}
