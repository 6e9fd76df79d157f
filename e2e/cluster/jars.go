//go:build unix

package cluster

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

//go:embed pom.xml
var pom []byte

// jars is the folder of what was downloaded for one pom.xml: kafka/*.jar and registry/.
type jars string

func (j jars) kafka() string { return filepath.Join(string(j), "kafka", "*") }

// registry is the jar to run.
func (j jars) registry() (string, error) {
	found, err := filepath.Glob(filepath.Join(string(j), "registry", "*-runner.jar"))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%s/registry holds %d runner jars, want one: remove that folder to have it downloaded again", j, len(found))
	}
	return found[0], nil
}

// cache returns the folder for this pom.xml; another version of a service is another folder.
func cache() (jars, error) {
	root, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder: %w", err)
	}
	sum := sha256.Sum256(pom)
	return jars(filepath.Join(root, "concord", "services-"+hex.EncodeToString(sum[:6]))), nil
}

func downloaded() bool {
	j, err := cache()
	if err != nil {
		return false
	}
	_, err = os.Stat(string(j))
	return err == nil
}

// download fetches the jars unless they are there. Processes that ask at the same time wait for one of them.
func download(ctx context.Context, log io.Writer) (jars, error) {
	j, err := cache()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(string(j)), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(string(j)+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for another download into %s: %w", j, ctx.Err())
		case <-time.After(pollInterval):
		}
	}
	if downloaded() {
		return j, nil
	}
	fmt.Fprintf(log, "downloading Kafka and the schema registry into %s (200 MB, once)\n", j)
	partial := string(j) + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(partial, "pom.xml")
	if err := os.WriteFile(file, pom, 0o644); err != nil {
		return "", err
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "-Dout="+partial,
		"dependency:copy-dependencies@kafka", "dependency:unpack@registry")
	if out, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download the jars of e2e/cluster/pom.xml with mvn: %w\n%s", err, out)
	}
	return j, os.Rename(partial, string(j))
}
