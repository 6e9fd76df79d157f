package generic

import "github.com/concord-ats/concord/pkg/strict"

// Description is a whole file. What stands in it is checked by [Parse].
type Description struct {
	Name     string              `key:"name,required" doc:"what it is called in logs and in the table of capabilities"`
	Auth     Auth                `key:"auth,required" doc:"how it knows who calls; the secrets stand in the configuration"`
	Headers  map[string]Template `key:"headers" doc:"headers of every request"`
	Times    Times               `key:"times" doc:"how it writes times: rfc3339 (the default), unix (seconds) or unix_ms"`
	Limits   Limits              `key:"limits" doc:"how often it may be asked"`
	ID       ID                  `key:"id" doc:"what an application is called; left out: the member id of a record"`
	Record   Record              `key:"record,required" doc:"where a record shows what; pointers into the record"`
	Read     Read                `key:"read,required" doc:"how one application is read"`
	List     List                `key:"list,required" doc:"how what changed is listed"`
	Notes    *Notes              `key:"notes" doc:"where notes are found again; left out: elements are never kept in notes"`
	Writes   Writes              `key:"writes" doc:"what can be written, and how; what is left out is never written"`
	Compares Comparison          `key:"compares" doc:"what it compares before it sets: nothing (the default), stage (a move names the stage it leaves), or version (every write but a note carries {etag} or {revision})"`
	Answers  []Rule              `key:"answers" doc:"what its answers mean beyond what HTTP says; the first that fits holds"`
	Mirrors  bool                `key:"mirrors" doc:"the answer to a write shows the record; it confirms nothing"`
	Archived bool                `key:"moves_closed" doc:"a 2xx can move the stage of a closed application and leave it closed"`
	SetsOff  SetsOff             `key:"sets_off" doc:"what a write sets off besides itself"`
	Webhooks *Webhooks           `key:"webhooks" doc:"what its webhooks say, and how they are signed; left out: it has none"`

	// Warnings are what holds and costs something, of a description that was read from a file.
	Warnings strict.Faults
}

// Auth is how callers are admitted. The secret is ats[].client_secret.
type Auth struct {
	Scheme Scheme            `key:"scheme,required" doc:"bearer; basic (client_id and secret, the secret alone where there is no client_id); header; oauth2 (client credentials)"`
	Header string            `key:"header" doc:"scheme header: the header that holds the secret"`
	Prefix string            `key:"prefix" doc:"scheme header: what stands before the secret"`
	Token  Path              `key:"token" doc:"scheme oauth2: the path of the token endpoint below ats[].url; ats[].token_url is another one"`
	Sends  Credentials       `key:"credentials" doc:"scheme oauth2: header (HTTP Basic, the default) or form"`
	Form   map[string]string `key:"form" doc:"scheme oauth2: what else the token request holds, such as scope or audience"`
}

// Limits is the shape of the rate limit.
type Limits struct {
	Requests   int  `key:"requests" doc:"requests in each period"`
	Per        Span `key:"per" doc:"the period"`
	Burst      int  `key:"burst" doc:"the limit is a bucket of this size that is refilled evenly; left out: it counts by periods"`
	Concurrent int  `key:"concurrent" doc:"requests at once"`
	Daily      int  `key:"daily" doc:"requests of a calendar day, UTC"`
}

// ID is what an application is called: the part of Concord's application id after the slash.
type ID struct {
	Form Template           `key:"form" doc:"how it is put together, such as {job}-{number}; left out: {id}"`
	At   map[string]Pointer `key:"at" doc:"where a record shows each part; left out: {id: /id}"`
}

// Record is where a record shows what. What a record does not hold is left out.
type Record struct {
	Stage           Pointer  `key:"stage,required" doc:"the stage's id, never its label"`
	StageName       Pointer  `key:"stage_name" doc:"the stage's label, for people"`
	Status          []Status `key:"status,required" doc:"how it tells active from closed; the first that fits holds"`
	Reason          Pointer  `key:"reason" doc:"the id of why it was rejected"`
	Candidate       Pointer  `key:"candidate" doc:"the person's id"`
	Requisition     Pointer  `key:"requisition" doc:"the job's id"`
	RequisitionType Pointer  `key:"requisition_type" doc:"the job's type; the policy's mapping turns it into one of its own"`
	Region          Pointer  `key:"region" doc:"the job's region; the policy's mapping turns it into a region code"`
	UpdatedAt       Pointer  `key:"updated_at" doc:"when it last changed: the version"`
	Revision        Pointer  `key:"revision" doc:"a number that grows with each change; where there is no updated_at it is the version"`
	Fields          *Fields  `key:"fields" doc:"where its fields are, which the policy maps to elements"`
}

// Status is one of the things a record can show about an application being open or closed.
type Status struct {
	Is Standing `key:"is,required" doc:"active, rejected, withdrawn or hired; a rejection for a reason the policy lists as such reads as withdrawn or hired"`
	At Pointer  `key:"at" doc:"where it shows; left out: what is none of the above"`
	In []string `key:"in" doc:"the values that mean it; left out: any but null, false and the empty text"`
}

// Fields is where the fields of an application are.
type Fields struct {
	At    Template `key:"at" doc:"the value of one field, such as /custom_fields/{key}"`
	List  Pointer  `key:"list" doc:"instead of at: a list with an entry for each field"`
	Key   Pointer  `key:"key" doc:"with list: the field's key in an entry"`
	Value Pointer  `key:"value" doc:"with list: the field's value in an entry"`
}

// Read is how one application is read.
type Read struct {
	Request Request             `key:"request,required" doc:"such as GET /applications/{id}"`
	Query   map[string]Template `key:"query" doc:"parameters of the query"`
	Record  Pointer             `key:"record" doc:"where in the answer the record is; left out: it is the answer. /0 of an empty list: there is no such application"`
}

// List is how what changed is listed.
type List struct {
	Request Request             `key:"request,required" doc:"such as GET /applications"`
	Query   map[string]Template `key:"query" doc:"parameters of the query, one with {since}: what changed at or after that time"`
	Records Pointer             `key:"records" doc:"where in the answer the list of records is; left out: it is the answer"`
	Pages   *Pages              `key:"pages" doc:"how to go on; left out: the answer holds everything"`
}

// Pages is how to go on to the next page of a list.
type Pages struct {
	By        Paging  `key:"by,required" doc:"link (the Link header, or the address at next), cursor, or page (a number; only where changes do not alter the order of the list)"`
	Next      Pointer `key:"next" doc:"by cursor: where the answer shows the next one; by link: where it shows the next address, instead of the Link header"`
	Parameter string  `key:"parameter" doc:"by cursor or page: the parameter of the query that takes it"`
	Alone     bool    `key:"alone" doc:"by cursor: it has to be the only parameter"`
	First     *int    `key:"first" doc:"by page: the number of the first page; 1 when left out"`
	Size      int     `key:"size" doc:"by page: records in a full page; one with fewer is the last"`
}

// Notes is where notes are found again.
type Notes struct {
	Request Request             `key:"request" doc:"such as GET /applications/{id}/notes; left out: the record holds them"`
	Query   map[string]Template `key:"query" doc:"parameters of the query"`
	List    Pointer             `key:"list" doc:"where the list of notes is, in the answer or in the record; left out: it is the answer"`
	Pages   *Pages              `key:"pages" doc:"how to go on; at most five pages are read"`
	Text    Pointer             `key:"text,required" doc:"a note's text"`
	At      Pointer             `key:"at" doc:"when it was written, or a number that grows; left out: the last of the list is the newest"`
	Marker  Template            `key:"marker" doc:"what a note written for an element begins with; [concord {element}] when left out. Where notes belong to a person, add {id}"`
}

// Writes is what can be written.
type Writes struct {
	Move     *Write `key:"move" doc:"to the stage {stage}; {from_stage} is the one it leaves"`
	Reject   *Write `key:"reject" doc:"for {reason}"`
	Withdraw *Write `key:"withdraw" doc:"for {reason}; left out: rejected for a reason that means it"`
	Unreject *Write `key:"unreject" doc:"takes a rejection back"`
	Hire     *Write `key:"hire" doc:"hires; {reason} where the policy has one"`
	Elements *Write `key:"elements" doc:"all fields that change as {fields}; with {key} and {value} a request for each field"`
	Note     *Write `key:"note" doc:"adds the note {note}"`
}

// Write is one request that changes something.
type Write struct {
	Request Request             `key:"request,required" doc:"such as POST /applications/{id}/move"`
	Query   map[string]Template `key:"query" doc:"parameters of the query"`
	Headers map[string]Template `key:"headers" doc:"headers, such as If-Match: '{etag}'"`
	Body    strict.Any          `key:"body" doc:"the JSON body, with placeholders in quotes; left out: {}"`
	Field   strict.Any          `key:"field" doc:"elements alone: what one field of {fields} looks like, with {key} and {value}; left out: {fields} is an object of keys and values"`
}

// Rule says what an answer means.
type Rule struct {
	Status StatusCode `key:"status,required" doc:"a status code such as 409, or a class such as 5xx"`
	At     Pointer    `key:"at" doc:"where in the body the rule looks; left out: the status alone decides"`
	In     []string   `key:"in" doc:"the values that fit; left out: any but null, false and the empty text"`
	Means  Meaning    `key:"means,required" doc:"what it means: see the values"`
}

// SetsOff is what writes set off.
type SetsOff struct {
	Move   Trigger `key:"move" doc:"a move: rules (the default: the tenant's own may run, e-mails among them), nothing, or message (to the candidate)"`
	Reject Trigger `key:"reject" doc:"a rejection: the same"`
}

// Webhooks is what the ATS sends.
type Webhooks struct {
	Signature    Signature            `key:"signature,required" doc:"how a webhook is signed"`
	Event        Place                `key:"event,required" doc:"what says what happened"`
	Events       map[string]EventType `key:"events,required" doc:"its events and ours; others are not followed"`
	Ping         string               `key:"ping" doc:"the event that only asks whether anybody is there"`
	EventID      Place                `key:"event_id" doc:"an id that stays when it is sent again; left out: the hash of the body"`
	At           map[string]Pointer   `key:"at" doc:"where the body shows each part of the application's id; left out: in the record"`
	Candidate    Pointer              `key:"candidate" doc:"the person's id, where it is not in the record"`
	NewCandidate Pointer              `key:"new_candidate" doc:"of a merge: who is left"`
	Record       Pointer              `key:"record" doc:"where the body holds the whole record as of the event; left out: every webhook makes Concord read the application"`
	Email        Pointer              `key:"email" doc:"the person's e-mail address, of which only a keyed hash is kept"`
	Phone        Pointer              `key:"phone" doc:"the person's phone number, likewise"`
	Accepted     int                  `key:"accepted" doc:"the status that means success to it; 200 when left out"`
	Refused      int                  `key:"refused" doc:"the status for a bad signature; 401 when left out, 400 for a sender that gives up on 401"`
	Handshake    string               `key:"handshake" doc:"the header of an unsigned request that is answered by sending it back"`
}

// Signature is how a webhook is signed.
type Signature struct {
	Header    string     `key:"header,required" doc:"the header that holds it; several are separated by commas"`
	Prefix    string     `key:"prefix" doc:"what stands before it, such as sha256="`
	Algorithm Algorithm  `key:"algorithm" doc:"HMAC with sha256 (the default), sha384, sha512 or sha1"`
	Encoding  Encoding   `key:"encoding" doc:"hex (the default) or base64"`
	Signs     Template   `key:"signs" doc:"what is signed: {body} when left out, else with {timestamp} and {event_id}"`
	Timestamp *Timestamp `key:"timestamp" doc:"the signed time, which keeps an old webhook from being sent again"`
}

// Timestamp is the signed time of a webhook.
type Timestamp struct {
	Header    string `key:"header,required" doc:"the header that holds it"`
	Prefix    string `key:"prefix" doc:"what stands before it in a header of several parts, such as t="`
	Times     Times  `key:"times" doc:"how it is written: unix (the default), unix_ms or rfc3339"`
	Tolerance Span   `key:"tolerance" doc:"how far it may be from now; 5m when left out"`
}
