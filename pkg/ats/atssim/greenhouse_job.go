package atssim

import (
	"net/http"
	"slices"
	"strings"
)

// greenhouseOffice is the id of the first office.
const greenhouseOffice = 54

func (s *Server) officeID(name string) int64 {
	return greenhouseOffice + int64(slices.Index(s.offices, name))
}

func greenhouseJobFields(employment string) map[string]any {
	fields := map[string]any{}
	if employment != "" {
		fields["employment_type"] = map[string]any{"name": "Employment Type", "type": "single_select", "value": employment}
	}
	return fields
}

// job is a job as Harvest v3 lists it: with the ids of its offices.
func (Greenhouse) job(s *Server, id int64) any {
	p, ok := s.places[id]
	if !ok {
		return nil
	}
	offices := []int64{}
	if p.office != "" {
		offices = append(offices, s.officeID(p.office))
	}
	return map[string]any{"id": id, "name": "Job", "status": "open", "office_ids": offices, "custom_fields": greenhouseJobFields(p.employment)}
}

func (Greenhouse) office(s *Server, id int64) any {
	if id -= greenhouseOffice; id < 0 || id >= int64(len(s.offices)) {
		return nil
	}
	return map[string]any{"id": id + greenhouseOffice, "name": s.offices[id], "external_id": nil, "parent_id": nil}
}

// listed is a list by ids, 50 at most, of what there is of them.
func (g Greenhouse) listed(s *Server, w http.ResponseWriter, r *http.Request, of func(*Server, int64) any) {
	s.api(w, r, "lookup", 0, func(*call) answer {
		rows, ids := []any{}, strings.Split(r.URL.Query().Get("ids"), ",")
		if len(ids) > 50 {
			return g.refuse(http.StatusUnprocessableEntity, "ids", "ids must be 50 at most")
		}
		for _, part := range ids {
			id, _ := g.Number(KindJob, part)
			if row := of(s, id); row != nil {
				rows = append(rows, row)
			}
		}
		return answer{status: http.StatusOK, body: rows}
	})
}
