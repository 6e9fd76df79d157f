package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/concord-ats/concord/pkg/wire"
)

// Options returns what every Kafka client of this process needs: addresses, client id, TLS and SASL.
func (k Kafka) Options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(k.Brokers...), kgo.ClientID(k.ClientID)}
	if k.TLS.Enabled {
		c, err := k.TLS.client("kafka.tls")
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	user, password := k.SASL.Username, k.SASL.Password.Reveal()
	switch k.SASL.Mechanism {
	case "scram-sha-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism()))
	case "scram-sha-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
	case "plain":
		opts = append(opts, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	}
	return opts, nil
}

// Options returns the Redis server's address and credentials. Timeouts and retries are the caller's.
func (r Redis) Options() (*redis.Options, error) {
	opts := &redis.Options{Addr: r.Addr, Username: r.Username, Password: r.Password.Reveal(), DB: r.DB}
	if r.TLS.Enabled {
		c, err := r.TLS.client("redis.tls")
		if err != nil {
			return nil, err
		}
		opts.TLSConfig = c
	}
	return opts, nil
}

// Config returns the schema registry's address and credentials. With static ids there is no registry to ask.
func (r Registry) Config() (wire.Config, error) {
	if r.Static {
		return wire.Config{}, nil
	}
	out := wire.Config{URLs: []string{r.URL}, Username: r.Username, Password: r.Password.Reveal()}
	if r.TLS.Enabled {
		c, err := r.TLS.client("registry.tls")
		if err != nil {
			return wire.Config{}, err
		}
		out.TLS = c
	}
	return out, nil
}

// client builds the TLS configuration; a file that cannot be used is a fault of the configuration.
func (t TLS) client(key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read %s.ca_file: %w", key, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, Faults{{key + ".ca_file", t.CAFile, "holds no PEM certificate"}}
		}
	}
	if t.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, Faults{{key + ".cert_file", t.CertFile, "is no PEM certificate that belongs to " + t.KeyFile}}
		}
		c.Certificates = []tls.Certificate{certificate}
	}
	return c, nil
}
