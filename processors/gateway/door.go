package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// door is one path with one sender behind it. Its rate counts what is proved to be that sender's, so that a stranger
// cannot use it up.
type door struct {
	endpoint, system string // metric labels
	sender           *Sender
	rate             *rate.Limiter
}

func newDoor(endpoint, system string, perSecond float64) *door {
	return &door{endpoint: endpoint, system: system, rate: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))}
}

// answer is how a request ends.
type answer struct {
	status int
	result string // closed: the metric label
	text   string // for the sender; names the field and the fix
}

// Handler returns the HTTP routes.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks/{kind}/{system}", func(w http.ResponseWriter, r *http.Request) {
		d := g.doors[r.PathValue("kind")+"/"+r.PathValue("system")]
		if d == nil {
			g.reply(w, &door{endpoint: "unknown"}, g.unknown(r.PathValue("kind")))
			return
		}
		if terms := d.sender.Webhooks.Terms(); terms.Handshake != "" && r.Header.Get(terms.Handshake) != "" {
			g.reply(w, d, g.handshake(w, r, terms.Handshake))
			return
		}
		g.reply(w, d, g.serve(w, r, d, g.webhook))
	})
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		g.reply(w, g.events, g.serve(w, r, g.events, g.cloudEvents))
	})
	mux.HandleFunc("OPTIONS /events", func(w http.ResponseWriter, r *http.Request) { g.reply(w, g.events, g.permit(w, r)) })
	return mux
}

// unknown refuses a system that is not configured, in the terms of its kind: the configuration may be what is wrong.
func (g *Gateway) unknown(kind string) answer {
	status := http.StatusNotFound
	for _, d := range g.doors {
		if d.endpoint == kind && d.sender.Webhooks.Terms().Refused == http.StatusBadRequest {
			status = http.StatusBadRequest // this sender gives up on 404 for good
		}
	}
	return answer{status, "unknown_system", "no such system is configured; check the path of the webhook"}
}

// handshake sends a value back that a sender gave to see whether anyone is there. It proves nothing and grants nothing:
// what the sender sends later has to be signed.
func (g *Gateway) handshake(w http.ResponseWriter, r *http.Request, header string) answer {
	value := r.Header.Get(header)
	if len(value) > 512 {
		return answer{http.StatusBadRequest, "malformed", header + " is too long"}
	}
	w.Header().Set(header, value)
	return answer{http.StatusOK, "handshake", "agreed"}
}

// reply writes an answer and counts it.
func (g *Gateway) reply(w http.ResponseWriter, d *door, a answer) {
	g.metrics.requests.WithLabelValues(d.endpoint, d.system, a.result).Inc()
	h := w.Header()
	switch a.status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", "1")
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body is not read
	}
	if a.result == "busy" {
		h.Set("Connection", "close")
	}
	if a.status >= 400 {
		g.cfg.Logger.Debug("request refused", zap.String("endpoint", d.endpoint), zap.String("system", d.system), zap.String("result", a.result), zap.Int("status", a.status))
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(a.text)+1))
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.text+"\n") // the sender is gone: it will send again
}

// serve reads the body within its bounds and hands it on.
func (g *Gateway) serve(_ http.ResponseWriter, r *http.Request, d *door, handle func(*http.Request, *door, []byte) answer) answer {
	body, done, err := g.readBody(r)
	defer done()
	switch {
	case errors.Is(err, errTooLarge):
		return answer{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d bytes", g.cfg.MaxBody)}
	case errors.Is(err, errBusy):
		return answer{http.StatusServiceUnavailable, "busy", "too many requests are in hand; send again later"}
	case err != nil:
		return answer{http.StatusBadRequest, "unreadable", "the body could not be read"}
	}
	return handle(r, d, body)
}

// admit lets one proved request of a door through, within the sender's rate.
func (g *Gateway) admit(d *door) (answer, bool) {
	if !d.rate.AllowN(g.cfg.Clock(), 1) {
		return answer{http.StatusTooManyRequests, "rate_limited", fmt.Sprintf("more than %g requests a second; send again later", g.cfg.Rate)}, false
	}
	return answer{}, true
}
