package main

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// health is what /readyz tells. Safe for concurrent use.
type health struct {
	mu      sync.Mutex
	waiting string // what a start waits for; "" before and after
	parts   []part // nil until the parts run
	doubts  []func() []string
}

// doubt adds something that says in words what a process does without: a service it goes on without, a system it does
// not call. It must be safe for concurrent use.
func (h *health) doubt(words func() []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubts = append(h.doubts, words)
}

func (h *health) wait(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = reason
}

func (h *health) started(parts []part) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts, h.waiting = parts, ""
}

type partHealth struct {
	Name    string   `json:"name"`
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"`
}

type readiness struct {
	Ready bool         `json:"ready"`
	Parts []partHealth `json:"parts"`
	// Degraded is what the process does without; it does not make it less ready.
	Degraded []string `json:"degraded,omitempty"`
}

// report asks every part. Readiness is progress: a part that runs and gets nowhere is not ready.
func (h *health) report() readiness {
	h.mu.Lock()
	parts, waiting, doubts := h.parts, h.waiting, h.doubts
	h.mu.Unlock()
	if parts == nil {
		if waiting == "" {
			waiting = "starting"
		}
		return readiness{Parts: []partHealth{{Name: "start", Reasons: []string{waiting}}}}
	}
	out := readiness{Ready: true}
	for _, p := range parts {
		reasons := p.Ready()
		out.Ready = out.Ready && len(reasons) == 0
		out.Parts = append(out.Parts, partHealth{p.name, len(reasons) == 0, reasons})
	}
	for _, words := range doubts {
		out.Degraded = append(out.Degraded, words()...)
	}
	return out
}

// newMetrics returns the registry of one process, with the Go runtime's and the process's own metrics.
func newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// operations answers /metrics, /healthz (the process is there) and /readyz (it makes progress).
func (a *app) operations() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{Registry: a.metrics}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		a.answer(w, http.StatusOK, map[string]bool{"alive": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := a.health.report()
		status := http.StatusOK
		if !r.Ready {
			status = http.StatusServiceUnavailable
		}
		a.answer(w, status, r)
	})
	return mux
}

func (a *app) answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		a.log.Error("answer", zap.Error(err))
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		a.log.Debug("answer was not read", zap.Error(err))
	}
}
