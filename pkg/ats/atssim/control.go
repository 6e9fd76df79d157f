package atssim

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// FaultState is what GET /_sim/faults answers and POST takes; members left out of a POST stay as they are.
type FaultState struct {
	Rates Rates            `json:"rates,omitempty"`
	Fired map[Fault]uint64 `json:"fired,omitempty"` // not set by POST
	// Only are the kinds of requests, as the journal has them, that faults hit; empty for all.
	Only []string `json:"only,omitempty"`
	// OverLimit counts requests above the real rate limit.
	OverLimit uint64 `json:"over_limit"` // not set by POST
	// Revoked refuses all tokens and every new one; Denied answers 403 to everything.
	Revoked *bool `json:"revoked,omitempty"`
	Denied  *bool `json:"denied,omitempty"`
}

// Stats is what GET /_sim/stats answers.
type Stats struct {
	Applications     int          `json:"applications"`
	Requests         uint64       `json:"requests"`
	JournalFirst     uint64       `json:"journal_first"`
	JournalLast      uint64       `json:"journal_last"`
	JournalDropped   uint64       `json:"journal_dropped"`
	Changed          time.Time    `json:"changed,omitzero"` // when an application was last changed, in true time
	ScheduledActions int          `json:"scheduled_actions"`
	FailedActions    uint64       `json:"failed_actions"` // scheduled ones the rules refused when they were due
	Webhooks         WebhookStats `json:"webhooks"`
}

// page is how many applications or entries are copied under the lock at once.
const page = 1000

func (s *Server) control() {
	// As the operations server of every role answers it: `concord health` asks it.
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"ready":true,"parts":[{"name":"ats","ready":true}]}`)
	})
	s.mux.HandleFunc("GET /_sim/applications", s.serveStore)
	s.mux.HandleFunc("POST /_sim/applications", s.serveSeed)
	s.mux.HandleFunc("GET /_sim/applications/{id}", s.serveOne)
	s.mux.HandleFunc("POST /_sim/actions", s.serveActions)
	s.mux.HandleFunc("GET /_sim/journal", s.serveJournal)
	s.mux.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.FaultState()) })
	s.mux.HandleFunc("POST /_sim/faults", s.serveFaults)
	s.mux.HandleFunc("GET /_sim/webhooks", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Stats().Webhooks) })
	s.mux.HandleFunc("GET /_sim/stats", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Stats()) })
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody is left to tell
}

func complain(w http.ResponseWriter, status int, err error) {
	reply(w, status, map[string]string{"error": err.Error()})
}

// Stats returns sizes and counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.deliver.stats
	w.Pending = len(s.deliver.queue) + s.deliver.flying
	return Stats{
		Applications: len(s.order), Requests: s.requests,
		Changed: s.journal.changed, JournalFirst: s.journal.first(), JournalLast: s.journal.next - 1, JournalDropped: s.journal.dropped(),
		ScheduledActions: len(s.scheduled.items), FailedActions: s.scheduled.failed, Webhooks: w,
	}
}

// FaultState returns rates, counts and switches.
func (s *Server) FaultState() FaultState {
	s.mu.Lock()
	defer s.mu.Unlock()
	revoked, denied := s.revoked, s.denied
	out := FaultState{Only: s.only, Rates: Rates{}, Fired: map[Fault]uint64{}, OverLimit: s.limited, Revoked: &revoked, Denied: &denied}
	for _, f := range Faults() {
		out.Rates[f], out.Fired[f] = s.rates[f], s.fired[f]
	}
	return out
}

// SetFaults changes rates and switches; what is left out stays.
func (s *Server) SetFaults(in FaultState) error {
	if err := in.Rates.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range Faults() {
		if rate, ok := in.Rates[f]; ok {
			s.rates[f] = rate
		}
	}
	if in.Only != nil {
		s.only = in.Only
	}
	if in.Revoked != nil {
		s.revoked = *in.Revoked
	}
	if in.Denied != nil {
		s.denied = *in.Denied
	}
	return nil
}

// Seed adds or replaces applications as they are, with no journal entry and no webhook.
func (s *Server) Seed(apps ...Application) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range apps {
		if err := s.put(a); err != nil {
			return err
		}
	}
	return nil
}

// Application returns one application as it truly is.
func (s *Server) Application(id int64) (Application, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runDue()
	r := s.apps[id]
	if r == nil || r.deleted {
		return Application{}, false
	}
	return r.app, true
}

// Journal returns the entries after since that are still kept.
func (s *Server) Journal(since uint64) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.page(since+1, len(s.journal.ring))
}

func (s *Server) serveFaults(w http.ResponseWriter, r *http.Request) {
	var in FaultState
	body, err := readBody(w, r, 64<<10)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err == nil {
		err = s.SetFaults(in)
	}
	if err != nil {
		complain(w, http.StatusBadRequest, err)
		return
	}
	reply(w, http.StatusOK, s.FaultState())
}

func (s *Server) serveOne(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		id, _ = s.dialect.Number(KindApplication, r.PathValue("id")) // 0 when it is none: there is none of that number
	}
	if a, ok := s.Application(id); ok {
		reply(w, http.StatusOK, a)
		return
	}
	complain(w, http.StatusNotFound, errors.New("no such application"))
}

// serveStore streams the store in the order it was filled, page by page: applications that change meanwhile
// show as they are when their page is read.
func (s *Server) serveStore(w http.ResponseWriter, r *http.Request) {
	lines := r.URL.Query().Get("format") == "jsonl"
	out := bufio.NewWriterSize(w, 64<<10)
	defer func() { _ = out.Flush() }()
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(out)
	if !lines {
		_, _ = out.WriteString("[\n")
	}
	first := true
	for at := 0; ; {
		s.mu.Lock()
		s.runDue()
		var apps []Application
		for ; at < len(s.order) && len(apps) < page; at++ {
			if rec := s.apps[s.order[at]]; !rec.deleted {
				apps = append(apps, rec.app)
			}
		}
		done := at >= len(s.order)
		s.mu.Unlock()
		for i := range apps {
			if !first && !lines {
				_, _ = out.WriteString(",")
			}
			first = false
			if enc.Encode(&apps[i]) != nil {
				return
			}
		}
		if done {
			break
		}
	}
	if !lines {
		_, _ = out.WriteString("]\n")
	}
}

// decodeEach reads a JSON array, or values one after another, and hands each to fn.
func decodeEach[T any](r io.Reader, fn func(T) error) error {
	in := bufio.NewReader(r)
	array := false
	for {
		c, err := in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
			continue
		}
		if err := in.UnreadByte(); err != nil {
			return err
		}
		array = c == '['
		break
	}
	d := json.NewDecoder(in)
	if array {
		if _, err := d.Token(); err != nil {
			return err
		}
	}
	for array && d.More() || !array {
		var v T
		if err := d.Decode(&v); err != nil {
			if !array && errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (s *Server) serveSeed(w http.ResponseWriter, r *http.Request) {
	n := 0
	err := decodeEach(http.MaxBytesReader(w, r.Body, 4<<30), func(a Application) error {
		if err := s.Seed(a); err != nil {
			return err
		}
		n++
		return nil
	})
	switch {
	case errors.Is(err, errFull):
		complain(w, http.StatusInsufficientStorage, fmt.Errorf("after %d applications: %w", n, err))
	case err != nil:
		complain(w, http.StatusBadRequest, fmt.Errorf("after %d applications: %w", n, err))
	default:
		reply(w, http.StatusOK, map[string]int{"seeded": n})
	}
}

// serveActions does actions in their order. One that the rules refuse does not keep the next from being done.
func (s *Server) serveActions(w http.ResponseWriter, r *http.Request) {
	results, status := []Result{}, http.StatusOK
	err := decodeEach(http.MaxBytesReader(w, r.Body, 64<<20), func(a Action) error {
		res := s.Act(a)
		if !res.OK {
			status = http.StatusUnprocessableEntity
		}
		results = append(results, res)
		return nil
	})
	if err != nil {
		complain(w, http.StatusBadRequest, fmt.Errorf("after %d actions: %w", len(results), err))
		return
	}
	reply(w, status, map[string]any{"results": results})
}

// serveJournal streams entries as JSON lines. The headers say which are still there: X-Sim-Journal-First,
// -Last, and -Dropped, the number the cap has cost.
func (s *Server) serveJournal(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var since uint64
	var about int64
	var err error
	if v := q.Get("since"); v != "" {
		if since, err = strconv.ParseUint(v, 10, 64); err != nil {
			complain(w, http.StatusBadRequest, errors.New("since: must be a sequence number"))
			return
		}
	}
	if v := q.Get("application"); v != "" {
		if about, err = strconv.ParseInt(v, 10, 64); err != nil {
			complain(w, http.StatusBadRequest, errors.New("application: must be an id"))
			return
		}
	}
	kind := EntryType(q.Get("type"))
	st := s.Stats()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Sim-Journal-First", strconv.FormatUint(st.JournalFirst, 10))
	w.Header().Set("X-Sim-Journal-Last", strconv.FormatUint(st.JournalLast, 10))
	w.Header().Set("X-Sim-Journal-Dropped", strconv.FormatUint(st.JournalDropped, 10))
	out := bufio.NewWriterSize(w, 64<<10)
	defer func() { _ = out.Flush() }()
	enc := json.NewEncoder(out)
	for next := since + 1; next <= st.JournalLast; {
		s.mu.Lock()
		entries := s.journal.page(next, page)
		s.mu.Unlock()
		if len(entries) == 0 {
			return
		}
		for i := range entries {
			e := &entries[i]
			next = e.Seq + 1
			if e.Seq > st.JournalLast {
				return
			}
			if (kind != "" && e.Type != kind) || (about != 0 && e.Application != about) {
				continue
			}
			if enc.Encode(e) != nil {
				return
			}
		}
	}
}
