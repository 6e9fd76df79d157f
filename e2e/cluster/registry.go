//go:build unix

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// registryPath is where Apicurio speaks Confluent's protocol.
const registryPath = "/apis/ccompat/v7"

// newRegistry prepares an Apicurio registry that keeps its schemas, and so their ids, in a file.
func (c *Cluster) newRegistry(port int) (*Process, error) {
	jar, err := c.jars.registry()
	if err != nil {
		return nil, err
	}
	p := c.process("registry", port)
	p.env = []string{"REGISTRY_DATASOURCE_URL=jdbc:h2:file:" + filepath.Join(p.dir, "schemas") + ";WRITE_DELAY=0"}
	p.command = func(extra []string) []string {
		line := []string{"java", "-Xmx384m", "-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port=" + strconv.Itoa(port)}
		return append(append(line, extra...), "-jar", jar)
	}
	p.ready = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Registry()+"/subjects", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", request.URL, response.Status)
		}
		return nil
	}
	return p, os.MkdirAll(p.dir, 0o755)
}
