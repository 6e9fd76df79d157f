package writeback

import (
	"errors"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// absent reports whether a read says that there is no such application, by an ATS whose 404 cannot mean "denied".
func (j *job) absent(err error) bool {
	return ats.ClassOf(err) == ats.Refused && ats.CodeOf(err) == ats.CodeNotFound && !j.caps.NotFoundMayMeanDenied
}

// missing ends a command whose application was not found. A read may lag, so that one says nothing of an application that
// is new or was just merged: a second one, after the read lag, proves that it is gone, and the reconciler is told with the
// outcome. Found again, the command goes on.
func (j *job) missing(q *Pending, a *Attempt) bool {
	ctx, until := j.p.ctx, time.Time{}
	if a == nil {
		ctx = j.p.soft
	}
	if pause(ctx, j.caps.ReadLag) != nil {
		return false
	}
	if a == nil {
		until = j.w.now().Add(j.w.cfg.ReadTimeout)
	}
	_, err := j.read(ctx, "readback", until)
	switch {
	case err == nil:
		return true
	case !j.absent(err):
		return j.unread(q, a, err)
	}
	var answer *ats.Error
	errors.As(err, &answer)
	j.end(q, a, ending{Verdict: j.refusal(q.Command.Kind, answer.Code), gone: answer})
	return false
}

// deleted is the event of an application that a read proved to be gone, as of that read.
func deleted(source string, cmd *wire.Command, proof *ats.Error, now time.Time) wire.AtsChange {
	at := proof.AsOf
	if at.IsZero() {
		at = now
	}
	return wire.AtsChange{
		ID: "gone-" + cmd.ID, Source: source, Type: "application.deleted", System: cmd.System, ApplicationID: cmd.ApplicationID,
		OccurredAt: wire.MicrosOf(at), ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisFetch,
	}
}
