package atssim

import (
	"net/http"
	"slices"
)

// countries are those of the offices that the worlds of tests and demos know, by code and name.
var countries = map[string][2]string{
	"New York": {"US", "United States"}, "St. Louis": {"US", "United States"}, "London": {"GB", "United Kingdom"}, "Berlin": {"DE", "Germany"},
}

// country is a job's country: its code and its name, null for none.
func (p place) country() (code, name any) {
	if c, ok := countries[p.office]; ok {
		return c[0], c[1]
	}
	return nil, nil
}

// text is for JSON: null for none.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// job serves the look-up of a job: with show where any application is for it.
func (s *Server) job(w http.ResponseWriter, r *http.Request, id int64, missing answer, show func(place) answer) {
	s.api(w, r, "lookup", 0, func(*call) answer {
		if !s.hasJob(id) {
			return missing
		}
		return show(s.places[id])
	})
}

// hasJob reports whether any application is for a job. The lock is held.
func (s *Server) hasJob(id int64) bool {
	return slices.ContainsFunc(s.order, func(n int64) bool { return s.apps[n].app.JobID == id })
}
