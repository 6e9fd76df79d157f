package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/cmd/concord/config"
)

// Every role in docker-compose.yml must start from the environment and the command given there.
func TestComposeEnvironmentsAreAccepted(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Image       string
			Command     []string
			Environment map[string]string
		}
		Secrets map[string]struct{ File string }
	}
	if err := yaml.Unmarshal(content, &compose); err != nil {
		t.Fatal(err)
	}
	var secrets []string
	for name, s := range compose.Secrets {
		secrets = append(secrets, "/run/secrets/"+name, "../../"+s.File)
	}
	ours := 0
	for name, service := range compose.Services {
		if service.Image != "concord:local" {
			continue
		}
		ours++
		var env []string
		for key, value := range service.Environment {
			env = append(env, key+"="+strings.NewReplacer(secrets...).Replace(value))
		}
		if _, err := config.Load(config.Input{Env: env}); err != nil {
			t.Errorf("service %s: %v", name, err)
		}
		a := &app{stdin: strings.NewReader(""), stdout: t.Output(), stderr: t.Output()}
		cmd, args, err := a.root().Find(service.Command)
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err == nil && cmd.Args != nil {
			err = cmd.Args(cmd, cmd.Flags().Args())
		}
		if err != nil || !cmd.Runnable() || cmd.HasSubCommands() {
			t.Errorf("service %s: `concord %s` is no command: %v", name, fmt.Sprint(service.Command), err)
		}
	}
	if ours != 7 {
		t.Errorf("%d services of ours, want 7", ours)
	}
}
