package wire

import (
	"errors"
	"strings"
)

// candidateTypes are the types of candidate.events, with what each must have besides its candidate. Those that are told say
// what happened to a person, and anyone may publish them; the others are said between Concord's own processors.
var candidateTypes = map[string]struct{ told, other, applications, contact bool }{
	"candidate.merged":     {told: true, other: true},
	"candidate.anonymized": {told: true},
	"candidate.duplicate":  {told: true, other: true},
	"candidate.deleted":    {told: true},
	"candidate.seen":       {told: true},
	"candidate.linked":     {applications: true},
	"candidate.unlinked":   {applications: true},
	"candidate.absorbed":   {other: true},
	"candidate.matched":    {other: true},
	"candidate.unmatched":  {other: true},
	"contact.seen":         {contact: true},
	"contact.gone":         {contact: true},
}

// ToldOfCandidate reports whether a type is one of candidate.events that an ATS, or whoever speaks for it, may publish.
func ToldOfCandidate(typ string) bool { return candidateTypes[typ].told }

// Check reports why the event cannot be used, whoever published it. The error is an [*Error] that names the field.
func (x *CandidateEvent) Check() error {
	is, known := candidateTypes[x.Type]
	switch {
	case x.ID == "" || x.Source == "":
		return unfit(CauseNoIdentity, "id or source is empty")
	case !known:
		return unfit(CauseUnsupportedType, "type is not known on candidate.events")
	case x.System == "" || strings.Contains(x.System, "/"):
		return unfit(CauseInvalidField, "system is not the name of an ats instance")
	case x.CandidateID == "":
		return unfit(CauseInvalidField, "candidate_id is empty")
	case is.other && (x.NewCandidateID == "" || x.NewCandidateID == x.CandidateID):
		return unfit(CauseInvalidField, "new_candidate_id is not another candidate")
	case is.applications && len(x.ApplicationIDs) == 0:
		return unfit(CauseInvalidField, "application_ids is empty")
	case is.contact != (x.Contact != "") || is.contact && !contactToken(x.Contact):
		return unfit(CauseInvalidField, "contact or contacts is not <kind>:<keyed hash>")
	}
	for _, id := range x.ApplicationIDs {
		if native, ok := strings.CutPrefix(id, x.System+"/"); !ok || native == "" {
			return unfit(CauseInvalidField, "application_ids holds one that is not <system>/<native id>")
		}
	}
	for _, c := range x.Contacts {
		if !contactToken(c) {
			return unfit(CauseInvalidField, "contact or contacts is not <kind>:<keyed hash>")
		}
	}
	return nil
}

// hashLength is the length of a keyed hash in hexadecimal: HMAC-SHA256, whole.
const hashLength = 64

// contactToken reports whether a contact is a kind and a keyed hash: an address itself must not get in here.
func contactToken(c string) bool {
	kind, hash, ok := strings.Cut(c, ":")
	return ok && (kind == "email" || kind == "phone") && len(hash) == hashLength && strings.Trim(hash, "0123456789abcdef") == ""
}

func unfit(cause Cause, what string) error { return &Error{Cause: cause, Err: errors.New(what)} }
