package greenhouse

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// job is what a webhook, or a list of jobs, says of a job. A webhook has its offices, a list their ids.
type job struct {
	ID           nativeID          `json:"id"`
	CustomFields customFields      `json:"custom_fields"`
	Offices      []json.RawMessage `json:"offices"`
	OfficeIDs    []nativeID        `json:"office_ids"`
}

// requisition reads a job: its id, its type by a custom field, its region by a custom field or else by its offices in the
// order they are given.
func (m *Mapping) requisition(j *job) wire.Requisition {
	r := wire.Requisition{ID: string(j.ID)}
	typeField := m.TypeField
	if typeField == "" {
		typeField = "employment_type"
	}
	r.Type = m.all().RequisitionType(j.CustomFields.option(typeField))
	if m.RegionField != "" {
		r.Region = m.Regions[j.CustomFields.option(m.RegionField)]
	}
	for _, office := range j.Offices {
		if r.Region != "" {
			break
		}
		var o struct {
			ID         nativeID   `json:"id"`
			Name       loose.Text `json:"name"`
			ExternalID loose.Text `json:"external_id"`
		}
		if json.Unmarshal(office, &o) == nil {
			r.Region = m.all().Region(string(o.ExternalID), string(o.ID), string(o.Name))
		}
	}
	return r
}

// maxIDs is how many ids a list takes.
const maxIDs = 50

// jobs looks up what an application does not show of its job: a job is asked for once in ten minutes, an office too.
type jobs struct {
	send    func(context.Context, ats.Request) (ats.Response, error)
	base    string
	now     func() time.Time
	mapping *Mapping
	kept    ats.Kept[wire.Requisition]
	offices ats.Kept[json.RawMessage]
}

// fill completes the requisitions of readings. What the credential may not see of a job stays unknown.
func (l *jobs) fill(ctx context.Context, readings []*ats.Reading) error {
	if len(l.mapping.Regions) == 0 {
		return nil // nothing a job shows is a region
	}
	now := l.now()
	var missing []string
	for _, r := range readings {
		id := r.Requisition.ID
		if _, ok := l.kept.Get(id, now); id != "" && !ok && !slices.Contains(missing, id) {
			missing = append(missing, id)
		}
	}
	found := map[string]wire.Requisition{}
	for ids := range slices.Chunk(missing, maxIDs) {
		if err := l.find(ctx, ids, now, found); err != nil {
			return err
		}
	}
	for _, r := range readings {
		full, ok := found[r.Requisition.ID]
		if !ok {
			full, ok = l.kept.Get(r.Requisition.ID, now)
		}
		if ok {
			r.Requisition = full
		}
	}
	return nil
}

// find looks jobs up, with the offices they name.
func (l *jobs) find(ctx context.Context, ids []string, now time.Time, found map[string]wire.Requisition) error {
	rows, err := list[job](ctx, l, "jobs", ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		l.kept.Put(id, wire.Requisition{ID: id}, now.Add(ats.KeptPause))
	}
	var missing []string
	for i := range rows {
		for _, id := range rows[i].OfficeIDs {
			if _, ok := l.offices.Get(string(id), now); !ok && len(rows[i].Offices) == 0 && !slices.Contains(missing, string(id)) {
				missing = append(missing, string(id))
			}
		}
	}
	fresh := map[string]json.RawMessage{}
	for ids := range slices.Chunk(missing, maxIDs) {
		offices, err := list[json.RawMessage](ctx, l, "offices", ids)
		if err != nil {
			return err
		}
		for _, id := range ids { // that is all there is to know of one that is not listed
			fresh[id] = ats.JSON(map[string]string{"id": id})
			l.offices.Put(id, fresh[id], now.Add(ats.KeptPause))
		}
		for _, raw := range offices {
			id := idOf(raw)
			fresh[id] = raw
			l.offices.Put(id, raw, now.Add(ats.KeptLife))
		}
	}
	for i := range rows {
		j := &rows[i]
		if len(j.Offices) == 0 {
			for _, id := range j.OfficeIDs {
				office, ok := fresh[string(id)]
				if !ok {
					office, _ = l.offices.Get(string(id), now)
				}
				j.Offices = append(j.Offices, office)
			}
		}
		if !slices.Contains(ids, string(j.ID)) {
			continue
		}
		r := l.mapping.requisition(j)
		found[r.ID] = r
		life := ats.KeptLife
		if r.Region == "" { // it may be set right, here or there
			life = ats.KeptPause
		}
		l.kept.Put(r.ID, r, now.Add(life))
	}
	return nil
}

// list is GET /v3/<what>?ids=. A list that the credential may not see is empty.
func list[T any](ctx context.Context, l *jobs, what string, ids []string) ([]T, error) {
	res, err := l.send(ctx, ats.Request{Op: "read", Method: http.MethodGet, URL: l.base + "/v3/" + what + "?ids=" + strings.Join(ids, ",")})
	if code := ats.CodeOf(err); code == ats.CodeForbidden || code == ats.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rows []T
	return rows, res.Decode("read", &rows)
}
