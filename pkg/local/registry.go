package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// registry serves srfake over HTTP and, where it has a journal, makes its content
// survive. The journal holds the changing requests in order, one JSON object a line,
// written and synced before the request is applied. Applying them again to an empty
// registry yields the same ids, as these depend on nothing but the order.
type registry struct {
	addr    string
	fake    *srfake.Registry
	server  *http.Server
	served  chan error
	mu      sync.Mutex // serialises changes, so that journal order is the order applied
	journal *os.File   // nil keeps nothing
}

// change is one line of the journal.
type change struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Query  string          `json:"query,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
}

const maxSchemaBytes = 1 << 20

func startRegistry(ctx context.Context, cfg Config) (*registry, error) {
	r := &registry{fake: srfake.NewRegistry(), served: make(chan error, 1)}
	if cfg.Dir != "" {
		if err := r.open(filepath.Join(cfg.Dir, "registry.jsonl")); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", loopback(cfg.RegistryPort))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded registry: %w", err), r.closeJournal())
	}
	r.addr = ln.Addr().String()
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	go func() { r.served <- r.server.Serve(ln) }()
	return r, nil
}

// open reads the journal, applies it and cuts off a last line that a crash left
// unfinished: its request was never answered.
func (r *registry) open(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open registry journal: %w", err)
	}
	r.journal = f
	content, err := io.ReadAll(f)
	if err != nil {
		return errors.Join(fmt.Errorf("read registry journal: %w", err), r.closeJournal())
	}
	whole := bytes.LastIndexByte(content, '\n') + 1
	for n, line := range bytes.Split(bytes.TrimSuffix(content[:whole], []byte{'\n'}), []byte{'\n'}) {
		if len(line) == 0 {
			continue
		}
		var c change
		if err := json.Unmarshal(line, &c); err != nil {
			return errors.Join(fmt.Errorf("read registry journal %s, line %d: %w", path, n+1, err), r.closeJournal())
		}
		if _, err := r.apply(context.Background(), c); err != nil {
			return errors.Join(fmt.Errorf("apply registry journal %s, line %d: %w", path, n+1, err), r.closeJournal())
		}
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return errors.Join(fmt.Errorf("cut registry journal: %w", err), r.closeJournal())
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return errors.Join(fmt.Errorf("cut registry journal: %w", err), r.closeJournal())
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.journal == nil || !changes(req) {
		r.fake.Handler().ServeHTTP(w, req)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxSchemaBytes))
	if err != nil {
		http.Error(w, `{"error_code":413,"message":"schema too large"}`, http.StatusRequestEntityTooLarge)
		return
	}
	if len(body) > 0 && !json.Valid(body) {
		http.Error(w, `{"error_code":42201,"message":"body is not JSON"}`, http.StatusUnprocessableEntity)
		return
	}
	c := change{Method: req.Method, Path: req.URL.EscapedPath(), Query: req.URL.RawQuery, Body: body}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.known(req.Context(), c) {
		if err := r.record(c); err != nil {
			http.Error(w, `{"error_code":50001,"message":"registry journal cannot be written"}`, http.StatusInternalServerError)
			return
		}
	}
	reply, err := r.apply(context.WithoutCancel(req.Context()), c)
	if err != nil {
		http.Error(w, `{"error_code":50001,"message":"request cannot be applied"}`, http.StatusInternalServerError)
		return
	}
	reply.copyTo(w)
}

// changes reports whether a request changes the registry. Lookups and compatibility
// checks are POSTs that do not.
func changes(req *http.Request) bool {
	switch req.Method {
	case http.MethodPut, http.MethodDelete:
		return true
	case http.MethodPost:
		return strings.HasSuffix(req.URL.Path, "/versions") && !strings.Contains(req.URL.Path, "/compatibility/")
	default:
		return false
	}
}

// known reports whether a registration names a schema its subject already has. Clients
// register at every start; without this the journal would grow with each.
func (r *registry) known(ctx context.Context, c change) bool {
	if c.Method != http.MethodPost {
		return false
	}
	lookup := c
	lookup.Path = strings.TrimSuffix(c.Path, "/versions")
	reply, err := r.apply(ctx, lookup)
	return err == nil && reply.status == http.StatusOK
}

func (r *registry) record(c change) error {
	line, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write registry journal: %w", err)
	}
	end, err := r.journal.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("write registry journal: %w", err)
	}
	if _, err = r.journal.Write(append(line, '\n')); err == nil {
		err = r.journal.Sync()
	}
	if err != nil {
		// Half a line must not stand in front of the next one.
		_, seekErr := r.journal.Seek(end, io.SeekStart)
		return errors.Join(fmt.Errorf("write registry journal: %w", err), r.journal.Truncate(end), seekErr)
	}
	return nil
}

func (r *registry) apply(ctx context.Context, c change) (*reply, error) {
	u, err := url.Parse(c.Path)
	if err != nil {
		return nil, fmt.Errorf("parse registry path: %w", err)
	}
	u.RawQuery = c.Query
	req, err := http.NewRequestWithContext(ctx, c.Method, u.String(), bytes.NewReader(c.Body))
	if err != nil {
		return nil, fmt.Errorf("build registry request: %w", err)
	}
	out := &reply{status: http.StatusOK, header: make(http.Header)}
	r.fake.Handler().ServeHTTP(out, req)
	return out, nil
}

func (r *registry) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := r.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		// Connections that were opened ahead and never used: no request is in hand.
		err = r.server.Close()
	}
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return errors.Join(err, r.closeJournal())
}

func (r *registry) closeJournal() error {
	if r.journal == nil {
		return nil
	}
	return r.journal.Close()
}

// reply holds an answer until the change behind it is known to be kept.
type reply struct {
	status int
	header http.Header
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *reply) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *reply) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *reply) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *reply) copyTo(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	if _, err := w.Write(r.body.Bytes()); err != nil {
		return // the client is gone; the change stands, as with any server
	}
}
