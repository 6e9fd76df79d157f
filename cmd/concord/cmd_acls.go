package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/pkg/topics"
)

func (a *app) aclsCommand() *cobra.Command {
	role, principals := "", "User:concord-"
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "acls",
		Short: "Print the least each role must be allowed on the cluster, as kafka-acls commands",
		Long: "Print the least each role must be allowed on the cluster: the arguments of kafka-acls, one command a line.\n" +
			"Group names are those of the configuration. Nothing is changed, and no cluster is asked.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen := topics.Roles()
			if role != "" {
				if !slices.Contains(chosen, topics.Role(role)) {
					return usage("--role %s: give one of %v", role, chosen)
				}
				chosen = []topics.Role{topics.Role(role)}
			}
			if err := a.load(cmd); err != nil {
				return err
			}
			groups := topics.Groups{
				Reconciler: a.cfg.Reconciler.Group, Writeback: a.cfg.Writeback.Group, KPI: a.cfg.KPI.Group, Identity: a.cfg.Identity.Group, Gateway: a.cfg.Gateway.Group,
				Poller: a.cfg.Poller.Group,
			}
			type row struct {
				Principal string `json:"principal"`
				topics.Grant
			}
			var all []row
			for _, r := range chosen {
				principal, grants := principals+string(r), topics.Access(r, groups)
				for _, g := range grants {
					all = append(all, row{principal, g})
				}
				if a.json {
					continue
				}
				for _, command := range topics.Commands(principal, grants) {
					fmt.Fprintf(a.stdout, "kafka-acls.sh --bootstrap-server %s --command-config admin.properties %s\n",
						strings.Join(a.cfg.Kafka.Brokers, ","), strings.Join(command, " "))
				}
			}
			if a.json {
				return a.printJSON(all)
			}
			return nil
		},
	})
	cmd.Flags().StringVar(&role, "role", "", "only this role")
	cmd.Flags().StringVar(&principals, "principals", principals, "start of each role's principal; the role follows")
	return cmd
}
