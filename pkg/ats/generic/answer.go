package generic

import (
	"errors"
	"net/http"

	"github.com/concord-ats/concord/pkg/ats"
)

// judge says what an answer means: by the first of the description's rules that fits, else by what package ats made of its
// status. A failed comparison (412) is one by itself.
func (d *Description) judge(r *ats.Request, res *ats.Response, err error) error {
	var e *ats.Error
	if err != nil && (!errors.As(err, &e) || e.Op != r.Op || e.Status == 0) {
		return err // no answer, or not to this request
	}
	var body any
	decoded := false
	for _, rule := range d.Answers {
		if !rule.Status.fits(res.Status) {
			continue
		}
		if rule.At != "" {
			if !decoded {
				body, _ = decode(res.Body) // what is no JSON has nothing at any pointer
				decoded = true
			}
			if !fits(body, rule.At, rule.In) {
				continue
			}
		}
		return rule.means(r, res)
	}
	if err != nil && r.Write && res.Status == http.StatusPreconditionFailed {
		e.Class, e.Code = ats.NotExecuted, ats.CodeStaleVersion
	}
	return err
}

// means is the error of a rule that fits. A read has no effect, so that nothing about one is unknown; a success that says
// it failed does not say that the application is wrong.
func (rule *Rule) means(r *ats.Request, res *ats.Response) error {
	p := proves[rule.Means]
	e := &ats.Error{Class: p.class, Code: p.code, Op: r.Op, Status: res.Status, RetryAfter: ats.RetryAfter(res.Header, res.Date)}
	switch {
	case r.Write:
	case e.Code == ats.CodeInvalid && res.Status < 300:
		e.Class, e.Code = ats.NotExecuted, ats.CodeBadResponse
	case e.Class == ats.Unknown:
		e.Class = ats.NotExecuted
	}
	return e
}
