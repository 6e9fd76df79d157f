//go:build unix

package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The kernel takes the ports of outgoing connections from 32768 up. A service's port must not be among them: while the
// service is down a client could be given it, even by connecting to itself.
const (
	firstPort = 15_000
	lastPort  = 32_000
)

// freePorts returns n different ports of loopback on which nothing listens.
func freePorts(n int) ([]int, error) {
	var out []int
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	var last error
	for tries := 0; len(out) < n; tries++ {
		if tries == 100*n {
			return nil, fmt.Errorf("find %d free ports on loopback: %w", n, errors.Join(errors.New("too many are taken"), last))
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			last = err
			continue
		}
		held, out = append(held, l), append(out, port)
	}
	return out, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
