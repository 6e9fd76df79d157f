package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/local"
	"github.com/concord-ats/concord/pkg/topics"
)

// topicOptions is what topics should be like on the cluster that cl is connected to.
func (a *app) topicOptions(ctx context.Context, cl *kgo.Client) (topics.Options, error) {
	there, err := kadm.NewClient(cl).BrokerMetadata(ctx)
	if err != nil {
		return topics.Options{}, fmt.Errorf("ask kafka which cluster it is: %w", err)
	}
	return topics.Options{
		Partitions: int32(a.cfg.Kafka.Partitions), Replication: int16(a.cfg.Kafka.Replication), Embedded: there.Cluster == local.ClusterID,
	}, nil
}

func (a *app) topicsCommand() *cobra.Command {
	update := false
	create := a.jsonFlag(&cobra.Command{
		Use:   "create",
		Short: "Create the topics that are missing",
		Long: "Create the topics that are missing, with kafka.partitions partitions and kafka.replication replicas each.\n" +
			"Existing topics stay as they are unless --update is given; a partition count is never changed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			cl, err := a.kafka(cmd.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			o, err := a.topicOptions(cmd.Context(), cl)
			if err != nil {
				return err
			}
			results, err := topics.Create(cmd.Context(), cl, o, update)
			if len(results) == 0 {
				return err
			}
			if a.json {
				if printErr := a.printJSON(results); printErr != nil {
					return printErr
				}
			} else {
				rows := make([][]string, 0, len(results))
				for _, r := range results {
					rows = append(rows, []string{r.Topic, string(r.Action)})
				}
				if printErr := a.table([]string{"TOPIC", "RESULT"}, rows); printErr != nil {
					return printErr
				}
			}
			if err != nil {
				return fmt.Errorf("%w: %w", errRefused, err)
			}
			return nil
		},
	})
	create.Flags().BoolVar(&update, "update", false, "also give existing topics the settings they lack")

	check := a.jsonFlag(&cobra.Command{
		Use:   "check",
		Short: "Explain every difference between the cluster and what Concord needs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			cl, err := a.kafka(cmd.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			o, err := a.topicOptions(cmd.Context(), cl)
			if err != nil {
				return err
			}
			findings, err := topics.Check(cmd.Context(), cl, o)
			if err != nil {
				return err
			}
			if a.json {
				if findings == nil {
					findings = []topics.Finding{}
				}
				if err := a.printJSON(findings); err != nil {
					return err
				}
			} else {
				for _, f := range findings {
					fmt.Fprintln(a.stdout, f)
				}
			}
			if len(findings) > 0 {
				return fmt.Errorf("%w: %d findings", errRefused, len(findings))
			}
			a.say("%d topics are as they should be", len(topics.Table()))
			return nil
		},
	})

	list := a.jsonFlag(&cobra.Command{
		Use:   "ls",
		Short: "List the topics Concord uses, with their settings",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			type row struct {
				Topic      string            `json:"topic"`
				Kind       string            `json:"kind"`
				Partitions int               `json:"partitions"`
				Settings   map[string]string `json:"settings"`
			}
			var out []row
			var rows [][]string
			for _, t := range topics.Table() {
				r := row{t.Name, t.Kind.String(), a.cfg.Kafka.Partitions, map[string]string{}}
				text := ""
				for _, s := range t.Settings(a.cfg.Embedded) {
					r.Settings[s.Key] = s.Value
					text += s.Key + "=" + s.Value + " "
				}
				out = append(out, r)
				rows = append(rows, []string{r.Topic, r.Kind, strconv.Itoa(r.Partitions), text})
			}
			if a.json {
				return a.printJSON(out)
			}
			return a.table([]string{"TOPIC", "KIND", "PARTITIONS", "SETTINGS"}, rows)
		},
	})
	return group("topics", "Create and check the Kafka topics", create, check, list, a.aclsCommand())
}
