package main

import "github.com/concord-ats/concord/pkg/ats"

// capabilityView is what an ATS can do, for scripts: what the matrix says in words, defaults filled in.
type capabilityView struct {
	Dialect                string         `json:"dialect"`
	Compares               string         `json:"compares"` // version, stage, nothing
	Writes                 []string       `json:"writes"`
	Elements               []elementView  `json:"elements"`
	NoteMarker             string         `json:"note_marker,omitempty"`
	MoveTriggers           string         `json:"move_triggers"` // rules, nothing, message
	RejectTriggers         string         `json:"reject_triggers"`
	Rate                   rateView       `json:"rate"`
	Requests               map[string]int `json:"requests"`
	Region                 bool           `json:"region"`
	ReadLag                string         `json:"read_lag"`
	Answer                 string         `json:"answer"` // nothing, verdict, mirror
	Archived               bool           `json:"archived_moves"`
	NotFoundMayMeanDenied  bool           `json:"not_found_may_mean_denied"`
	ShowsAnonymized        bool           `json:"shows_anonymized"`
	ServerErrorNotExecuted bool           `json:"server_error_not_executed"`
}

type elementView struct {
	Element string `json:"element"`
	Key     string `json:"key"`
	Note    bool   `json:"note"`
}

// rateView leaves out what is not published.
type rateView struct {
	Requests   int    `json:"requests,omitempty"`
	Window     string `json:"window,omitempty"`
	Burst      int    `json:"burst,omitempty"`
	Concurrent int    `json:"concurrent,omitempty"`
	Daily      int    `json:"daily,omitempty"`
}

func viewOf(c *ats.Capabilities) capabilityView {
	v := capabilityView{
		Dialect: c.Name, Compares: compares(c), Writes: writes(c), Elements: []elementView{}, NoteMarker: c.NoteMarker,
		MoveTriggers: c.MoveTriggers.String(), RejectTriggers: c.RejectTriggers.String(),
		Rate:     rateView{Requests: c.Rate.Requests, Burst: c.Rate.Burst, Concurrent: c.Rate.Concurrent, Daily: c.Rate.Daily},
		Requests: map[string]int{"read": c.Reads(), "elements": max(c.ElementRequests, 1), "move": max(c.MoveRequests, 1), "close": max(c.StatusRequests, 1)},
		Region:   c.Region, ReadLag: c.ReadLag.String(), Answer: c.Answer.String(), Archived: c.Archived,
		NotFoundMayMeanDenied: c.NotFoundMayMeanDenied, ShowsAnonymized: c.ShowsAnonymized, ServerErrorNotExecuted: c.ServerErrorNotExecuted,
	}
	if c.Rate.Window > 0 {
		v.Rate.Window = c.Rate.Window.String()
	}
	for _, e := range c.Elements {
		v.Elements = append(v.Elements, elementView(e))
	}
	return v
}

// compares is what a write is compared with before it is made.
func compares(c *ats.Capabilities) string {
	switch {
	case c.CASVersion:
		return "version"
	case c.CASStage:
		return "stage"
	}
	return "nothing"
}

// writes are the kinds of change that can be made.
func writes(c *ats.Capabilities) []string {
	can := []string{}
	for _, w := range []struct {
		name string
		can  bool
	}{{"move", c.Move}, {"reject", c.Reject}, {"unreject", c.Unreject}, {"hire", c.Hire}, {"elements", len(c.Elements) > 0}, {"notes", c.NoteMarker != ""}} {
		if w.can {
			can = append(can, w.name)
		}
	}
	return can
}
