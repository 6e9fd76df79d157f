package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) healthCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "health",
		Short: "Ask the process on this machine whether it makes progress, and why not",
		Long: "Ask /readyz at http.listen. The exit code is 0 when every part makes progress, else 1: for health checks where\n" +
			"there is no shell.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			host, port, err := net.SplitHostPort(a.cfg.HTTP.Listen)
			if err != nil {
				return usage("http.listen is empty: the process answers no health checks")
			}
			if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
				host = "127.0.0.1"
			}
			ready, body, err := askReady(cmd.Context(), "http://"+net.JoinHostPort(host, port)+"/readyz")
			if err != nil {
				return err
			}
			if a.json {
				if _, err := a.stdout.Write(body); err != nil {
					return fmt.Errorf("print: %w", err)
				}
			} else {
				rows := make([][]string, 0, len(ready.Parts))
				for _, p := range ready.Parts {
					state := "ready"
					if !p.Ready {
						state = strings.Join(p.Reasons, "; ")
					}
					rows = append(rows, []string{p.Name, state})
				}
				for _, d := range ready.Degraded {
					rows = append(rows, []string{"", d})
				}
				if err := a.table([]string{"PART", "STATE"}, rows); err != nil {
					return err
				}
			}
			if !ready.Ready {
				return errFindings
			}
			return nil
		},
	})
}

func askReady(ctx context.Context, address string) (readiness, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return readiness{}, nil, fmt.Errorf("ask %s: %w", address, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return readiness{}, nil, fmt.Errorf("ask: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return readiness{}, nil, fmt.Errorf("ask %s: %w", address, err)
	}
	var out readiness
	if err := json.Unmarshal(body, &out); err != nil {
		return readiness{}, nil, fmt.Errorf("ask %s: answer %d is no readiness: %w", address, response.StatusCode, err)
	}
	return out, body, nil
}
