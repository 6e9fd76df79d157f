package smartrecruiters

import (
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// Statuses that close an application, and the one of a candidate who is in another job now.
const (
	statusHired       = "HIRED"
	statusRejected    = "REJECTED"
	statusWithdrawn   = "WITHDRAWN"
	statusTransferred = "TRANSFERRED"
)

// candidate is what a read shows; a list shows less of the assignments.
type candidate struct {
	ID        loose.Text   `json:"id"`
	UpdatedOn loose.Time   `json:"updatedOn"`
	Primary   *assignment  `json:"primaryAssignment"`
	Secondary []assignment `json:"secondaryAssignments"`
}

// assignment is a candidate's place in a job: an application.
type assignment struct {
	Job struct {
		ID loose.Text `json:"id"`
	} `json:"job"`
	Status     loose.Text `json:"status"`
	SubStatus  loose.Text `json:"subStatus"`
	Rejection  reason     `json:"reasonOfRejection"`
	Withdrawal reason     `json:"reasonOfWithdrawal"`
}

type reason struct {
	ID loose.Text `json:"id"`
}

// assignments are all of them, the primary one first.
func (one *candidate) assignments() []*assignment {
	var out []*assignment
	if one.Primary != nil && one.Primary.Job.ID != "" {
		out = append(out, one.Primary)
	}
	for i := range one.Secondary {
		if a := &one.Secondary[i]; a.Job.ID != "" {
			out = append(out, a)
		}
	}
	return out
}

// in is the assignment to a job; nil when there is none.
func (one *candidate) in(job string) *assignment {
	for _, a := range one.assignments() {
		if string(a.Job.ID) == job {
			return a
		}
	}
	return nil
}

// reading is an application without its elements.
func (one *candidate) reading(a *assignment, res *ats.Response) (ats.Reading, error) {
	out := ats.Reading{
		CandidateID: string(one.ID), UpdatedAt: ats.Proved(one.UpdatedOn.Time, res.AsOf()), Requisition: wire.Requisition{ID: string(a.Job.ID)}, AsOf: res.AsOf(),
	}
	if !out.UpdatedAt.IsZero() {
		out.Tuple.Version = out.UpdatedAt.UnixMicro()
	}
	t := &out.Tuple
	switch a.Status {
	case "":
		return ats.Reading{}, res.Bad("read", "an application without a status")
	case statusHired:
		t.Status = wire.ApplicationStatusHired
	case statusRejected:
		t.Status, t.Reason = wire.ApplicationStatusRejected, string(a.Rejection.ID)
	case statusWithdrawn:
		t.Status, t.Reason = wire.ApplicationStatusWithdrawn, string(a.Withdrawal.ID)
	case statusTransferred:
	default:
		t.Status, t.Stage = wire.ApplicationStatusActive, a.stage()
		out.StageName = t.Stage
	}
	return out, nil
}

// stage is the native stage: the status, with the sub-status behind a slash.
func (a *assignment) stage() string {
	if a.SubStatus == "" {
		return string(a.Status)
	}
	return string(a.Status) + "/" + string(a.SubStatus)
}
