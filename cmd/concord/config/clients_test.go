package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// authority is a certificate authority of one test, with its files.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.key, a.cert = a.issue(t, "ca", nil)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// issue writes name.pem and name.key; without a parent it signs itself.
func (a *authority) issue(t *testing.T, name string, parent *authority) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: parent == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, signerKey := template, key
	if parent != nil {
		signer, signerKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key, cert
}

// server is a server's TLS configuration that demands a client certificate of this authority.
func (a *authority) server(t *testing.T) *tls.Config {
	t.Helper()
	a.issue(t, "server", a)
	a.issue(t, "client", a)
	pair, err := tls.LoadX509KeyPair(a.path("server.pem"), a.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
}

func load(t *testing.T, env ...string) Config {
	t.Helper()
	l, err := Load(Input{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return l.Config
}

func TestKafkaOverMutualTLSAndSASL(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.TLS(ca.server(t)), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", "scram256", "secret"), kfake.Superuser("SCRAM-SHA-512", "scram512", "secret"), kfake.Superuser("PLAIN", "plain", "secret"),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	secret := write(t, "password", "secret\n")
	base := []string{
		"CONCORD_KAFKA_BROKERS=" + strings.Join(cluster.ListenAddrs(), ","), "CONCORD_KAFKA_TLS_ENABLED=true",
		"CONCORD_KAFKA_TLS_CERT_FILE=" + ca.path("client.pem"), "CONCORD_KAFKA_TLS_KEY_FILE=" + ca.path("client.key"),
	}
	ping := func(env ...string) error {
		opts, err := load(t, append(base[:len(base):len(base)], env...)...).Kafka.Options()
		if err != nil {
			t.Fatal(err)
		}
		cl, err := kgo.NewClient(opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return cl.Ping(ctx)
	}
	trusted := "CONCORD_KAFKA_TLS_CA_FILE=" + ca.path("ca.pem")
	for mechanism, user := range map[string]string{"scram-sha-256": "scram256", "scram-sha-512": "scram512", "plain": "plain"} {
		sasl := []string{trusted, "CONCORD_KAFKA_SASL_MECHANISM=" + mechanism, "CONCORD_KAFKA_SASL_USERNAME=" + user}
		if err := ping(append(sasl, "CONCORD_KAFKA_SASL_PASSWORD_FILE="+secret)...); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		if err := ping(append(sasl, "CONCORD_KAFKA_SASL_PASSWORD=wrong")...); err == nil {
			t.Errorf("%s: a wrong password is accepted", mechanism)
		}
	}
	var unknown *tls.CertificateVerificationError
	if err := ping("CONCORD_KAFKA_TLS_CA_FILE=" + stranger.path("ca.pem")); !errors.As(err, &unknown) {
		t.Errorf("a server of another authority: %v", err)
	}
}

func TestRedisOverMutualTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := miniredis.NewMiniRedis()
	if err := server.StartTLS(ca.server(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	server.RequireUserAuth("concord", "secret")
	env := []string{
		"CONCORD_REDIS_ADDR=" + server.Addr(), "CONCORD_REDIS_USERNAME=concord", "CONCORD_REDIS_TLS_ENABLED=true", "CONCORD_REDIS_TLS_CA_FILE=" + ca.path("ca.pem"),
		"CONCORD_REDIS_TLS_CERT_FILE=" + ca.path("client.pem"), "CONCORD_REDIS_TLS_KEY_FILE=" + ca.path("client.key"),
	}
	for password, want := range map[string]bool{"secret": true, "wrong": false} {
		opts, err := load(t, append(env, "CONCORD_REDIS_PASSWORD="+password)...).Redis.Options()
		if err != nil {
			t.Fatal(err)
		}
		cl := redis.NewClient(opts)
		if err := cl.Ping(t.Context()).Err(); (err == nil) != want {
			t.Errorf("password %s: %v", password, err)
		}
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestUnusableTLSFilesAreFaults(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	noPEM := write(t, "not.pem", "hello")
	var faults Faults
	for name, tls := range map[string]TLS{
		"authority": {Enabled: true, CAFile: noPEM},
		"key":       {Enabled: true, CertFile: ca.path("ca.pem"), KeyFile: noPEM},
	} {
		if _, err := tls.client("kafka.tls"); !errors.As(err, &faults) {
			t.Errorf("%s: %v, want a fault", name, err)
		}
	}
	_, err := Load(Input{Env: []string{
		"CONCORD_REDIS_TLS_CA_FILE=" + ca.path("ca.pem"),
		"CONCORD_KAFKA_TLS_ENABLED=true", "CONCORD_KAFKA_TLS_CERT_FILE=" + ca.path("ca.pem"), "CONCORD_KAFKA_TLS_CA_FILE=/does/not/exist",
	}})
	if !errors.As(err, &faults) || len(faults) != 3 {
		t.Errorf("a file without TLS, a certificate without key, a missing file: %v, want three faults", err)
	}
}
