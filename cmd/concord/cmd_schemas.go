package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/schemas"
)

// schemas returns the ids of the contract, known: registered where register is set, looked up otherwise. It waits for
// the registry.
func (a *app) schemas(ctx context.Context, register bool) (*wire.Schemas, error) {
	cfg, err := a.cfg.Registry.Config()
	if err != nil {
		return nil, err
	}
	s, err := wire.Open(cfg)
	if err != nil {
		return nil, err
	}
	learn := s.Lookup
	if register {
		learn = s.Register
	}
	if err := a.retry(ctx, "the schema registry", answered(learn)); err != nil {
		return nil, err
	}
	return s, nil
}

// answered tells a registry that is away, which is worth waiting for, from one that answered and does not have what is
// needed.
func answered(ask func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := ask(ctx)
		var unreachable *url.Error
		var response *sr.ResponseError
		switch {
		case err == nil, errors.As(err, &unreachable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
			errors.As(err, &response) && response.StatusCode >= http.StatusInternalServerError:
			return err
		}
		return fmt.Errorf("%w: %w", errRefused, err)
	}
}

func (a *app) schemasCommand() *cobra.Command {
	register := a.jsonFlag(&cobra.Command{
		Use:   "register",
		Short: "Register the schemas that the registry lacks",
		Long: "Check every schema against the newest one in the registry, by the rules of the contract, then register\n" +
			"those that are missing. Nothing is registered when one of them breaks a rule.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			s, err := a.schemas(cmd.Context(), true)
			if err != nil {
				return err
			}
			return a.printSchemas(s)
		},
	})
	check := a.jsonFlag(&cobra.Command{
		Use:   "check",
		Short: "Check the schemas against the registry; change nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			cfg, err := a.cfg.Registry.Config()
			if err != nil {
				return err
			}
			s, err := wire.Open(cfg)
			if err != nil {
				return err
			}
			if err := a.retry(cmd.Context(), "the schema registry", answered(s.Check)); err != nil {
				return err
			}
			if err := answered(s.Lookup)(cmd.Context()); err != nil {
				return err
			}
			return a.printSchemas(s)
		},
	})
	return group("schemas", "Register and check the Avro schemas", register, check)
}

func (a *app) printSchemas(s *wire.Schemas) error {
	type row struct {
		Subject string `json:"subject"`
		Record  string `json:"record"`
		ID      uint32 `json:"id"`
	}
	var out []row
	var rows [][]string
	for _, t := range schemas.Topics() {
		id, _ := s.ID(t.Name)
		out = append(out, row{t.Subject(), t.Record, id})
		rows = append(rows, []string{t.Subject(), t.Record, strconv.FormatUint(uint64(id), 10)})
	}
	if a.json {
		return a.printJSON(out)
	}
	return a.table([]string{"SUBJECT", "RECORD", "ID"}, rows)
}
