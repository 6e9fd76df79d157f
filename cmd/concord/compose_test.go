package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/concord-ats/concord/cmd/concord/config"
)

const repository = "../.."

// compose loads docker-compose.yml as docker compose would, anchors, defaults and schema included.
func compose(t *testing.T) *types.Project {
	t.Helper()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml")}},
	}, func(o *loader.Options) { o.SetProjectName("concord", true) })
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// job says whether a service ends by itself: nothing is there to ask for its health.
func job(s types.ServiceConfig) bool { return s.Restart == "on-failure" }

// Every service has a health check and none of the rights it can do without.
func TestComposeServicesAreHealthCheckedAndLeastPrivileged(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for name, s := range project.Services {
		if job(s) {
			for _, other := range project.Services {
				if on, ok := other.DependsOn[name]; ok && on.Condition != types.ServiceConditionCompletedSuccessfully {
					t.Errorf("%s waits for the job %s to be %s", other.Name, name, on.Condition)
				}
			}
		} else if h := s.HealthCheck; h == nil || h.Disable || len(h.Test) < 2 || h.Test[0] != "CMD" || h.Interval == nil || h.Timeout == nil || h.Retries == nil {
			t.Errorf("%s: health check %+v, want a command with interval, timeout and retries", name, h)
		}
		user, _, _ := strings.Cut(s.User, ":")
		if id, err := strconv.Atoi(user); err != nil || id == 0 {
			t.Errorf("%s: user %q, want a number that is not root's", name, s.User)
		}
		if !s.ReadOnly {
			t.Errorf("%s: its root file system is writable", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged {
			t.Errorf("%s: capabilities dropped %v, added %v, privileged %v", name, s.CapDrop, s.CapAdd, s.Privileged)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: it may gain privileges", name)
		}
		if s.MemLimit == 0 {
			t.Errorf("%s: its memory has no limit", name)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to %q, want loopback", name, p.Published, p.HostIP)
			}
		}
		if s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" {
			t.Errorf("%s shares a namespace with the host", name)
		}
		if !strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %s has no version", name, s.Image)
		}
	}
}

// What a service mounts from this repository is there, read-only, and what it writes is a volume with a name.
func TestComposeMountsExist(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
					t.Errorf("%s mounts %s, read-only %v: %v", name, v.Source, v.ReadOnly, err)
				}
			} else if _, ok := project.Volumes[v.Source]; !ok {
				t.Errorf("%s mounts %q, which is no volume with a name", name, v.Source)
			}
		}
		for _, secret := range s.Secrets {
			if _, err := os.Stat(project.Secrets[secret.Source].File); err != nil {
				t.Errorf("%s: secret %s: %v", name, secret.Source, err)
			}
		}
	}
}

// Every role must start from the environment and the command given there, and there is no role that is not.
func TestComposeEnvironmentsAreAccepted(t *testing.T) {
	t.Parallel()
	project := compose(t)
	var secrets, running []string
	for name, s := range project.Secrets {
		secrets = append(secrets, "/run/secrets/"+name, s.File)
	}
	for name, service := range project.Services {
		if service.Image != "concord:local" {
			continue
		}
		var env []string
		for key, value := range service.Environment {
			env = append(env, key+"="+strings.NewReplacer(secrets...).Replace(*value))
		}
		if _, err := config.Load(config.Input{Env: env}); err != nil {
			t.Errorf("service %s: %v", name, err)
		}
		for _, command := range [][]string{service.Command, healthCommand(t, service)} {
			a := &app{stdin: strings.NewReader(""), stdout: t.Output(), stderr: t.Output()}
			cmd, args, err := a.root().Find(command)
			if err == nil {
				err = cmd.ParseFlags(args)
			}
			if err == nil && cmd.Args != nil {
				err = cmd.Args(cmd, cmd.Flags().Args())
			}
			if err != nil || !cmd.Runnable() || cmd.HasSubCommands() {
				t.Errorf("service %s: `concord %s` is no command: %v", name, command, err)
			}
		}
		running = append(running, strings.Join(service.Command[:2], " "))
	}
	want := []string{"topics create", "schemas register", "sim ats"}
	for _, role := range roles {
		want = append(want, "run "+role)
	}
	slices.Sort(running)
	slices.Sort(want)
	if !slices.Equal(running, want) {
		t.Errorf("concord runs as %q, want %q", running, want)
	}
}

// healthCommand is what a service's health check gives to concord.
func healthCommand(t *testing.T, s types.ServiceConfig) []string {
	t.Helper()
	if job(s) {
		return []string{"health"}
	}
	if len(s.HealthCheck.Test) < 3 || s.HealthCheck.Test[1] != "/concord" {
		t.Fatalf("%s: health check %v does not ask concord", s.Name, s.HealthCheck.Test)
	}
	return s.HealthCheck.Test[2:]
}

// Redis must answer with an error when it is full: an evicted dedupe key costs work, and nobody would know.
func TestComposeRedisEvictsNothing(t *testing.T) {
	t.Parallel()
	command := strings.Join(compose(t).Services["redis"].Command, " ")
	for _, want := range []string{"--maxmemory-policy noeviction", "--maxmemory 256mb"} {
		if !strings.Contains(command, want) {
			t.Errorf("redis starts with %q, want %s", command, want)
		}
	}
}

// The containers run the versions that the tests on real services run.
func TestComposeVersionsAreTheTestedOnes(t *testing.T) {
	t.Parallel()
	pom, err := os.ReadFile(filepath.Join(repository, "e2e/cluster/pom.xml"))
	if err != nil {
		t.Fatal(err)
	}
	services := compose(t).Services
	for service, property := range map[string]string{"kafka": "kafka.version", "registry": "registry.version"} {
		m := regexp.MustCompile(`<` + regexp.QuoteMeta(property) + `>([^<]+)<`).FindSubmatch(pom)
		_, tag, _ := strings.Cut(services[service].Image, ":")
		if m == nil || tag != string(m[1]) {
			t.Errorf("image %s, and e2e/cluster/pom.xml has %s %q", services[service].Image, property, m)
		}
	}
}
