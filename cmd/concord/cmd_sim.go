package main

import (
	"context"
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
		dialect                   string
		tenants, faults           []string
		mild, unlimited           bool
	)
	cmd := &cobra.Command{
		Use:   "ats",
		Short: "Run a simulated ATS until interrupted, to test any integration against",
		Long: "Run a simulated applicant tracking system that speaks one vendor's API: paths, credentials, status codes, pages, rate\n" +
			"limits, signed webhooks and their retries as the vendor documents them. It has its own store, faults by seed, and a\n" +
			"journal of every request and every real change.\n\n" +
			"It tests any integration with these ATSs, Concord or not: point the code under test at the URL it prints, seed\n" +
			"applications with POST /_sim/applications, act as the recruiter with POST /_sim/actions, and read what really\n" +
			"happened from GET /_sim/journal: a write done twice, a rate limit passed, an answer that lied. GET /_sim/applications\n" +
			"is the truth, POST /_sim/faults makes it misbehave. It keeps nothing from anybody who can reach it: let it listen on\n" +
			"loopback, or on a network of tests alone.\n\n" +
			"Dialects: " + strings.Join(dialects(), ", ") + ".",
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
			if cfg.Dialect, err = atssim.DialectNamed(dialect); err != nil {
				return &usageError{err}
			}
			if !unlimited {
				cfg.RateLimit = cfg.Dialect.Limits()
			}
			if err := cfg.Validate(); err != nil {
				return &usageError{err}
			}
			server, err := simServer(cfg, tenants)
			if err != nil {
				return &usageError{err}
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			a.log.Info("simulated ATS is up", zap.String("url", "http://"+l.Addr().String()), zap.String("dialect", dialect), zap.Uint64("seed", cfg.Seed))
			fmt.Fprintf(a.stdout, "http://%s\n", l.Addr())
			if err := server.Serve(cmd.Context(), l); err != nil && !errors.Is(err, cmd.Context().Err()) {
				return err
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:8090", "host:port")
	flags.StringVar(&dialect, "dialect", "greenhouse", "the vendor it speaks like: "+strings.Join(dialects(), ", "))
	flags.StringArrayVar(&tenants, "tenant", nil, "serve a tenant of this name below /<name>; repeatable, in the webhook URL {tenant} is the name")
	flags.BoolVar(&unlimited, "unlimited", false, "leave out the rate limits the vendor documents")
	flags.Uint64Var(&cfg.Seed, "seed", 1, "decides every fault")
	flags.StringVar(&webhookURL, "webhook-url", "", "where webhooks go; none when empty")
	flags.StringVar(&cfg.ClientID, "client-id", cfg.ClientID, "the OAuth2 client it accepts, where the dialect has one")
	flags.StringVar(&secretFile, "client-secret-file", "", "file of its OAuth2 secret or API key; \"secret\" when left out")
	flags.StringVar(&webhookSecret, "webhook-secret-file", "", "file of the secret that signs its webhooks")
	flags.BoolVar(&mild, "faults", false, "misbehave at rates a run gets on with")
	flags.StringArrayVar(&faults, "fault", nil, "one fault's rate, such as lost_write=0.05; repeatable")
	return group("sim", "Run simulated systems", cmd)
}

// simulated is one tenant, or several.
type simulated interface {
	Serve(ctx context.Context, l net.Listener) error
}

func simServer(cfg atssim.Config, tenants []string) (simulated, error) {
	if len(tenants) > 0 {
		return atssim.NewTenants(cfg, tenants)
	}
	return atssim.New(cfg)
}

func dialects() []string {
	var names []string
	for _, d := range atssim.Dialects() {
		names = append(names, d.Name())
	}
	return names
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
