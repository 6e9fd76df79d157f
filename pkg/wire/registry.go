package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/concord-ats/concord/schemas"
)

// errNoSchema says that the registry answered, and has no such schema. Anything else that goes wrong is worth a retry.
var errNoSchema = errors.New("the registry has no such schema")

// registry asks a registry that speaks the Confluent API. Safe for concurrent use.
type registry struct {
	client  *sr.Client
	timeout time.Duration
}

// maxAnswer bounds an answer of the registry, in bytes.
const maxAnswer = 8 << 20

// cappedTransport cuts answers at maxAnswer, so that a wrong URL cannot take the memory.
type cappedTransport struct{ next http.RoundTripper }

// RoundTrip sends the request and bounds the body of its answer.
func (t cappedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

func newRegistry(cfg Config) (*registry, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS, ForceAttemptHTTP2: true,
		MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second,
	}
	opts := []sr.ClientOpt{
		sr.URLs(slices.Clone(cfg.URLs)...),
		sr.UserAgent("concord"),
		sr.HTTPClient(&http.Client{Transport: cappedTransport{transport}, Timeout: cfg.Timeout}),
	}
	if cfg.Username != "" || cfg.Password != "" {
		opts = append(opts, sr.BasicAuth(cfg.Username, cfg.Password))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("open schema registry client: %w", err)
	}
	return &registry{client: client, timeout: cfg.Timeout}, nil
}

// noSchema makes an answer that the schema, subject or version does not exist errNoSchema. Such an answer has one of the
// registry's own codes: a bare 404 is more likely a wrong URL or a proxy, and must not condemn records.
func noSchema(err error) error {
	var answer *sr.ResponseError
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && answer.ErrorCode/100 == http.StatusNotFound {
		return fmt.Errorf("%w (code %d)", errNoSchema, answer.ErrorCode)
	}
	return err
}

// byID returns the text of a schema, or errNoSchema.
func (r *registry) byID(ctx context.Context, id uint32) (string, error) {
	s, err := r.client.SchemaByID(ctx, int(id))
	if err != nil {
		return "", noSchema(err)
	}
	return avroText(s)
}

// latest returns the text of the newest schema of a subject, or errNoSchema.
func (r *registry) latest(ctx context.Context, subject string) (string, error) {
	s, err := r.client.SchemaByVersion(ctx, subject, -1)
	if err != nil {
		return "", noSchema(err)
	}
	return avroText(s.Schema)
}

// avroText returns the text of an Avro schema. One of another kind is as good as none: nothing we read is written with it.
func avroText(s sr.Schema) (string, error) {
	if s.Type != sr.TypeAvro {
		return "", fmt.Errorf("%w: it is of type %s, not Avro", errNoSchema, s.Type)
	}
	return s.Schema, nil
}

// Register checks every subject like [Schemas.Check], registers the schemas that are missing and learns all ids. It
// changes nothing when one subject fails the check. It does nothing with static ids. It can be repeated.
func (s *Schemas) Register(ctx context.Context) error {
	if s.registry == nil {
		return nil
	}
	if err := s.Check(ctx); err != nil {
		return err
	}
	return s.learn(func(subject string, schema sr.Schema) (int, error) {
		id, err := s.registry.client.RegisterSchema(ctx, subject, schema, -1, -1)
		if err != nil {
			return 0, fmt.Errorf("register schema of %s: %w", subject, err)
		}
		return id, nil
	})
}

// Lookup learns all ids without registering anything, for programs that may not. A schema that is not registered is an
// error that says so. It does nothing with static ids.
func (s *Schemas) Lookup(ctx context.Context) error {
	if s.registry == nil {
		return nil
	}
	return s.learn(func(subject string, schema sr.Schema) (int, error) {
		found, err := s.registry.client.LookupSchema(ctx, subject, schema)
		if err = noSchema(err); errors.Is(err, errNoSchema) {
			return 0, fmt.Errorf("look up schema of %s: not registered; run `concord schemas register`", subject)
		}
		if err != nil {
			return 0, fmt.Errorf("look up schema of %s: %w", subject, err)
		}
		return found.ID, nil
	})
}

// learn asks for the id of every topic's schema and publishes them all, or none.
func (s *Schemas) learn(ask func(subject string, schema sr.Schema) (int, error)) error {
	ids := map[string]uint32{}
	for _, t := range schemas.Topics() {
		text, err := schemas.Text(t.Record)
		if err != nil {
			return err
		}
		id, err := ask(t.Subject(), sr.Schema{Schema: text, Type: sr.TypeAvro})
		if err != nil {
			return err
		}
		if id <= 0 || int64(id) != int64(uint32(id)) {
			return fmt.Errorf("schema id of %s: the registry gave %d", t.Subject(), id)
		}
		ids[t.Name] = uint32(id)
	}
	return s.publish(ids)
}

// Check compares every schema with the newest one in the registry, by our own rules ([schemas.CheckEvolution]). The
// error joins what is wrong in every subject; a subject the registry does not have yet is right. Static ids have nothing
// to compare with. It changes nothing.
func (s *Schemas) Check(ctx context.Context) error {
	if s.registry == nil {
		return nil
	}
	var faults []error
	for _, t := range schemas.Topics() {
		text, err := s.registry.latest(ctx, t.Subject())
		if errors.Is(err, errNoSchema) {
			continue
		}
		if err != nil {
			return fmt.Errorf("fetch latest schema of %s: %w", t.Subject(), err)
		}
		older, err := schemas.Parse([]byte(text))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: the registered schema cannot be read: %w", t.Subject(), err))
			continue
		}
		newer, err := schemas.Get(t.Record)
		if err != nil {
			return err
		}
		if err := schemas.CheckEvolution(older, newer); err != nil {
			faults = append(faults, fmt.Errorf("%s: not compatible with the registered schema: %w", t.Subject(), err))
		}
	}
	return errors.Join(faults...)
}
