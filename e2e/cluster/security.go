//go:build unix

package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Security makes the brokers take clients only over TLS and with SCRAM-SHA-512, and allow them only what an ACL allows.
// Brokers and controllers know each other by certificates. Certificates and the super user are made at start.
type Security struct {
	// Users are the clients' names and passwords. At first no ACL allows them anything.
	Users map[string]string
	// User is the one of them that [Cluster.Environment] names.
	User string
}

// superUser may do everything: see [Cluster.Options] and [Cluster.AdminProperties].
const superUser = "admin"

// secrets are what a secured cluster made at start.
type secrets struct {
	dir   string
	roots *x509.CertPool
	users map[string]string
}

func (s *secrets) caFile() string     { return filepath.Join(s.dir, "ca.pem") }
func (s *secrets) brokerFile() string { return filepath.Join(s.dir, "broker.pem") }

// secure writes an authority, the brokers' certificate and the super user's settings for the Java tools.
func (c *Cluster) secure() error {
	if c.cfg.Security == nil {
		return nil
	}
	s := &secrets{dir: filepath.Join(c.cfg.Dir, "security"), roots: x509.NewCertPool(), users: maps.Clone(c.cfg.Security.Users)}
	if s.users == nil {
		s.users = map[string]string{}
	}
	s.users[superUser] = rand.Text()
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	ca, broker, err := certificates()
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	if !s.roots.AppendCertsFromPEM(ca) {
		return fmt.Errorf("make certificates: the authority's own cannot be read")
	}
	for path, content := range map[string][]byte{s.caFile(): ca, s.brokerFile(): broker, s.adminFile(): s.admin()} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	c.secrets = s
	return nil
}

func (s *secrets) adminFile() string { return filepath.Join(s.dir, "admin.properties") }

func (s *secrets) admin() []byte {
	return fmt.Appendf(nil, "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"+
		"sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\" password=\"%s\";\n"+
		"ssl.truststore.type=PEM\nssl.truststore.location=%s\n", superUser, s.users[superUser], s.caFile())
}

// properties are the settings that make a node secure.
func (s *secrets) properties() map[string]string {
	out := map[string]string{
		"listener.security.protocol.map":           "CLIENT:SASL_SSL,PROXY:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
		"listener.name.internal.ssl.client.auth":   "required",
		"listener.name.controller.ssl.client.auth": "required",
		"ssl.keystore.type":                        "PEM",
		"ssl.keystore.location":                    s.brokerFile(),
		"ssl.truststore.type":                      "PEM",
		"ssl.truststore.location":                  s.caFile(),
		"sasl.enabled.mechanisms":                  "SCRAM-SHA-512",
		"authorizer.class.name":                    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                              "User:" + superUser + ";User:CN=" + brokerName,
		"allow.everyone.if.no.acl.found":           "false",
	}
	for _, listener := range []string{"client", "proxy"} {
		out["listener.name."+listener+".scram-sha-512.sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	}
	return out
}

// scram are the users as kafka-storage takes them when it formats a node.
func (s *secrets) scram() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.users)) {
		out = append(out, "--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", name, s.users[name]))
	}
	return out
}

// brokerName is the common name of the brokers' certificate.
const brokerName = "broker"

// certificates makes an authority and a certificate for loopback, valid for a day. broker holds its key too.
func certificates() (ca, broker []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
		}
	}
	authority := template(1, "e2e authority")
	authority.IsCA, authority.KeyUsage = true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leaf := template(2, brokerName)
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leaf.IPAddresses, leaf.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return block("CERTIFICATE", caDER), slices.Concat(block("PRIVATE KEY", keyDER), block("CERTIFICATE", der)), nil
}

// Options are what a client needs that may do everything: the brokers, and in a secured cluster the super user.
func (c *Cluster) Options() []kgo.Opt { return c.UserOptions(superUser) }

// UserOptions are what a client needs that is one of [Security].Users; any name will do without security.
func (c *Cluster) UserOptions(name string) []kgo.Opt { return c.at(name, c.Brokers()...) }

func (c *Cluster) at(name string, brokers ...string) []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(brokers...)}
	if s := c.secrets; s != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS()),
			kgo.SASL(scram.Auth{User: name, Pass: s.users[name]}.AsSha512Mechanism()))
	}
	return opts
}

// TLS is what a client needs to trust a secured cluster, nil without security.
func (c *Cluster) TLS() *tls.Config {
	if c.secrets == nil {
		return nil
	}
	return &tls.Config{RootCAs: c.secrets.roots, MinVersion: tls.VersionTLS12}
}

// AdminProperties is the path of a file for the Java tools' --command-config, or "" without security.
func (c *Cluster) AdminProperties() string {
	if c.secrets == nil {
		return ""
	}
	return c.secrets.adminFile()
}

// securityEnvironment tells concord how to speak to a secured cluster, and who it is.
func (c *Cluster) securityEnvironment() []string {
	if c.secrets == nil {
		return nil
	}
	user := c.cfg.Security.User
	return []string{
		"CONCORD_KAFKA_TLS_ENABLED=true", "CONCORD_KAFKA_TLS_CA_FILE=" + c.secrets.caFile(), "CONCORD_KAFKA_SASL_MECHANISM=scram-sha-512",
		"CONCORD_KAFKA_SASL_USERNAME=" + user, "CONCORD_KAFKA_SASL_PASSWORD=" + c.secrets.users[user],
	}
}

// plain is the map of listeners without security.
const plain = "CLIENT:PLAINTEXT,PROXY:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
