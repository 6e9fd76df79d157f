//go:build unix

package cluster

import (
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// leastJava is what Kafka 4 asks for.
const leastJava = 17

var javaVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// requirements says in one error which of the programs a cluster needs are missing, and how to install them.
func requirements(cfg Config) error {
	var missing, packages []string
	lacks := func(what, pkg string) {
		missing, packages = append(missing, what), append(packages, pkg)
	}
	if out, err := exec.Command("java", "-version").CombinedOutput(); err != nil {
		lacks(fmt.Sprintf("java %d or later", leastJava), "openjdk-17-jre-headless")
	} else if m := javaVersion.FindSubmatch(out); m == nil {
		lacks(fmt.Sprintf("a java that says its version (this one: %q)", out), "openjdk-17-jre-headless")
	} else if v, _ := strconv.Atoi(string(m[1])); v < leastJava {
		lacks(fmt.Sprintf("java %d or later (found %d)", leastJava, v), "openjdk-17-jre-headless")
	}
	if _, err := exec.LookPath("mvn"); err != nil && !downloaded() {
		lacks("mvn", "maven")
	}
	if _, err := exec.LookPath("redis-server"); err != nil && cfg.Redis {
		lacks("redis-server", "redis-server")
	}
	if len(missing) == 0 {
		return nil
	}
	install := "sudo apt-get install -y --no-install-recommends " + strings.Join(packages, " ")
	if runtime.GOOS == "darwin" {
		install = "brew install openjdk@17 maven redis"
	}
	return fmt.Errorf("not installed: %s\ninstall with: %s", strings.Join(missing, ", "), install)
}
