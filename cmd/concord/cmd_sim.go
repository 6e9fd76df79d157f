package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats/atssim"
)

func (a *app) simCommand() *cobra.Command {
	var (
		listen, webhookURL        string
		secretFile, webhookSecret string
		cfg                       = atssim.Config{ClientID: "concord"}
		faults                    []string
		mild                      bool
	)
	cmd := &cobra.Command{
		Use:   "ats",
		Short: "Run a simulated ATS of the Greenhouse dialect until interrupted",
		Long: "Run a simulated ATS of the Greenhouse dialect: an HTTP server with its own store, signed webhooks, a journal of every\n" +
			"request and change, and faults by seed. State and journal are under /_sim/. It is for tests; it holds nothing back.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			cfg.Webhooks.URL = webhookURL
			for _, secret := range []struct {
				path string
				to   *string
			}{{secretFile, &cfg.ClientSecret}, {webhookSecret, &cfg.Webhooks.Secret}} {
				if secret.path == "" {
					continue
				}
				content, err := os.ReadFile(secret.path)
				if err != nil {
					return &usageError{err}
				}
				*secret.to = strings.TrimRight(string(content), "\r\n")
			}
			rates, err := simFaults(faults, mild)
			if err != nil {
				return err
			}
			cfg.Faults = rates
			if err := cfg.Validate(); err != nil {
				return &usageError{err}
			}
			server, err := atssim.New(cfg)
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			a.log.Info("simulated ATS is up", zap.String("url", "http://"+l.Addr().String()), zap.Uint64("seed", cfg.Seed))
			fmt.Fprintf(a.stdout, "http://%s\n", l.Addr())
			if err := server.Serve(cmd.Context(), l); err != nil && !errors.Is(err, cmd.Context().Err()) {
				return err
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:8090", "host:port")
	flags.Uint64Var(&cfg.Seed, "seed", 1, "decides every fault")
	flags.StringVar(&webhookURL, "webhook-url", "", "where webhooks go; none when empty")
	flags.StringVar(&cfg.ClientID, "client-id", cfg.ClientID, "the OAuth2 client it accepts")
	flags.StringVar(&secretFile, "client-secret-file", "", "file of its OAuth2 secret; the secret is \"secret\" when left out")
	flags.StringVar(&webhookSecret, "webhook-secret-file", "", "file of the secret that signs its webhooks")
	flags.BoolVar(&mild, "faults", false, "misbehave at rates a run gets on with")
	flags.StringArrayVar(&faults, "fault", nil, "one fault's rate, such as lost_write=0.05; repeatable")
	return group("sim", "Run simulated systems", cmd)
}

func simFaults(given []string, mild bool) (atssim.Rates, error) {
	rates := atssim.Rates{}
	if mild {
		rates = atssim.Mild()
	}
	for _, g := range given {
		name, value, ok := strings.Cut(g, "=")
		rate, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return nil, usage("--fault %s: give name=rate", g)
		}
		if !slices.Contains(atssim.Faults(), atssim.Fault(name)) {
			names := make([]string, 0, len(atssim.Faults()))
			for _, f := range atssim.Faults() {
				names = append(names, string(f))
			}
			return nil, usage("--fault %s: no such fault; there are %s", name, strings.Join(names, ", "))
		}
		rates[atssim.Fault(name)] = rate
	}
	return rates, nil
}
